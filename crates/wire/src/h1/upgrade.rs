//! Which upgrades are taken: WebSocket, asked for and answered as RFC 6455 4 says. All others stay plain HTTP (rows B1 to B3).

use super::bytes::is;
use super::fault::Reject;
use super::fields::Fields;
use super::framing::Framing;
use super::name::Name;
use super::{Method, Version};
use crate::websocket;

/// What a connection turns into after the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Upgrade {
    /// It stays HTTP. Any upgrade but `websocket` is here too, its fields marked [`Field::hop`](super::Field::hop) (row B1).
    #[default]
    None,
    /// RFC 6455.
    WebSocket,
}

/// What a request, whose `Connection` names the upgrade, asks for.
pub(super) fn of_request(method: Method, version: Version, framing: Framing, fields: Fields<'_>) -> Result<Upgrade, Reject> {
    if !names_websocket(fields) {
        return Ok(Upgrade::None);
    }
    if version == Version::Http10 {
        return Err(Reject::WebsocketVersion10);
    }
    if method != Method::Get {
        return Err(Reject::WebsocketMethod);
    }
    if framing.has_body() {
        return Err(Reject::WebsocketBody);
    }
    let key = fields.single(Name::SecWebsocketKey);
    if !matches!(key, Ok(Some(key)) if websocket::is_valid_key(key)) {
        return Err(Reject::WebsocketKey);
    }
    if !matches!(fields.single(Name::SecWebsocketVersion), Ok(Some(b"13"))) {
        return Err(Reject::WebsocketVersion);
    }
    Ok(Upgrade::WebSocket)
}

/// What a response, whose `Connection` names the upgrade, has switched to.
pub(super) fn of_response(status: u16, fields: Fields<'_>) -> Upgrade {
    if status == 101 && names_websocket(fields) { Upgrade::WebSocket } else { Upgrade::None }
}

/// Exactly one `Upgrade`, and nothing else in it.
fn names_websocket(fields: Fields<'_>) -> bool {
    matches!(fields.single(Name::Upgrade), Ok(Some(protocol)) if is(protocol, b"websocket"))
}

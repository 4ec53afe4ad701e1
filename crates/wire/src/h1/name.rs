//! The field names a proxy acts on, told apart cheaply.

use super::bytes::is;

/// A field name the proxy acts on; everything else is [`Name::Other`].
#[allow(missing_docs, reason = "each variant is the field of that name")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    TransferEncoding,
    ContentLength,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Forwarded,
    /// Any name that begins with `X-Forwarded-`.
    XForwarded,
    XRealIp,
    XRequestId,
    Via,
    Cookie,
    Authorization,
    ProxyAuthorization,
    ProxyAuthenticate,
    Accept,
    AcceptEncoding,
    UserAgent,
    Referer,
    ContentType,
    Date,
    Server,
    Location,
    SetCookie,
    RetryAfter,
    SecWebsocketKey,
    SecWebsocketVersion,
    SecWebsocketAccept,
    Http2Settings,
    Other,
}

impl Name {
    /// The name that `name` is, in any case. Cost: its length picks at most five candidates, each one or two compares of words.
    #[inline]
    pub fn of(name: &[u8]) -> Name {
        match name.len() {
            2 if is(name, b"te") => Name::Te,
            3 if is(name, b"via") => Name::Via,
            4 if is(name, b"host") => Name::Host,
            4 if is(name, b"date") => Name::Date,
            6 if is(name, b"accept") => Name::Accept,
            6 if is(name, b"cookie") => Name::Cookie,
            6 if is(name, b"expect") => Name::Expect,
            6 if is(name, b"server") => Name::Server,
            7 if is(name, b"referer") => Name::Referer,
            7 if is(name, b"upgrade") => Name::Upgrade,
            7 if is(name, b"trailer") => Name::Trailer,
            8 if is(name, b"location") => Name::Location,
            9 if is(name, b"forwarded") => Name::Forwarded,
            9 if is(name, b"x-real-ip") => Name::XRealIp,
            10 if is(name, b"connection") => Name::Connection,
            10 if is(name, b"user-agent") => Name::UserAgent,
            10 if is(name, b"keep-alive") => Name::KeepAlive,
            10 if is(name, b"set-cookie") => Name::SetCookie,
            11 if is(name, b"retry-after") => Name::RetryAfter,
            12 if is(name, b"content-type") => Name::ContentType,
            12 if is(name, b"x-request-id") => Name::XRequestId,
            13 if is(name, b"authorization") => Name::Authorization,
            14 if is(name, b"content-length") => Name::ContentLength,
            14 if is(name, b"http2-settings") => Name::Http2Settings,
            15 if is(name, b"accept-encoding") => Name::AcceptEncoding,
            16 if is(name, b"proxy-connection") => Name::ProxyConnection,
            17 if is(name, b"transfer-encoding") => Name::TransferEncoding,
            17 if is(name, b"sec-websocket-key") => Name::SecWebsocketKey,
            18 if is(name, b"proxy-authenticate") => Name::ProxyAuthenticate,
            19 if is(name, b"proxy-authorization") => Name::ProxyAuthorization,
            20 if is(name, b"sec-websocket-accept") => Name::SecWebsocketAccept,
            21 if is(name, b"sec-websocket-version") => Name::SecWebsocketVersion,
            13.. if is(&name[..12], b"x-forwarded-") => Name::XForwarded,
            _ => Name::Other,
        }
    }

    /// Whether the field speaks to the next hop only, so that it is never forwarded as it came (RFC 9110 7.6.1, 11.7; RFC 9112 6).
    /// `Content-Length` is among them because outgoing framing is always written anew.
    pub fn is_hop(self) -> bool {
        matches!(
            self,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::TransferEncoding
                | Name::ContentLength
                | Name::Te
                | Name::Trailer
                | Name::Upgrade
                | Name::Http2Settings
                | Name::ProxyAuthorization
                | Name::ProxyAuthenticate
        )
    }
}

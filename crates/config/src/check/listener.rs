//! `[listener.NAME]`: where clients are listened for, and what they may do.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;

use ipnet::IpNet;

use super::{headers, network, route};
use crate::doc::{Doc, Section, Text, Value};
use crate::keys;
use crate::model::{Limits, Listener, ListenerTimeouts, Template};
use crate::units;

/// A listener; `section` may be absent, so the addresses are given.
pub(crate) fn read(section: &Section<'_>, name: &str, listen: Vec<SocketAddr>, proxies: &[IpNet]) -> Listener {
    // One word is legal so far.
    section.choice("protocol");
    Listener {
        name: name.to_owned(),
        listen,
        trusted_proxies: section.get("trusted_proxies").map_or_else(|| proxies.to_vec(), networks),
        limits: limits(&section.section("limits", &keys::LIMITS)),
        timeout: timeout(&section.section("timeout", &keys::LISTENER_TIMEOUT)),
        redirect: section.get("redirect").and_then(Value::text).and_then(|text| redirect(&text)),
        underscores: section.flag("underscores"),
        keep_encoded_slash: section.flag("keep_encoded_slash"),
        max_connections: section.optional_integer("max_connections").and_then(NonZeroU32::new),
        max_connections_per_ip: section.optional_integer("max_connections_per_ip").and_then(NonZeroU32::new),
    }
}

/// `"https"`, or a place.
fn redirect(text: &Text<'_>) -> Option<Template> {
    if text.as_str() == "https" {
        return headers::parts("https://{host}{uri}").ok().map(|parts| Template::new(parts, false));
    }
    route::place(text)
}

fn limits(section: &Section<'_>) -> Limits {
    let bytes = |key| usize::try_from(section.size(key)).unwrap_or(usize::MAX);
    let limits = Limits {
        target: bytes("target"),
        line: bytes("line"),
        head: bytes("head"),
        fields: section.integer("fields"),
        body: section.get("body").and_then(Value::size),
    };
    for (key, size) in [("target", limits.target), ("line", limits.line)] {
        if size > limits.head {
            let span = section.get("head").or_else(|| section.get(key)).map_or(section.span.clone(), |value| value.span());
            section.doc.fault(
                span,
                format!("`head` is smaller than `{key}`, which is a part of it"),
                format!("`{key}` is {size} B, `head` is {} B", limits.head),
            );
            break;
        }
    }
    limits
}

fn timeout(section: &Section<'_>) -> ListenerTimeouts {
    ListenerTimeouts {
        header: section.duration("header"),
        idle: section.duration("idle"),
        body: section.duration("body"),
        body_rate: section.parsed("body_rate", units::byte_rate),
    }
}

/// `trusted_proxies` at the top level: for every listener without its own.
pub(super) fn top_level_proxies(root: &Section<'_>) -> Vec<IpNet> {
    root.get("trusted_proxies").map(networks).unwrap_or_default()
}

pub(super) fn networks(value: Value<'_>) -> Vec<IpNet> {
    value.one_or_many().into_iter().filter_map(|item| item.text()?.read(network::network)).collect()
}

/// Every address listened on so far.
pub(crate) type Taken = HashSet<SocketAddr>;

/// One address or several, at least one, none taken.
pub(super) fn addresses(value: Value<'_>, taken: &mut Taken) -> Vec<SocketAddr> {
    let items = value.clone().one_or_many();
    if items.is_empty() {
        value.fault("there is no address to listen on", "as in \"0.0.0.0:80\"");
    }
    let mut addresses = Vec::new();
    for text in items.into_iter().filter_map(Value::text) {
        let read = text.read(network::listen).unwrap_or_default();
        for address in &read {
            take(value.doc, *address, text.span(), taken);
        }
        addresses.extend(read);
    }
    addresses
}

/// Reports an address that is taken already. Port 0 is a new port each time.
pub(super) fn take(doc: &Doc<'_>, address: SocketAddr, span: Range<usize>, taken: &mut Taken) {
    if address.port() != 0 && !taken.insert(address) {
        doc.fault(span, format!("{address} is listened on twice"), "an address can have one listener, the admin listener included");
    }
}

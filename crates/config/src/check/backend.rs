//! One backend: its address and what may be said about it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use policy::balance::Weight;

use super::network::port;
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::{Address, Backend};
use crate::report::shown;
use crate::units::Wrong;

/// An item of `backends`: an address, or a table with one.
pub(super) fn read(value: &Value<'_>, title: String) -> Option<(Backend, std::ops::Range<usize>)> {
    if !value.is_table() {
        let text = value.clone().text()?;
        return Some((plain(text.read(address)?), text.span()));
    }
    let section = value.section(&keys::BACKEND, title)?;
    let max_connections = section.optional_integer("max_connections").and_then(NonZeroU32::new);
    let name = section
        .get("name")
        .and_then(Value::text)
        .and_then(|text| text.read(|name| super::legal_name(name).map(|()| name.to_owned())));
    let weight = weight(section.integer("weight"));
    let tier = tier(&section);
    let text = section.require("address")?.text()?;
    let backend = Backend { name, weight, tier, max_connections, ..plain(text.read(address)?) };
    Some((backend, text.span()))
}

/// `backup` is a tier by its name.
fn tier(section: &Section<'_>) -> u8 {
    let backup = u8::from(section.flag("backup"));
    let tier = section.optional_integer("tier");
    if let (Some(value), true) = (section.get("backup"), tier.is_some()) {
        value.fault("`backup` and `tier` say the same thing", "keep `tier`; a backup is `tier = 1`");
    }
    tier.unwrap_or(backup)
}

fn weight(weight: u16) -> Weight {
    Weight::new(weight).unwrap_or_default()
}

/// A backend of which only the address is known.
pub(crate) fn plain(address: Address) -> Backend {
    Backend { address, name: None, weight: Weight::default(), tier: 0, max_connections: None }
}

/// `"10.0.0.1:80"`, `"[::1]:80"`, `"app.internal:8080"`, `"app"` (port 80), each also after `http://`.
pub(crate) fn address(text: &str) -> Result<Address, Wrong> {
    let (rest, at) = without_scheme(text)?;
    let rest = rest.strip_suffix('/').filter(|_| at > 0).unwrap_or(rest);
    if let Some(slash) = rest.find(['/', '?', '#']) {
        return Err(Wrong::new("a backend has no path", format!("write \"{}\"", &text[..at + slash])).at(at + slash..text.len()));
    }
    if let Some(user) = rest.find('@') {
        return Err(Wrong::new("a backend has no user", "write only host and port").at(at..at + user + 1));
    }
    if rest.parse::<Ipv6Addr>().is_ok() {
        return Err(Wrong::new(
            format!("{} is ambiguous: an IPv6 address needs brackets", shown(rest)),
            format!("write \"[{rest}]:80\""),
        ));
    }
    let (host, number) = host_and_port(rest);
    let number = match number {
        None => 80,
        Some(digits) => port(digits).filter(|port| *port != 0).ok_or_else(|| {
            let from = at + rest.len() - digits.len();
            Wrong::new(format!("{} is not a port", shown(digits)), "a port is a number from 1 to 65535")
                .at(from..from + digits.len())
        })?,
    };
    let host_at = at..at + host.len();
    if let Some(ip) = ip_literal(host).map_err(|wrong| wrong.at(host_at.clone()))? {
        return Ok(Address::Socket(SocketAddr::new(ip, number)));
    }
    let host = host_name(host).map_err(|wrong| wrong.at(host_at))?;
    Ok(Address::Name { host, port: number })
}

/// An IPv4 address or an IPv6 address in brackets; `None` if it is neither, so a name.
fn ip_literal(host: &str) -> Result<Option<IpAddr>, Wrong> {
    let Some(inner) = host.strip_prefix('[') else {
        return Ok(host.parse().ok());
    };
    let ip = inner.strip_suffix(']').and_then(|ip| ip.parse::<Ipv6Addr>().ok());
    ip.map(|ip| Some(ip.into()))
        .ok_or_else(|| Wrong::new(format!("{} is not an IPv6 address", shown(host)), "as in \"[::1]:8080\""))
}

/// A host with or without a port, as in a `Host` field: in lower case and without the trailing dot.
pub(super) fn authority(text: &str) -> Result<String, Wrong> {
    let (host, number) = host_and_port(text);
    if let Some(digits) = number.filter(|digits| port(digits).is_none()) {
        return Err(Wrong::new(format!("{} is not a port", shown(digits)), "a port is a number from 1 to 65535")
            .at(host.len() + 1..text.len()));
    }
    if ip_literal(host)?.is_some() {
        return Ok(host.to_ascii_lowercase());
    }
    host_name(host)
}

/// The text after `http://`, and how much was before.
fn without_scheme(text: &str) -> Result<(&str, usize), Wrong> {
    if text.starts_with("unix:") || text.starts_with('/') {
        return Err(Wrong::new("this version does not reach backends through Unix sockets", "as in \"127.0.0.1:8080\""));
    }
    match text.split_once("://") {
        None => Ok((text, 0)),
        Some(("http", rest)) => Ok((rest, "http://".len())),
        Some(("https", _)) => Err(Wrong::new(
            "`https://` backends are part of the language but not served by this version yet",
            "this version speaks plain HTTP to backends",
        )
        .at(0.."https://".len())),
        Some((scheme, rest)) => {
            Err(Wrong::new(format!("{} backends are not known", shown(scheme)), format!("did you mean \"http://{rest}\"?"))
                .at(0..scheme.len()))
        }
    }
}

pub(super) fn host_and_port(text: &str) -> (&str, Option<&str>) {
    // Without its `]` a `[` opens an address that no port can follow.
    let bracket = if text.starts_with('[') { text.find(']').unwrap_or(text.len()) } else { 0 };
    match text[bracket..].find(':') {
        Some(colon) => (&text[..bracket + colon], Some(&text[bracket + colon + 1..])),
        None => (text, None),
    }
}

/// A DNS name, in lower case and without the trailing dot.
pub(super) fn host_name(text: &str) -> Result<String, Wrong> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fault = |hint: &str| Err(Wrong::new(format!("{} is not a host", shown(text)), hint));
    if name.is_empty() {
        return fault("as in \"app.internal\" or \"10.0.0.1\"");
    }
    if !name.is_ascii() {
        return fault("write names beyond ASCII in their `xn--` form");
    }
    let legal = |label: &str| {
        let characters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && characters && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(legal) {
        return fault("labels are 1 to 63 letters, digits, `-` and `_`, with dots between them");
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return fault("it looks like an IPv4 address, which has four numbers from 0 to 255");
    }
    Ok(name.to_ascii_lowercase())
}

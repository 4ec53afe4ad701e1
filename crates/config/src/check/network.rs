//! Addresses to listen on and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::report::shown;
use crate::units::Wrong;

/// `"10.0.0.1:80"`, `"[::]:80"`; `":80"` is every address of the machine.
pub(crate) fn listen(text: &str) -> Result<Vec<SocketAddr>, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    if let Some(port) = text.strip_prefix(':').and_then(port) {
        return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]);
    }
    Err(why_not_listen(text))
}

/// Exactly one address, so `":80"` is not enough.
pub(crate) fn one_address(text: &str) -> Result<SocketAddr, Wrong> {
    match listen(text)?.as_slice() {
        [one] => Ok(*one),
        _ => Err(Wrong::new("one address is wanted here", format!("write \"0.0.0.0{text}\" for every IPv4 address"))),
    }
}

fn why_not_listen(text: &str) -> Wrong {
    let message = format!("{} is not an address to listen on", shown(text));
    if let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("tcp://")) {
        return Wrong::new(message, format!("without the scheme: \"{}\"", rest.trim_end_matches('/')));
    }
    if text.starts_with('/') || text.starts_with("unix:") {
        return Wrong::new("this version does not listen on Unix sockets", "as in \"127.0.0.1:8000\"");
    }
    if port(text).is_some() {
        return Wrong::new(message, format!("write \"0.0.0.0:{text}\", or \"127.0.0.1:{text}\" for this machine alone"));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Wrong::new(format!("{} has no port", shown(text)), format!("write \"{}\"", SocketAddr::new(ip, 80)));
    }
    match text.rsplit_once(':') {
        Some(("localhost", number)) if port(number).is_some() => Wrong::new(message, format!("write \"127.0.0.1:{number}\"")),
        Some(("*", number)) if port(number).is_some() => {
            Wrong::new(message, format!("write \":{number}\" for every address of the machine"))
        }
        Some((host, number)) if port(number).is_none() && !number.is_empty() => {
            Wrong::new(format!("{} is not a port", shown(number)), "a port is a number from 0 to 65535")
                .at(host.len() + 1..text.len())
        }
        _ => Wrong::new(message, "as in \"0.0.0.0:80\" or \"[::]:80\""),
    }
}

/// Plain digits only: `parse` alone would take `+80`.
pub(super) fn port(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `"10.0.0.0/8"`, or an address alone.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.into());
    }
    let net: IpNet = text.parse().map_err(|_| why_not_network(text))?;
    if net.trunc() != net {
        return Err(Wrong::new(
            format!("{} has bits beyond its prefix", shown(text)),
            format!("write \"{}\", or \"{}\" for the one address", net.trunc(), net.addr()),
        ));
    }
    Ok(net)
}

fn why_not_network(text: &str) -> Wrong {
    let prefix = text.split_once('/').filter(|(ip, _)| ip.parse::<IpAddr>().is_ok());
    if let Some((ip, prefix)) = prefix {
        let most = if ip.contains(':') { 128 } else { 32 };
        return Wrong::new(format!("{} is not a prefix length", shown(prefix)), format!("it is from 0 to {most}"))
            .at(ip.len() + 1..text.len());
    }
    Wrong::new(
        format!("{} is neither an address nor a network", shown(text)),
        "as in \"10.0.0.0/8\", \"203.0.113.9\" or \"fd00::/8\"",
    )
}

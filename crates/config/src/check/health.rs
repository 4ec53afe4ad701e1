//! How the backends of a pool are probed.

use std::ops::RangeInclusive;

use policy::health::Params;

use super::{backend, statuses};
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::{Check, Health};
use crate::report::shown;
use crate::units::{self, Wrong};

/// `health` of a pool, or of the short form.
pub(super) fn read(pool: &Section<'_>) -> Health {
    let absent = || Section::absent(pool.doc, &keys::HEALTH);
    match pool.get("health") {
        Some(value) if value.as_flag() == Some(false) => Health { check: Check::Off, params: params(&absent()) },
        Some(value) if value.as_flag() == Some(true) => {
            value.fault("`health` is on already", "leave it out for TCP probes, or say `{ path = \"/health\" }`");
            probed(&absent())
        }
        _ => probed(&pool.section("health", &keys::HEALTH)),
    }
}

fn probed(section: &Section<'_>) -> Health {
    Health { check: check(section), params: params(section) }
}

fn check(section: &Section<'_>) -> Check {
    let path = section.get("path").and_then(Value::text).and_then(|text| text.read(path));
    let host = section.get("host").and_then(Value::text).and_then(|text| text.read(host));
    let status = section.parsed("status", passing);
    let tcp = section.get("tcp");
    let is_tcp = tcp.clone().and_then(Value::flag);
    match (tcp, is_tcp) {
        (Some(tcp), Some(true)) if section.has("path") => {
            tcp.fault("a probe is either TCP or HTTP, and `path` makes it HTTP", "take out `tcp` or `path`");
        }
        (Some(tcp), Some(false)) if !section.has("path") => {
            tcp.fault("without TCP there is nothing to probe", "add `path = \"/health\"`, or write `health = false` for no probes");
        }
        _ => {}
    }
    if !section.has("path") {
        for key in ["host", "status"] {
            if let Some(value) = section.get(key) {
                section.doc.missing(
                    value.key_span(),
                    format!("`{key}` needs `path`: a TCP probe has none"),
                    "add `path = \"/health\"`",
                );
            }
        }
    }
    path.map_or(Check::Tcp, |path| Check::Http { path, host, status })
}

fn path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        let hint = match text.split_once("://").map(|(_, rest)| rest.split_once('/')) {
            Some(Some((_, path))) => format!("the path alone: \"/{path}\""),
            Some(None) => "the path alone: \"/\"".to_owned(),
            None => format!("write \"/{}\"", text.escape_debug()),
        };
        return Err(Wrong::new("a health path begins with `/`", hint));
    }
    match text.find(|c: char| !c.is_ascii_graphic() || c == '#') {
        Some(at) => {
            Err(Wrong::new("a health path is visible ASCII without spaces and `#`", "write other characters as `%20`")
                .at(at..at + 1))
        }
        None => Ok(text.to_owned()),
    }
}

/// The value of a `Host` field: a host with or without a port.
fn host(text: &str) -> Result<String, Wrong> {
    backend::authority(text)?;
    Ok(text.to_owned())
}

/// `"200-399"`, `"200,204"`.
fn passing(text: &str) -> Result<Vec<RangeInclusive<u16>>, Wrong> {
    let mut ranges = Vec::new();
    let mut at = 0;
    for item in text.split(',') {
        let trimmed = item.trim();
        let from = at + item.len() - item.trim_start().len();
        ranges.push(statuses(trimmed, 100).ok_or_else(|| {
            Wrong::new(format!("{} is neither a status nor a range of them", shown(trimmed)), "as in \"200-399\" or \"200,204\"")
                .at(from..from + trimmed.len())
        })?);
        at += item.len() + 1;
    }
    Ok(ranges)
}

fn params(section: &Section<'_>) -> Params {
    let interval = section.duration("interval");
    let timeout = match section.get("timeout").and_then(|value| Some((value.span(), value.duration()?))) {
        Some((span, timeout)) if timeout > interval => {
            let interval = units::show_duration(interval);
            section.doc.fault(
                span,
                "a probe would still run when the next one is due",
                format!("at most `interval`, which is {interval}"),
            );
            timeout
        }
        Some((_, timeout)) => timeout,
        None => Params::default().timeout.min(interval),
    };
    Params {
        interval,
        timeout,
        jitter: section.parsed("jitter", units::percent),
        rise: section.integer("rise"),
        fall: section.integer("fall"),
        edge_interval: section.duration("edge_interval").min(interval),
        hold_down_max: section.duration("hold_down_max"),
    }
}

//! How the backends of a pool are probed.

use std::ops::RangeInclusive;

use policy::expression::Scope;
use policy::health::Params;

use super::{backend, key, pattern, statuses};
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::{Check, CheckTls, Health, Pattern, Wanted};
use crate::report::shown;
use crate::units::{self, Wrong};

/// `health` of a pool, or of the short form.
pub(super) fn read(pool: &Section<'_>) -> Health {
    let absent = || Section::absent(pool.doc, &keys::HEALTH);
    match pool.get("health") {
        Some(value) if value.as_flag() == Some(false) => Health { check: Check::Off, ..probed(&absent()) },
        Some(value) if value.as_flag() == Some(true) => {
            value.fault("`health` is on already", "leave it out for TCP probes, or say `{ path = \"/health\" }`");
            probed(&absent())
        }
        _ => probed(&pool.section("health", &keys::HEALTH)),
    }
}

fn probed(section: &Section<'_>) -> Health {
    let port = section.optional_integer("port");
    let check = check(section);
    Health { check, port, tls: tls(section), answer: wanted(section), params: params(section) }
}

fn check(section: &Section<'_>) -> Check {
    let path = section.get("path").and_then(Value::text).and_then(|text| text.read(path));
    let host = section.get("host").and_then(Value::text).and_then(|text| text.read(host));
    let grpc = section.get("grpc").and_then(Value::text).and_then(|text| text.read(service));
    let status = section.parsed("status", passing);
    let tcp = section.get("tcp");
    let is_tcp = tcp.clone().and_then(Value::flag);
    let kind = ["path", "grpc"].into_iter().find(|kind| section.has(kind));
    match (tcp, is_tcp, kind) {
        (Some(tcp), Some(true), Some("path")) => {
            tcp.fault("a probe is either TCP or HTTP, and `path` makes it HTTP", "take out `tcp` or `path`");
        }
        (Some(tcp), Some(true), Some(_)) => {
            tcp.fault("a probe is either TCP or gRPC, and `grpc` makes it gRPC", "take out `tcp` or `grpc`");
        }
        (Some(tcp), Some(false), None) => {
            tcp.fault("without TCP there is nothing to probe", "add `path = \"/health\"`, or write `health = false` for no probes");
        }
        _ => {}
    }
    if let Some(value) = section.get("grpc").filter(|_| section.has("path")) {
        section.doc.fault(
            value.key_span(),
            "a probe is either gRPC or HTTP, and `path` makes it HTTP",
            "take out `grpc` or `path`",
        );
    }
    if !section.has("path") {
        let (what, needing): (_, &[&str]) = match section.has("grpc") {
            true => ("gRPC", &["status", "body", "expect", "degraded"]),
            false => ("TCP", &["host", "status", "body", "expect", "degraded"]),
        };
        for key in needing {
            if let Some(value) = section.get(key) {
                let message = format!("`{key}` needs `path`: a {what} probe has none");
                section.doc.missing(value.key_span(), message, "add `path = \"/health\"`");
            }
        }
    }
    match (path, grpc) {
        (Some(path), _) => Check::Http { path, host, status },
        (None, Some(service)) => Check::Grpc { service, host },
        (None, None) => Check::Tcp,
    }
}

fn wanted(section: &Section<'_>) -> Wanted {
    let condition = |name| section.get(name)?.text()?.read(|text| key::condition(text, Scope::Answer));
    Wanted {
        body: section.get("body").and_then(Value::text).and_then(|text| text.read(|text| pattern::regex(text, 0).map(Pattern))),
        expect: condition("expect"),
        degraded: condition("degraded"),
    }
}

fn tls(section: &Section<'_>) -> Option<CheckTls> {
    let value = section.get("tls")?;
    if !value.is_table() {
        return value.flag()?.then(CheckTls::default);
    }
    let section = value.section(&keys::HEALTH_TLS, section.under("tls"))?;
    let tls = CheckTls {
        ca: section.get("ca").and_then(Value::text).and_then(|text| text.read_file(certificates)),
        insecure: section.flag("insecure"),
        server_name: section.get("server_name").and_then(Value::text).and_then(|text| text.read(server_name)),
    };
    if let Some(value) = section.get("ca").filter(|_| tls.insecure) {
        section.doc.fault(value.key_span(), "`insecure` believes any certificate, so `ca` decides nothing", "take out one of them");
    }
    Some(tls)
}

fn certificates(text: &str) -> Result<String, Wrong> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("there is no certificate in this file", "it must hold one or more in PEM"))
}

fn server_name(text: &str) -> Result<String, Wrong> {
    let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new("a server name is a host without port", "as in \"shop.example.com\""))
    }
}

/// `package.Service`, or nothing.
fn service(text: &str) -> Result<String, Wrong> {
    match text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_') {
        Some(at) => {
            Err(Wrong::new("a gRPC service is named by letters, digits, `_` and dots", "as in \"shop.Orders\"").at(at..at + 1))
        }
        None => Ok(text.to_owned()),
    }
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

//! `match` of a route: hosts, paths, and the values of headers, cookies and query parameters.

use policy::route::{Condition, HostMatch, PathMatch, Rule, ValueMatch};
use regex::bytes::{Regex, RegexBuilder};

use super::{backend, headers, listener};
use crate::doc::{Name, Section, Text, Value};
use crate::report::shown;
use crate::units::Wrong;

pub(super) fn rule(section: &Section<'_>, priority: i32) -> Rule {
    Rule {
        priority,
        host: section.get("host").and_then(Value::text).and_then(|text| text.read(host)).unwrap_or(HostMatch::Any),
        path: section.get("path").and_then(Value::text).and_then(|text| text.read(path)).unwrap_or(PathMatch::Any),
        conditions: conditions(section),
    }
}

fn conditions(section: &Section<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if let Some(value) = section.get("method") {
        conditions.push(Condition::Method(methods(value)));
    }
    for (name, value) in patterns(section, "header") {
        if let Err(wrong) = header_name(name.text) {
            section.doc.fault(name.span.clone(), wrong.message, wrong.hint);
        }
        conditions.push(Condition::Header { name: name.text.to_ascii_lowercase(), value });
    }
    for (name, value) in patterns(section, "cookie") {
        if !headers::is_token(name.text) {
            section.doc.fault(
                name.span.clone(),
                format!("{} is not the name of a cookie", shown(name.text)),
                "names are letters, digits, `-` and `_`",
            );
        }
        conditions.push(Condition::Cookie { name: name.text.to_owned(), value });
    }
    for (name, value) in patterns(section, "query") {
        conditions.push(Condition::Query { name: name.text.to_owned(), value });
    }
    if let Some(value) = section.get("client_ip") {
        let span = value.span();
        let networks = listener::networks(value.clone());
        if value.one_or_many().is_empty() {
            section.doc.fault(span, "no client is in an empty list", "leave `client_ip` out for every client");
        }
        conditions.push(Condition::ClientIp(networks));
    }
    conditions
}

/// The matcher's own name for the host is `host`, not a header.
fn header_name(name: &str) -> Result<(), Wrong> {
    if !headers::is_token(name) {
        return Err(Wrong::new(
            format!("{} is not a header name", shown(name)),
            "names are letters, digits and `-`, as in `X-Tier`",
        ));
    }
    if name.eq_ignore_ascii_case("host") {
        return Err(Wrong::new("the host is matched by `host`", "write `host = \"shop.example.com\"` in `match`"));
    }
    Ok(())
}

fn methods(value: Value<'_>) -> Vec<String> {
    let span = value.span();
    let doc = value.doc;
    let items = value.one_or_many();
    if items.is_empty() {
        doc.fault(span, "no request has a method of an empty list", "leave `method` out for every method");
    }
    items.into_iter().filter_map(|item| item.text()?.read(method)).collect()
}

pub(super) fn method(text: &str) -> Result<String, Wrong> {
    if !headers::is_token(text) {
        return Err(Wrong::new(format!("{} is not a method", shown(text)), "as in \"GET\""));
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Wrong::new("methods are in capitals", format!("write \"{}\"", text.to_ascii_uppercase())));
    }
    if matches!(text, "CONNECT" | "TRACE") {
        return Err(Wrong::new(format!("{text} never reaches a route"), "it is answered with 405"));
    }
    Ok(text.to_owned())
}

/// `"shop.example.com"`, `"*.example.com"`, `"[::1]"`.
fn host(text: &str) -> Result<HostMatch, Wrong> {
    if text == "*" {
        return Err(Wrong::new("`*` alone matches nothing", "leave `host` out for every host, or write \"*.example.com\""));
    }
    if let Some((_, rest)) = text.split_once("://") {
        return Err(Wrong::new("a host has no scheme", format!("write \"{}\"", rest.split('/').next().unwrap_or(rest))));
    }
    if let Some(slash) = text.find('/') {
        return Err(Wrong::new("a host has no path", "say it in `path`").at(slash..text.len()));
    }
    let (name, port) = backend::host_and_port(text);
    if port.is_some() {
        return Err(Wrong::new("hosts are matched without the port", format!("write \"{name}\"")).at(name.len()..text.len()));
    }
    if let Some(domain) = text.strip_prefix("*.") {
        return Ok(HostMatch::Wildcard(backend::host_name(domain)?));
    }
    if text.contains('*') {
        return Err(Wrong::new("a wildcard is `*.` and a domain", "as in \"*.example.com\""));
    }
    backend::authority(text).map(HostMatch::Exact)
}

/// `"/prefix/"`, `"=/exact"`, `"~regex"`.
fn path(text: &str) -> Result<PathMatch, Wrong> {
    if let Some(pattern) = text.strip_prefix('~') {
        return regex(pattern, 1).map(PathMatch::Regex);
    }
    let exact = text.strip_prefix('=');
    let plain = exact.unwrap_or(text);
    let at = text.len() - plain.len();
    if !plain.starts_with('/') {
        let hint = if plain.contains(['^', '*', '$', '\\']) {
            "a regular expression begins with `~`, as in \"~^/v[0-9]+/\"".to_owned()
        } else {
            format!("write \"{}/{}\"", &text[..at], plain.escape_debug())
        };
        return Err(Wrong::new("a path begins with `/`", hint));
    }
    if let Some(found) = plain.find(['?', '#']) {
        return Err(Wrong::new("a path has no query", "match one with `query = { name = \"value\" }`").at(at + found..text.len()));
    }
    if let Some(found) = plain.find('*') {
        return Err(Wrong::new(
            "`*` has no meaning in a path",
            "\"/api/\" takes everything below it; a regular expression begins with `~`",
        )
        .at(at + found..at + found + 1));
    }
    if let Some(found) = plain.find(|c: char| !c.is_ascii_graphic()) {
        return Err(Wrong::new("a path is visible ASCII", "write other characters as `%20`").at(at + found..text.len()));
    }
    if plain.contains("//") || plain.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Wrong::new(
            "this path never comes: `//`, `/./` and `/../` are resolved before paths are matched",
            "write the resolved path",
        ));
    }
    Ok(if exact.is_some() { PathMatch::Exact(plain.to_owned()) } else { PathMatch::Prefix(plain.to_owned()) })
}

/// The entries of `header`, `cookie` or `query`.
fn patterns<'a>(section: &Section<'a>, key: &str) -> Vec<(Name<'a>, ValueMatch)> {
    let entries = section.get(key).and_then(Value::map).unwrap_or_default();
    entries.into_iter().filter_map(|(name, value)| Some((name, value_match(value)?))).collect()
}

fn value_match(value: Value<'_>) -> Option<ValueMatch> {
    match value.as_flag() {
        Some(true) => Some(ValueMatch::Present),
        Some(false) => Some(ValueMatch::Absent),
        None => value.text().and_then(|text: Text<'_>| text.read(pattern)),
    }
}

/// `"value"`, `"~regex"`, `"*"`.
fn pattern(text: &str) -> Result<ValueMatch, Wrong> {
    match text.strip_prefix('~') {
        Some(pattern) => regex(pattern, 1).map(ValueMatch::Regex),
        None if text == "*" => Ok(ValueMatch::Present),
        None => Ok(ValueMatch::Exact(text.to_owned())),
    }
}

/// Compiled: a regex that is at fault must not wait for the first request. `at` is where it begins in its text.
pub(super) fn regex(pattern: &str, at: usize) -> Result<Regex, Wrong> {
    /// Bounds memory and the time a check takes; `[a-z]{1,100}` and the like stay far below.
    const LARGEST: usize = 1 << 20;
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern);
    if let Err(error) = parsed {
        let (span, what) = match &error {
            regex_syntax::Error::Parse(error) => (*error.span(), error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (*error.span(), error.kind().to_string()),
            _ => return Err(Wrong::new("this is not a regular expression", "")),
        };
        return Err(Wrong::new("this is not a regular expression", what).at(at + span.start.offset..at + span.end.offset));
    }
    RegexBuilder::new(pattern)
        .size_limit(LARGEST)
        .build()
        .map_err(|_| Wrong::new("this regular expression is too large", "counted repetitions such as `{1000}` multiply"))
}

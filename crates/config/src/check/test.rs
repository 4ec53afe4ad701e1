//! `[[test]]`: requests and what must become of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::{backend, headers, pattern};
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::{Expect, Expected, Place, Route, Test, Url};
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::Wrong;

/// Every `[[test]]`, in the order of the file.
pub(super) fn read_all(root: &Section<'_>, pools: &HashMap<&str, usize>, routes: &[Route]) -> Vec<Test> {
    let Some(value) = root.get("test") else { return Vec::new() };
    if value.is_table() {
        root.doc.fault(value.span(), "tests are a list", "write [[test]] with two brackets");
        return Vec::new();
    }
    let sections = value.array().unwrap_or_default().into_iter();
    let sections = sections.filter_map(|item| item.section(&keys::TEST, "[[test]]".to_owned()));
    sections.filter_map(|section| read(&section, pools, routes)).collect()
}

fn read(section: &Section<'_>, pools: &HashMap<&str, usize>, routes: &[Route]) -> Option<Test> {
    let text = section.require("request").and_then(Value::text);
    let request = text.as_ref().and_then(|text| text.read(request));
    let header = section.get("header").map(fields).unwrap_or_default();
    let header = header.into_iter().filter_map(|(name, value, _)| Some((name, value?))).collect();
    let from = section.get("from").and_then(Value::text).and_then(|text| text.read(address));
    let body = section.string("body");
    let expect = section.require("expect").and_then(|value| value.section(&keys::EXPECT, section.under("expect")));
    let expect = expect.map(|expect| expected(&expect, pools, routes)).unwrap_or_default();
    let name = section.get("name").and_then(Value::text).map(crate::doc::Text::into_string);
    let (method, url) = request?;
    Some(Test {
        name: name.or_else(|| text.map(|text| text.as_str().to_owned())).unwrap_or_default(),
        method,
        url,
        header,
        from: from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        body,
        expect,
        place: Place::default(),
    })
}

fn expected(section: &Section<'_>, pools: &HashMap<&str, usize>, routes: &[Route]) -> Vec<Expected> {
    let mut all = Vec::new();
    let mut text = |key: &str, what: fn(String) -> Expect, known: Option<Vec<&str>>| {
        let Some(value) = section.get(key) else { return };
        let at = value.span();
        let Some(text) = value.text() else { return };
        if let Some(known) = known.filter(|known| !known.contains(&text.as_str())) {
            let hint = nearest(text.as_str(), known.iter().copied())
                .map_or_else(|| "so this can never hold".to_owned(), |name| format!("did you mean \"{}\"?", name.escape_debug()));
            section.doc.missing(at.clone(), format!("there is no {key} {}", text.shown()), hint);
        }
        all.push(Expected::new(what(text.into_string()), at));
    };
    text("pool", Expect::Pool, Some(pools.keys().copied().collect()));
    text("route", Expect::Route, Some(routes.iter().map(|route| route.name.as_str()).collect()));
    text("backend", Expect::Backend, None);
    text("redirect", Expect::Redirect, None);
    text("path", Expect::Path, None);
    text("reason", Expect::Reason, None);
    if let Some(value) = section.get("status") {
        let at = value.span();
        all.extend(value.integer().and_then(|status| u16::try_from(status).ok()).map(|s| Expected::new(Expect::Status(s), at)));
    }
    for (key, what) in [("header", Expect::Header as fn(_, _) -> _), ("request_header", Expect::RequestHeader)] {
        for (name, value, at) in section.get(key).map(fields).unwrap_or_default() {
            all.push(Expected::new(what(name, value), at));
        }
    }
    if all.is_empty() {
        section.doc.missing(section.span.clone(), "this test expects nothing", "as in `expect = { pool = \"api\", status = 200 }`");
    }
    all
}

/// Fields by name; `false` stands for one that is not there.
fn fields(value: Value<'_>) -> Vec<(String, Option<String>, std::ops::Range<usize>)> {
    let mut read = Vec::new();
    for (name, value) in value.map().unwrap_or_default() {
        if !headers::is_token(name.text) {
            let message = format!("{} is not a header name", shown(name.text));
            value.doc.fault(name.span.clone(), message, "names are letters, digits and `-`, as in `X-Tier`");
        }
        let at = value.span();
        if value.as_flag() == Some(false) {
            read.push((name.text.to_owned(), None, at));
            continue;
        }
        let Some(text) = value.text() else { continue };
        if text.as_str().chars().any(|c| c.is_control() && c != '\t') {
            text.wrong(Wrong::new("a header can't hold control characters", "they would end the field and begin another"));
        }
        read.push((name.text.to_owned(), Some(text.into_string()), at));
    }
    read
}

fn address(text: &str) -> Result<IpAddr, Wrong> {
    text.parse().map_err(|_| Wrong::new(format!("{} is not an address", shown(text)), "as in \"203.0.113.9\""))
}

/// `GET https://shop.example.com/api/items`.
fn request(text: &str) -> Result<(String, Url), Wrong> {
    let (method, rest) = text.split_once(' ').ok_or_else(|| {
        Wrong::new(format!("{} is not a method and a URL", shown(text)), "as in \"GET https://shop.example.com/api/items\"")
    })?;
    let method = pattern::method(method)?;
    Ok((method, url(rest.trim_start())?))
}

/// `http://` or `https://`, a host, and what of port, path and query there is.
pub(crate) fn url(text: &str) -> Result<Url, Wrong> {
    let wrong =
        |why: &str| Wrong::new(format!("{} is not a URL: {why}", shown(text)), "as in \"https://shop.example.com/api/items\"");
    let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(wrong("it begins with `http://` or `https://`")),
    };
    if text.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(wrong("spaces and everything that is not ASCII are written as `%20`"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.is_empty() || authority.contains('@') {
        return Err(wrong("it names no host"));
    }
    let target = target.split('#').next().unwrap_or_default();
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let (_, port) = backend::host_and_port(authority);
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong("the port is a number up to 65535"))?,
        None if https => 443,
        None => 80,
    };
    Ok(Url { https, authority: authority.to_owned(), port, target })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |text: &str| url(text).map(|url| (url.https, url.authority, url.port, url.target)).ok();
        let is = |https, authority: &str, port, target: &str| Some((https, authority.to_owned(), port, target.to_owned()));
        assert_eq!(parts("http://a.test/x?y=1#z"), is(false, "a.test", 80, "/x?y=1"));
        assert_eq!(parts("https://a.test"), is(true, "a.test", 443, "/"));
        assert_eq!(parts("https://[::1]:8443?q"), is(true, "[::1]:8443", 8443, "/?q"));
        for bad in ["a.test/x", "ftp://a/", "http:///x", "http://a:99999/", "http://a/ b", "http://u@a/"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}

//! `sticky` of a pool.

use std::time::Duration;

use policy::Key;

use super::headers::is_token;
use crate::doc::{Section, Text, Value};
use crate::keys;
use crate::model::{Secret, Sticky, StickyCookie};
use crate::report::shown;
use crate::units::Wrong;

/// Shorter ones are guessed too soon.
const SHORTEST_KEY: usize = 16;
/// How long the table remembers a client that does not come.
const REMEMBERED: Duration = Duration::from_secs(3600);

pub(super) fn read(pool: &Section<'_>) -> Option<Sticky> {
    let value = pool.get("sticky")?;
    let section = value.section(&keys::STICKY, pool.under("sticky"))?;
    let header = section.get("header").and_then(Value::text).and_then(|text| text.read(|name| token(name, "header")));
    let client_ip = section.flag("client_ip");
    let sessions = section.integer("sessions");
    let ttl = section.get("ttl").and_then(Value::duration);
    let cookie = cookie(&section, ttl);
    let key = match (section.has("header"), client_ip) {
        (false, false) => None,
        (true, _) => header.map(|name| Key::Header(name.to_ascii_lowercase())),
        (false, true) => Some(Key::ClientIp),
    };
    let ways = [("cookie", section.has("cookie")), ("header", section.has("header")), ("client_ip", client_ip)];
    let mut chosen = ways.into_iter().filter(|(_, is)| *is);
    if let (Some((first, _)), Some((second, _))) = (chosen.next(), chosen.next())
        && let Some(value) = section.get(second)
    {
        let message = format!("clients are told apart by `{first}` already");
        section.doc.fault(value.key_span(), message, "a pool is sticky by one of `cookie`, `header` and `client_ip`");
    }
    without_effect(&section, key.is_some());
    match key {
        Some(key) => Some(Sticky::Table { key, sessions, ttl: ttl.unwrap_or(REMEMBERED) }),
        None => Some(Sticky::Cookie(cookie)),
    }
}

fn without_effect(section: &Section<'_>, by_table: bool) {
    let (keys, why): (&[&str], _) = if by_table {
        (&["keys", "secure", "http_only", "same_site", "domain", "path"], "there is no cookie")
    } else {
        (&["sessions"], "a cookie needs no table")
    };
    for key in keys {
        if let Some(value) = section.get(key) {
            section.doc.warn(value.key_span(), format!("`{key}` has no effect here: {why}"), "take it out");
        }
    }
}

fn cookie(section: &Section<'_>, ttl: Option<Duration>) -> StickyCookie {
    let secure = section.get("secure").and_then(Value::flag);
    let same_site = section.choice("same_site");
    if same_site == "none"
        && secure == Some(false)
        && let Some(value) = section.get("same_site")
    {
        value.fault("browsers throw away a cookie with `same_site = \"none\"` that is not `secure`", "set `secure = true`");
    }
    StickyCookie {
        name: section.parsed("cookie", |name| token(name, "cookie")),
        ttl,
        keys: section.get("keys").map(Value::one_or_many).unwrap_or_default().into_iter().filter_map(key).collect(),
        secure,
        http_only: section.flag("http_only"),
        same_site,
        domain: section.get("domain").and_then(Value::text).and_then(|text: Text<'_>| text.read(domain)),
        path: section.parsed("path", path),
    }
}

fn key(value: Value<'_>) -> Option<Secret> {
    value.secret()?.read(|key| {
        let legal = key.len() >= SHORTEST_KEY && key.bytes().all(|b| b.is_ascii_graphic());
        legal.then(|| Secret::new(key)).ok_or_else(|| Wrong::new("", ""))
    })
}

fn token(name: &str, what: &str) -> Result<String, Wrong> {
    if is_token(name) {
        return Ok(name.to_owned());
    }
    Err(Wrong::new(format!("{} is not the name of a {what}", shown(name)), "letters, digits, `-` and `_`"))
}

fn domain(text: &str) -> Result<String, Wrong> {
    let legal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    legal.then(|| text.to_owned()).ok_or_else(|| Wrong::new(format!("{} is not a domain", shown(text)), "as in \"example.com\""))
}

fn path(text: &str) -> Result<String, Wrong> {
    let legal = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b';');
    legal.then(|| text.to_owned()).ok_or_else(|| Wrong::new(format!("{} is not a cookie's path", shown(text)), "as in \"/shop\""))
}

//! Who may use a route.

use std::collections::BTreeMap;

use policy::Networks;
use policy::auth::{basic, jwt};

use super::{headers, network, url};
use crate::doc::{Section, Text, Value};
use crate::keys;
use crate::model::{Access, BasicAuth, ForwardAuth, Jwt, JwtKeys, Secret};
use crate::report::shown;
use crate::units::Wrong;

/// The keys of a route that say who may use it.
pub(super) fn read(route: &Section<'_>) -> Access {
    let allow = route.get("allow");
    if let Some(value) = &allow
        && value.clone().one_or_many().is_empty()
    {
        value.fault("an empty `allow` would let nobody in", "take it out, or name a network");
    }
    let table = |key, table| route.get(key).and_then(|value| value.section(table, route.under(key)));
    Access {
        allow: allow.map(networks),
        deny: route.get("deny").map(networks).unwrap_or_default(),
        basic: table("basic_auth", &keys::BASIC_AUTH).and_then(|section| basic_auth(&section)),
        jwt: table("jwt", &keys::JWT).and_then(|section| token(&section)),
        forward: table("forward_auth", &keys::FORWARD_AUTH).and_then(|section| forward(&section)),
    }
}

/// Networks written here, and lists of them in files.
fn networks(value: Value<'_>) -> Networks {
    let mut all = Vec::new();
    for text in value.clone().one_or_many().into_iter().filter_map(Value::text) {
        if text.is_fetched() {
            let hint = "one a line, as in 10.0.0.0/8, and what follows # is a remark";
            lines(&value, &text, hint, |line| {
                network::network(line).map(|network| all.push(network)).map_err(|wrong| wrong.message)
            });
        } else {
            all.extend(text.read(network::network));
        }
    }
    Networks::new(all)
}

/// Each line of a fetched text that is more than a remark. A fault tells the line's number, never what stands there.
fn lines(value: &Value<'_>, text: &Text<'_>, hint: &str, mut read: impl FnMut(&str) -> Result<(), String>) {
    for (i, line) in text.as_str().lines().enumerate() {
        let entry = line.split('#').next().unwrap_or(line).trim();
        if !entry.is_empty() && read(entry).is_err() {
            value.doc.fault(text.span(), format!("line {} of {} can't be read", i + 1, text.shown()), hint);
        }
    }
}

fn basic_auth(section: &Section<'_>) -> Option<BasicAuth> {
    let realm = section.parsed("realm", realm);
    let header = section.get("header").and_then(Value::text).and_then(|text| text.read(identity));
    let strip = section.flag("strip");
    let value = section.require("users")?;
    let mut users = BTreeMap::new();
    if value.is_table() {
        let entries = value.clone().map().unwrap_or_default();
        if entries.is_empty() {
            value.fault("there is no user", "as in `users = { alice = \"$2y$...\" }`");
        }
        for (name, value) in entries {
            if let Err(wrong) = user(name.text) {
                section.doc.fault(name.span.clone(), wrong.message, wrong.hint);
            }
            let Some(hash) = value.clone().secret() else { continue };
            match basic::check(hash.as_str()) {
                Ok(()) => _ = users.insert(name.text.to_owned(), Secret::new(hash.as_str())),
                Err(why) => {
                    value.fault(format!("{} of the password of {}", cant(why), shown(name.text)), "`htpasswd -nB NAME` writes one")
                }
            }
        }
    } else {
        let text = value.clone().text()?;
        if !text.is_fetched() {
            value.fault("`users` are a table, or a file of lines", "as in `users = { file = \"htpasswd\" }`");
            return None;
        }
        lines(&value, &text, "each is `name:hash`, the hash of argon2 or bcrypt, as `htpasswd -B` writes it", |line| {
            let (name, hash) = line.split_once(':').ok_or("no colon")?;
            user(name).map_err(|wrong| wrong.message)?;
            basic::check(hash)?;
            users.insert(name.to_owned(), Secret::new(hash));
            Ok(())
        });
    }
    Some(BasicAuth { users, realm, header, strip })
}

fn cant(why: &str) -> String {
    format!("{why}, so it can't be the hash")
}

/// What can stand in the credentials and in a header.
fn user(name: &str) -> Result<(), Wrong> {
    if name.is_empty() || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Err(Wrong::new(format!("{} can't be the name of a user", shown(name)), "names are visible ASCII without `:`"));
    }
    Ok(())
}

fn realm(text: &str) -> Result<String, Wrong> {
    if !text.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b'\\')) {
        return Err(Wrong::new("a realm is visible ASCII without quotes", "as in \"Staff only\""));
    }
    Ok(text.to_owned())
}

/// The name of a field that tells the backend who somebody is.
fn identity(name: &str) -> Result<String, Wrong> {
    const OTHERS: [&str; 5] = ["host", "authorization", "cookie", "expect", "content-type"];
    headers::field_name(name)?;
    if OTHERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Wrong::new(format!("{} has a meaning of its own", shown(name)), "as in \"X-User\""));
    }
    Ok(name.to_owned())
}

fn names(section: &Section<'_>, key: &str, read: impl Fn(&str) -> Result<String, Wrong>) -> Option<Vec<String>> {
    let items = section.get(key)?.one_or_many();
    Some(items.into_iter().filter_map(|item| item.text()?.read(&read)).collect())
}

fn texts(section: &Section<'_>, key: &str) -> Vec<String> {
    let texts =
        names(section, key, |text| if text.is_empty() { Err(Wrong::new("this can't be empty", "")) } else { Ok(text.to_owned()) });
    texts.unwrap_or_default()
}

fn token(section: &Section<'_>) -> Option<Jwt> {
    let mut algorithms: Vec<&'static str> =
        section.get("algorithms").map(Value::one_or_many).unwrap_or_default().into_iter().filter_map(Value::choice).collect();
    if !section.has("algorithms") {
        algorithms = jwt::ALGORITHMS.to_vec();
    } else if let Some(value) = section.get("algorithms").filter(|value| value.clone().one_or_many().is_empty()) {
        value.fault("without an algorithm no token is good", "leave `algorithms` out for all");
    }
    let rules = jwt::Rules {
        issuers: texts(section, "issuer"),
        audiences: texts(section, "audience"),
        algorithms,
        leeway: section.duration("leeway").as_secs(),
    };
    let header = section.parsed("header", |name| headers::field_name(name).map(|()| name.to_owned()));
    let cookie = section.get("cookie").and_then(Value::text).and_then(|text| {
        let legal = |name: &str| {
            if headers::is_token(name) { Ok(name.to_owned()) } else { Err(Wrong::new("this is not the name of a cookie", "")) }
        };
        text.read(legal)
    });
    let mut claims = Vec::new();
    for (name, value) in section.get("claims_to_headers").and_then(Value::map).unwrap_or_default() {
        if let Err(wrong) = identity(name.text) {
            section.doc.fault(name.span.clone(), wrong.message, wrong.hint);
        }
        claims.extend(value.text().map(|claim| (name.text.to_owned(), claim.into_string())));
    }
    let mut require = Vec::new();
    for (name, value) in section.get("require").and_then(Value::map).unwrap_or_default() {
        let values: Vec<String> =
            value.clone().one_or_many().into_iter().filter_map(|item| Some(item.text()?.into_string())).collect();
        if values.is_empty() {
            value.fault("no token has one of no values", "name one, or take the claim out");
        }
        require.push((name.text.to_owned(), values));
    }
    let (optional, strip, refresh) = (section.flag("optional"), section.flag("strip"), section.duration("refresh"));
    let text = section.require("jwks")?.text()?;
    let keys = if text.is_fetched() {
        let keys = jwt::Keys::parse(text.as_str().as_bytes());
        let keys = keys.map_err(|why| section.doc.fault(text.span(), format!("{} is no key set", text.shown()), why));
        JwtKeys::Fixed(keys.ok()?)
    } else {
        let url = text.read(url::url)?;
        let is_here = matches!(url.address, crate::model::Address::Socket(address) if address.ip().is_loopback());
        if !url.https && !is_here {
            section.doc.warn(text.span(), "keys fetched by http can be forged on the way", "write `https://`");
        }
        JwtKeys::At { url, refresh }
    };
    Some(Jwt { keys, rules, header, cookie, claims, require, optional, strip })
}

fn forward(section: &Section<'_>) -> Option<ForwardAuth> {
    let lower = |name: &str| headers::field_name(name).map(|()| name.to_ascii_lowercase());
    let request_headers = names(section, "request_headers", lower);
    let response_headers = names(section, "response_headers", identity).unwrap_or_default();
    let timeout = section.duration("timeout");
    let text = section.require("url")?.text()?;
    let url = text.read(url::url)?;
    if url.https {
        text.wrong(Wrong::new("this version asks by plain http alone", "write `http://`"));
    }
    Some(ForwardAuth { url, request_headers, response_headers, timeout })
}

//! What a route's requests and answers are made to look like.

use std::time::Duration;

use policy::Rewrite;

use super::{headers, pattern, route, statuses};
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::{Cors, ErrorPage, Origin, SecurityHeaders, Shape};
use crate::report::shown;
use crate::units::Wrong;

/// The keys of a route that change what its messages look like.
pub(super) fn read(section: &Section<'_>) -> Shape {
    let table = |key, table| section.get(key).and_then(|value| value.section(table, section.under(key)));
    Shape {
        rewrite: table("rewrite", &keys::REWRITE).and_then(|section| rewrite(&section)),
        cors: table("cors", &keys::CORS).map(|section| cors(&section)),
        security: section.get("security_headers").and_then(|value| security(&value, section)),
        max_body: section.get("max_body").and_then(Value::size),
        error_pages: section.get("error_pages").map(|value| error_pages(value, section)).unwrap_or_default(),
    }
}

fn rewrite(section: &Section<'_>) -> Option<Rewrite> {
    let prefix = |key| section.get(key).and_then(Value::text).and_then(|text| text.read(prefix));
    let (strip, add) = (prefix("strip_prefix"), prefix("add_prefix"));
    let regex = section.get("regex").and_then(Value::text).and_then(|text| text.read(|text| pattern::regex(text, 0)));
    let to = section.get("to").and_then(Value::text).and_then(|text| text.read(replacement));
    for (key, other) in [("regex", "to"), ("to", "regex")] {
        if let Some(value) = section.get(key).filter(|_| !section.has(other) && !section.meant(other)) {
            section.doc.missing(value.key_span(), format!("`{key}` needs `{other}`"), format!("add `{other} = ...`"));
        }
    }
    if section.is_empty() {
        section.doc.fault(section.span.clone(), "this rewrites nothing", "as in `rewrite = { strip_prefix = \"/api\" }`");
        return None;
    }
    if let (Some(regex), Some(to)) = (&regex, &to)
        && let Some(group) = unknown_group(regex, to)
        && let Some(value) = section.get("to")
    {
        value.fault(
            format!("the expression has no group `{group}`"),
            "a name or number ends where `}` is: write `${1}x`, not `$1x`",
        );
    }
    Some(Rewrite { strip, replace: regex.zip(to), add })
}

/// Without the `/` at its end: `/` alone is nothing.
fn prefix(text: &str) -> Result<String, Wrong> {
    let legal = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\'));
    let normal = !text.contains("//") && !text.split('/').any(|segment| matches!(segment, "." | ".."));
    if !legal || !normal || text == "/" {
        return Err(Wrong::new(format!("{} is not a prefix of a path", shown(text)), "as in \"/api\""));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn replacement(text: &str) -> Result<String, Wrong> {
    match text.find(|c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '\\')) {
        Some(at) => Err(Wrong::new("a path is visible ASCII without `?` and `#`", "the query stays as it is").at(at..text.len())),
        None => Ok(text.to_owned()),
    }
}

/// A group that `to` names and the expression does not have: it would stand for nothing.
fn unknown_group<'t>(regex: &regex::bytes::Regex, to: &'t str) -> Option<&'t str> {
    let mut parts = to.split('$').skip(1);
    while let Some(rest) = parts.next() {
        if rest.is_empty() {
            // `$$` is a dollar; what follows it is text.
            parts.next();
            continue;
        }
        let name = match rest.strip_prefix('{') {
            Some(inner) => inner.split('}').next().unwrap_or(inner),
            None => &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())],
        };
        let known = match name.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|known| known == name),
        };
        if !known && !name.is_empty() {
            return Some(name);
        }
    }
    None
}

fn cors(section: &Section<'_>) -> Cors {
    let list = |key| section.get(key).map(Value::one_or_many);
    let names = |key| {
        let legal = |name: &str| match headers::is_token(name) {
            true => Ok(name.to_owned()),
            false => Err(Wrong::new(format!("{} is not a header name", shown(name)), "as in \"X-Total\"")),
        };
        list(key).map(|items| items.into_iter().filter_map(|item| item.text()?.read(legal)).collect::<Vec<_>>())
    };
    let origins = list("origins").map(|items| {
        let texts = items.into_iter().filter_map(Value::text);
        texts.map(|text| if text.as_str() == "*" { Some(None) } else { text.read(origin).map(Some) }).collect::<Vec<_>>()
    });
    if let Some(value) = section.get("origins").filter(|_| origins.as_ref().is_some_and(Vec::is_empty)) {
        value.fault("no page is of an empty list of origins", "leave `origins` out for every page, or `cors` for none");
    }
    // `*` among others is every origin all the same.
    let origins = origins.and_then(|all| all.into_iter().flatten().collect::<Option<Vec<_>>>());
    let credentials = section.flag("credentials");
    if credentials && origins.is_none() {
        let span = section.get("credentials").map_or(section.span.clone(), |value| value.span());
        section.doc.fault(span, "cookies can't come along from every page: browsers refuse it", "name the `origins`");
    }
    let methods = list("methods").map(|items| items.into_iter().filter_map(|item| item.text()?.read(pattern::method)).collect());
    Cors {
        origins,
        methods: methods.unwrap_or_else(|| ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(str::to_owned).to_vec()),
        headers: names("headers"),
        expose: names("expose").unwrap_or_default(),
        credentials,
        max_age: section.duration("max_age"),
    }
}

/// `https://app.example.com`, `https://*.example.com`, `http://localhost:3000`.
fn origin(text: &str) -> Result<Origin, Wrong> {
    let wrong = || Wrong::new(format!("{} is not an origin", shown(text)), "scheme and host, as in \"https://app.example.com\"");
    let text_lower = text.to_ascii_lowercase();
    let (scheme, host) = text_lower.split_once("://").ok_or_else(wrong)?;
    let plain = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && !scheme.is_empty();
    match host.strip_prefix("*.") {
        _ if !is_scheme => Err(wrong()),
        Some(domain) if plain(domain) => Ok(Origin::Below { start: format!("{scheme}://"), end: format!(".{domain}") }),
        None if plain(host) => Ok(Origin::Exact(text_lower)),
        _ => Err(wrong()),
    }
}

fn security(value: &Value<'_>, route: &Section<'_>) -> Option<SecurityHeaders> {
    let section = match value.as_flag() {
        Some(false) => return None,
        Some(true) => Section::absent(route.doc, &keys::SECURITY_HEADERS),
        None => value.section(&keys::SECURITY_HEADERS, route.under("security_headers"))?,
    };
    let mut fields = vec![("X-Content-Type-Options", "nosniff".to_owned())];
    match section.choice("frame") {
        "off" => {}
        word => fields.push(("X-Frame-Options", word.to_ascii_uppercase())),
    }
    let referrer = section.parsed("referrer", |text| {
        let known = [
            "off",
            "no-referrer",
            "no-referrer-when-downgrade",
            "origin",
            "origin-when-cross-origin",
            "same-origin",
            "strict-origin",
            "strict-origin-when-cross-origin",
            "unsafe-url",
        ];
        known
            .contains(&text)
            .then(|| text.to_owned())
            .ok_or_else(|| Wrong::new(format!("{} is not a referrer policy", shown(text)), "as in \"no-referrer\""))
    });
    if referrer != "off" {
        fields.push(("Referrer-Policy", referrer));
    }
    for (key, name) in [("csp", "Content-Security-Policy"), ("permissions", "Permissions-Policy")] {
        let text = section.get(key).and_then(Value::text).and_then(|text| text.read(one_line));
        fields.extend(text.map(|text| (name, text)));
    }
    let age = section.duration("hsts");
    let below = if section.flag("subdomains") { "; includeSubDomains" } else { "" };
    let hsts = (age > Duration::ZERO).then(|| format!("max-age={}{below}", age.as_secs()));
    Some(SecurityHeaders { fields, hsts, hide: section.flag("hide") })
}

fn one_line(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Wrong::new("a header is one line", "write it without line breaks"));
    }
    Ok(text.trim().to_owned())
}

fn error_pages(value: Value<'_>, route: &Section<'_>) -> Vec<ErrorPage> {
    let doc = value.doc;
    let mut pages: Vec<ErrorPage> = Vec::new();
    for (name, value) in value.map().unwrap_or_default() {
        let Some(status) = statuses(name.text, 400) else {
            let message = format!("{} is not a status of an error", shown(name.text));
            doc.fault(name.span.clone(), message, "as in \"404\" or \"502-504\"");
            continue;
        };
        if pages.iter().any(|page| page.status.start() <= status.end() && status.start() <= page.status.end()) {
            doc.fault(name.span.clone(), format!("{} has a page already", shown(name.text)), "each status has one");
        }
        pages.extend(error_page(&value, route).map(|page| ErrorPage { status, ..page }));
    }
    pages
}

fn error_page(value: &Value<'_>, route: &Section<'_>) -> Option<ErrorPage> {
    let section = if value.is_table() { Some(value.section(&keys::ERROR_PAGE, route.under("error_pages"))?) } else { None };
    let (content_type, upstream) = match &section {
        Some(section) => {
            let given = section.get("content_type").and_then(Value::text).and_then(|text| text.read(route::content_type));
            (given, section.flag("upstream"))
        }
        None => (None, false),
    };
    let text = match &section {
        Some(section) => section.require("body")?.text()?,
        None => value.clone().text()?,
    };
    if text.as_str().is_empty() {
        text.wrong(Wrong::new("a page has a text", "as in \"<h1>Back soon</h1>\""));
    }
    let is_html = text.as_str().trim_start().starts_with('<');
    let looks = if is_html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
    let content_type = content_type.unwrap_or_else(|| looks.to_owned());
    Some(ErrorPage { status: 400..=599, body: text.into_string(), content_type, upstream })
}

//! `[[route]]`: which exchanges, and what becomes of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{access, headers, hedge, legal_name, limit, pattern, shape, split};
use crate::doc::{Doc, Section, Text, Value};
use crate::keys;
use crate::model::{Access, Action, HeaderEdits, Part, Route, Shape, Template, Timeouts, Total, Variable};
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::{self, Wrong};

/// Every `[[route]]`, in the order of the file.
pub(super) fn read_all(root: &Section<'_>, pools: &HashMap<&str, usize>) -> Vec<Route> {
    let Some(value) = root.get("route") else {
        return Vec::new();
    };
    if value.is_table() {
        root.doc.fault(value.span(), "routes are a list: the first that fits best wins", "write [[route]] with two brackets");
        return Vec::new();
    }
    let mut names = HashSet::new();
    let mut rules: HashMap<String, String> = HashMap::new();
    let mut routes = Vec::new();
    for (i, item) in value.array().unwrap_or_default().into_iter().enumerate() {
        let Some(section) = item.section(&keys::ROUTE, "[[route]]".to_owned()) else {
            continue;
        };
        let rate_limits = limit::rates(&section, root.has("redis"));
        let Some(route) = read(&section, i, pools) else {
            continue;
        };
        let route = Route { rate_limits, ..route };
        if !names.insert(route.name.clone()) {
            let span = section.get("name").map_or(section.span.clone(), |value| value.span());
            section.doc.fault(span, format!("two routes are called {}", shown(&route.name)), "each needs its own name");
        }
        // Patterns have no equality; their debug text has.
        let first = rules.entry(format!("{:?}", route.rule)).or_insert_with(|| route.name.clone());
        if *first != route.name {
            let message = format!("this route takes the same exchanges as {}, so it never gets one", shown(first));
            section.doc.warn(section.span.clone(), message, "change its `match` or its `priority`");
        }
        routes.push(route);
    }
    routes
}

fn read(section: &Section<'_>, i: usize, pools: &HashMap<&str, usize>) -> Option<Route> {
    let name =
        section.get("name").and_then(Value::text).and_then(|text| text.read(|name| legal_name(name).map(|()| name.to_owned())));
    let rule = pattern::rule(&section.section("match", &keys::MATCH), section.integer("priority"));
    let timeout = timeouts(&section.section("timeout", &keys::TIMEOUT));
    let request_headers = headers::edits(section, "request_headers");
    let response_headers = headers::edits(section, "response_headers");
    let concurrency = limit::concurrency(section);
    let access = access::read(section);
    let shape = shape::read(section);
    let log = section.flag("log");
    let hedge = hedge::read(section);
    let action = action(section, pools)?;
    if !matches!(action, Action::Pools { .. })
        && let Some(value) = section.get("cohort")
    {
        section.doc.warn(value.key_span(), "`cohort` has no effect without `pools`", "take it out");
    }
    if action.pools().is_empty() {
        for key in ["timeout", "request_headers", "rewrite", "hedge"] {
            if let Some(value) = section.get(key) {
                section.doc.warn(value.key_span(), format!("`{key}` has no effect here: nothing goes upstream"), "take it out");
            }
        }
    }
    Some(Route {
        name: name.unwrap_or_else(|| format!("route-{}", i + 1)),
        rule,
        action,
        timeout,
        request_headers,
        response_headers,
        hedge,
        rate_limits: Vec::new(),
        concurrency,
        access,
        shape,
        log,
    })
}

/// The one route of the short form: everything to the first pool.
pub(crate) fn catch_all(doc: &Doc<'_>, name: &str) -> Route {
    Route {
        name: name.to_owned(),
        rule: pattern::rule(&Section::absent(doc, &keys::MATCH), 0),
        action: Action::Pool(0),
        timeout: timeouts(&Section::absent(doc, &keys::TIMEOUT)),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        hedge: None,
        rate_limits: Vec::new(),
        concurrency: Vec::new(),
        access: Access::default(),
        shape: Shape::default(),
        log: true,
    }
}

/// Exactly one of `pool`, `pools`, `respond` and `redirect`.
fn action(section: &Section<'_>, pools: &HashMap<&str, usize>) -> Option<Action> {
    const ENDS: [&str; 5] = ["pool", "respond", "redirect", "pools", "files"];
    let mut ends: Vec<_> = ENDS.into_iter().filter_map(|key| Some((key, section.get(key)?))).collect();
    ends.sort_by_key(|(_, value)| value.key_span().start);
    if ends.is_empty() && !ENDS.into_iter().any(|key| section.meant(key)) {
        let pool = pools.iter().min_by_key(|(_, i)| **i).map_or("api", |(name, _)| name);
        section.doc.missing(
            section.span.clone(),
            "this route ends nowhere",
            format!("add `pool = \"{}\"`, `respond` or `redirect`", pool.escape_debug()),
        );
    }
    for (key, value) in ends.iter().skip(1) {
        section.doc.fault(
            value.key_span(),
            format!("this route ends in `{}` already", ends[0].0),
            format!("a route ends in one of `pool`, `pools`, `respond` and `redirect`: take out `{key}` or the other"),
        );
    }
    let mut action = None;
    for (key, value) in ends {
        let read = match key {
            "pool" => value.text().and_then(|text| pool(&text, section, pools)),
            "pools" => split::read(value, section, pools),
            "respond" => value.section(&keys::RESPOND, section.under("respond")).and_then(|section| respond(&section)),
            "redirect" => redirect(value, section),
            // Planned, and refused where the section was opened.
            _ => None,
        };
        action = action.or(read);
    }
    action
}

pub(super) fn pool(text: &Text<'_>, section: &Section<'_>, pools: &HashMap<&str, usize>) -> Option<Action> {
    if let Some(i) = pools.get(text.as_str()) {
        return Some(Action::Pool(*i));
    }
    let mut names: Vec<_> = pools.keys().copied().collect();
    names.sort_unstable();
    let hint = match nearest(text.as_str(), names.iter().copied()) {
        Some(name) => format!("did you mean \"{}\"?", name.escape_debug()),
        None if names.is_empty() => format!("add `[pool.{}]`", text.as_str().escape_debug()),
        None => format!("pools here: {}", names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")),
    };
    let (message, hint) = if text.is_fetched() {
        (format!("{} names no pool", text.shown()), "it must be the name of a pool here".to_owned())
    } else {
        (format!("there is no pool {}", text.shown()), hint)
    };
    section.doc.missing(text.span(), message, hint);
    None
}

fn respond(section: &Section<'_>) -> Option<Action> {
    let status: u16 = section.integer("status");
    let body = section.string("body");
    let content_type = section.parsed("content_type", content_type);
    let fields = section.get("headers").map(headers::fields).unwrap_or_default();
    if let Some(span) = fields.span_of("content-type") {
        section.doc.fault(span, "`Content-Type` has a key of its own", "write `content_type`");
    }
    if matches!(status, 204 | 304) && !body.is_empty() {
        let span = section.get("body").map_or(section.span.clone(), |value| value.span());
        section.doc.fault(span, format!("an answer with status {status} has no body"), "take out `body`, or use status 200");
    }
    Some(Action::Respond { status, body: body.into_bytes(), content_type, headers: fields.fields })
}

pub(super) fn content_type(text: &str) -> Result<String, Wrong> {
    let essence = text.split(';').next().unwrap_or(text).trim();
    let legal = essence.split_once('/').is_some_and(|(kind, sub)| headers::is_token(kind) && headers::is_token(sub));
    if !legal || text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("{} is not a content type", shown(text)), "as in \"text/html; charset=utf-8\""));
    }
    Ok(text.to_owned())
}

fn redirect(value: Value<'_>, route: &Section<'_>) -> Option<Action> {
    if !value.is_table() {
        return Some(Action::Redirect { to: place(&value.text()?)?, status: 302 });
    }
    let section = value.section(&keys::REDIRECT, route.under("redirect"))?;
    let status = section.integer("status");
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let span = section.get("status").map_or(section.span.clone(), |value| value.span());
        section.doc.fault(span, format!("{status} is not a redirect to another place"), "it is 301, 302, 303, 307 or 308");
    }
    Some(Action::Redirect { to: place(&section.require("to")?.text()?)?, status })
}

/// A URL, or a path on the same host.
pub(super) fn place(text: &Text<'_>) -> Option<Template> {
    let template = headers::template(text)?;
    let legal = match template.parts() {
        [Part::Text(start), ..] => start.starts_with('/') || start.starts_with("http://") || start.starts_with("https://"),
        [Part::Variable(variable), ..] => {
            matches!(variable, Variable::Scheme | Variable::Path | Variable::Uri)
        }
        [] => false,
    };
    if !legal {
        let hint = if matches!(text.as_str(), "http" | "https") {
            format!("write \"{}://{{host}}{{uri}}\"", text.as_str())
        } else {
            "it begins with `https://`, `http://` or `/`, as in \"https://{host}{uri}\"".to_owned()
        };
        text.wrong(Wrong::new(format!("{} is not a place to send a client to", text.shown()), hint));
        return None;
    }
    if text.as_str().contains(' ') {
        text.wrong(Wrong::new("a place to send a client to has no spaces", "write them as `%20`"));
    }
    Some(template)
}

fn timeouts(section: &Section<'_>) -> Timeouts {
    const TOTAL: Duration = Duration::from_secs(60);
    let connect = section.duration("connect");
    let response = section.duration("response");
    let total = section.get("total").and_then(Value::duration);
    // A part that is longer than the whole would never be reached.
    for (key, part) in [("connect", connect), ("response", response)] {
        let (Some(value), Some(total)) = (section.get(key), total) else {
            continue;
        };
        if part > total {
            value.fault(
                format!("`{key}` is longer than `total`, so it never applies"),
                format!("`total` is {}", units::show_duration(total)),
            );
        }
    }
    let total = match total {
        Some(limit) => Total { limit, whole: true },
        None => Total { limit: TOTAL.max(response), whole: false },
    };
    Timeouts { connect, response, total, idle: section.duration("idle") }
}

//! From the document to the model: each table is read by its own file, this one puts them together.

mod access;
mod adaptive;
mod backend;
mod guard;
mod headers;
mod health;
mod hedge;
mod key;
mod limit;
mod listener;
mod log;
mod network;
mod pattern;
mod pool;
mod queue;
mod route;
mod shape;
mod split;
mod sticky;
pub(crate) mod test;
mod url;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::{Range, RangeInclusive};

use self::listener::Taken;
use crate::doc::{Doc, Name, Section, Value};
use crate::keys;
use crate::model::{Config, Listener, Pool, Route, Test};
use crate::report::shown;
use crate::units::Wrong;

/// The name of the one listener, route and pool of the short form.
const SHORT: &str = "main";

/// Reads the whole document. Its faults lie in the `Doc`; only without any is the result to be used.
pub(crate) fn config(root: &Section<'_>) -> Config {
    let mut taken = Taken::new();
    let (listeners, routes, pools, tests) = if is_short(root) { short(root, &mut taken) } else { full(root, &mut taken) };
    let admin = root.has("admin").then(|| log::admin(&root.section("admin", &keys::ADMIN), &mut taken));
    Config { admin, listeners, routes, pools, tests, ..outer(root) }
}

/// What both forms have in common.
fn outer(root: &Section<'_>) -> Config {
    Config {
        source: None,
        admin: None,
        log: log::log(&root.section("log", &keys::LOG)),
        listeners: Vec::new(),
        routes: Vec::new(),
        pools: Vec::new(),
        redis: limit::redis(root),
        tests: Vec::new(),
        workers: root.optional_integer("workers").and_then(NonZeroUsize::new),
        shutdown: root.duration("shutdown"),
        warnings: Vec::new(),
    }
}

type Parts = (Vec<Listener>, Vec<Route>, Vec<Pool>, Vec<Test>);

const FULL: [&str; 3] = ["listener", "route", "pool"];

/// The short form has `listen` or `backends`. Reports a file that mixes it with the full form, or is neither.
fn is_short(root: &Section<'_>) -> bool {
    let first_full = FULL.into_iter().filter_map(|key| root.get(key)).min_by_key(|value| value.key_span().start);
    let short: Vec<_> =
        ["listen", "backends", "balance", "health"].into_iter().filter_map(|key| Some((key, root.get(key)?))).collect();
    match first_full {
        Some(_) => {
            for (key, value) in &short {
                let place = if *key == "listen" { "[listener.NAME]" } else { "[pool.NAME]" };
                root.doc.fault(
                    value.key_span(),
                    format!("`{key}` at the top level is the short form, which can't be mixed with [listener.NAME], [[route]] and [pool.NAME]"),
                    format!("move it into {place}"),
                );
            }
            false
        }
        // Reported already, as misspelt.
        None if FULL.into_iter().any(|key| root.meant(key)) => false,
        None if ["listen", "backends"].into_iter().any(|key| root.meant(key)) => true,
        None if short.is_empty() => {
            root.doc.missing(
                root.span.clone(),
                "nothing is configured: the file has neither the short form nor a [listener.NAME]",
                "the short form is `listen = \"0.0.0.0:8000\"` and `backends = [\"127.0.0.1:8001\"]`",
            );
            false
        }
        None => true,
    }
}

fn short(root: &Section<'_>, taken: &mut Taken) -> Parts {
    let proxies = listener::top_level_proxies(root);
    let listen = root.require("listen").map(|value| listener::addresses(value, taken)).unwrap_or_default();
    let listener = listener::read(&Section::absent(root.doc, &keys::LISTENER), SHORT, listen, &proxies);
    let routes = vec![route::catch_all(root.doc, SHORT)];
    let tests = test::read_all(root, &HashMap::from([(SHORT, 0)]), &routes);
    (vec![listener], routes, vec![pool::short(root, SHORT)], tests)
}

/// The short form as arguments, each by its place in the text of `doc`.
pub(crate) fn from_arguments(doc: &Doc<'_>, listen: Range<usize>, backends: &[Range<usize>]) -> Config {
    let absent = Section::absent(doc, &keys::ROOT);
    let listen = absent.argument("listen", listen).read(network::listen).unwrap_or_default();
    let mut once = HashSet::new();
    let mut read = Vec::new();
    for span in backends {
        let text = absent.argument("backends", span.clone());
        let Some(address) = text.read(backend::address) else {
            continue;
        };
        pool::is_new(doc, &mut once, &address, text.span());
        read.push(backend::plain(address));
    }
    if backends.is_empty() {
        doc.fault(0..0, "there is no backend", "as in `:8000 127.0.0.1:8001 127.0.0.1:8002`");
    }
    Config {
        listeners: vec![listener::read(&Section::absent(doc, &keys::LISTENER), SHORT, listen, &[])],
        routes: vec![route::catch_all(doc, SHORT)],
        pools: vec![pool::of(&Section::absent(doc, &keys::POOL), SHORT, read)],
        ..outer(&absent)
    }
}

fn full(root: &Section<'_>, taken: &mut Taken) -> Parts {
    let proxies = listener::top_level_proxies(root);
    let listeners: Vec<Listener> = named(root, "listener", &keys::LISTENER)
        .into_iter()
        .map(|(name, section)| {
            let listen = section.require("listen").map(|value| listener::addresses(value, taken)).unwrap_or_default();
            listener::read(&section, name.text, listen, &proxies)
        })
        .collect();
    // The names first: a route may refer to a pool that is itself at fault.
    let names = root.get("pool").filter(Value::is_table).and_then(Value::map).unwrap_or_default();
    let pool_names: HashMap<&str, usize> = names.iter().enumerate().map(|(i, (name, _))| (name.text, i)).collect();
    let pools = named(root, "pool", &keys::POOL).into_iter().map(|(name, section)| pool::read(&section, name.text)).collect();
    let routes = route::read_all(root, &pool_names);
    if !root.has("listener") && !root.meant("listener") && FULL.into_iter().any(|key| root.has(key)) {
        root.doc.missing(root.span.clone(), "the file has no listener", "add one: `[listener.web]` with `listen = \"0.0.0.0:80\"`");
    }
    let needs_route = |listener: &Listener| listener.redirect.is_none();
    if !root.has("route") && !root.meant("route") && root.has("listener") && listeners.iter().any(needs_route) {
        let pool = names.first().map_or("api", |(name, _)| name.text);
        root.doc.missing(
            root.span.clone(),
            "the file has no route",
            format!("add one: `[[route]]` with `pool = \"{}\"`", pool.escape_debug()),
        );
    }
    let tests = test::read_all(root, &pool_names, &routes);
    unused_pools(root, &names, &routes);
    (listeners, routes, pools, tests)
}

/// The sections `[key.NAME]`, their names checked.
fn named<'a>(root: &Section<'a>, key: &str, table: &'static keys::Table) -> Vec<(Name<'a>, Section<'a>)> {
    let Some(value) = root.get(key) else {
        return Vec::new();
    };
    let at = value.key_span();
    let entries = value.map().unwrap_or_default();
    let (named, loose): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, value)| value.is_table());
    if !loose.is_empty() || named.is_empty() {
        root.doc.missing(at, format!("[{key}] needs a name"), format!("write [{key}.NAME], NAME being your own"));
    }
    let mut sections = Vec::new();
    for (name, value) in named {
        if let Err(wrong) = legal_name(name.text) {
            root.doc.fault(name.span.clone(), wrong.message, wrong.hint);
        }
        let section = value.section(table, format!("[{key}.{}]", name.text.escape_debug()));
        sections.extend(section.map(|section| (name, section)));
    }
    sections
}

/// Names appear in logs and metrics: letters, digits, `_`, `.` and `-`.
fn legal_name(name: &str) -> Result<(), Wrong> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
        return Err(Wrong::new(format!("{} can't be a name", shown(name)), "names are 1 to 64 letters, digits, `_`, `.` and `-`"));
    }
    Ok(())
}

fn unused_pools(root: &Section<'_>, names: &[(Name<'_>, Value<'_>)], routes: &[Route]) {
    let used: HashSet<usize> = routes.iter().flat_map(|route| route.action.pools()).collect();
    for (i, (name, _)) in names.iter().enumerate() {
        if !used.contains(&i) {
            let message = format!("no route uses the pool {}", shown(name.text));
            root.doc.warn(name.span.clone(), message, "its backends are probed, but never get a request");
        }
    }
}

/// `"503"` or `"502-504"`, from `least` to 599.
fn statuses(text: &str, least: u16) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| {
        let number = text.trim();
        let plain = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| number.parse().ok())?.filter(|status| (least..=599).contains(status))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = status(from)?..=status(to)?;
    (!range.is_empty()).then_some(range)
}

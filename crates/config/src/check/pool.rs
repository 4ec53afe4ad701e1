//! `[pool.NAME]`: backends, balance and retries.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};

use policy::Key;
use policy::balance::{Balance, Hash, HashMethod};
use policy::retry::{Backoff, BudgetParams, Conditions, Retry};

use super::{adaptive, backend, guard, health, key, queue, statuses, sticky};
use crate::doc::{Doc, Section, Value};
use crate::keys;
use crate::model::{Address, Backend, Idle, Pool};
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::{self, Wrong};

pub(super) fn read(section: &Section<'_>, name: &str) -> Pool {
    Pool {
        name: name.to_owned(),
        backends: section.require("backends").map(|value| backends(value, &section.under("backends"))).unwrap_or_default(),
        balance: balance(section),
        health: health::read(section),
        retry: retry(&section.section("retry", &keys::RETRY)),
        idle: idle(&section.section("idle", &keys::IDLE)),
        guard: guard::read(section),
        sticky: sticky::read(section),
        queue: queue::read(section),
        adaptive: adaptive::read(section),
    }
}

/// The pool of the short form, whose keys stand at the top level.
pub(crate) fn short(root: &Section<'_>, name: &str) -> Pool {
    let backends = root.require("backends").map(|value| backends(value, "[backends]")).unwrap_or_default();
    Pool { balance: balance(root), health: health::read(root), ..of(&Section::absent(root.doc, &keys::POOL), name, backends) }
}

/// A pool of which only the backends are known.
pub(crate) fn of(absent: &Section<'_>, name: &str, backends: Vec<Backend>) -> Pool {
    Pool {
        name: name.to_owned(),
        backends,
        balance: balance(absent),
        health: health::read(absent),
        retry: retry(&absent.section("retry", &keys::RETRY)),
        idle: idle(&absent.section("idle", &keys::IDLE)),
        guard: guard::read(absent),
        sticky: None,
        queue: queue::read(absent),
        adaptive: None,
    }
}

fn backends(value: Value<'_>, title: &str) -> Vec<Backend> {
    let (doc, span) = (value.doc, value.span());
    let Some(items) = value.array() else {
        return Vec::new();
    };
    if items.is_empty() {
        doc.fault(span.clone(), "a pool needs at least one backend", "as in [\"127.0.0.1:8001\"]");
    }
    let mut addresses = HashSet::new();
    let mut names = HashSet::new();
    let mut backends: Vec<Backend> = Vec::new();
    for item in items {
        let Some((backend, at)) = backend::read(&item, title.to_owned()) else {
            continue;
        };
        is_new(doc, &mut addresses, &backend.address, at);
        if let Some(name) = backend.name.as_ref().filter(|name| !names.insert((*name).clone())) {
            doc.fault(item.span(), format!("two backends of this pool are called {}", shown(name)), "each needs its own name");
        }
        backends.push(backend);
    }
    if !backends.is_empty() && backends.iter().all(|backend| backend.tier == 1) {
        doc.warn(span, "every backend of this pool is a backup", "they all serve, as if none were");
    }
    backends
}

/// Reports a backend that its pool has already.
pub(super) fn is_new(doc: &Doc<'_>, addresses: &mut HashSet<Address>, address: &Address, at: Range<usize>) {
    if !addresses.insert(address.clone()) {
        doc.fault(at, format!("{address} is in this pool twice"), "to give it a larger share, set its `weight`");
    }
}

fn balance(section: &Section<'_>) -> Balance {
    let Some(value) = section.get("balance") else {
        return Balance::default();
    };
    if value.is_table() {
        return value
            .section(&keys::HASH, section.under("balance"))
            .and_then(|section| hash(&section))
            .map_or(Balance::default(), Balance::Hash);
    }
    match value.choice() {
        Some("least_connections") => Balance::LeastConnections,
        Some("least_response_time") => Balance::LeastResponseTime,
        Some("random") => Balance::Random,
        Some("ip_hash") => Balance::Hash(Hash { key: Key::ClientIp, method: HashMethod::Maglev, bounded: None }),
        _ => Balance::RoundRobin,
    }
}

fn hash(section: &Section<'_>) -> Option<Hash> {
    let method = match section.choice("method") {
        "ring" => HashMethod::Ring,
        "rendezvous" => HashMethod::Rendezvous,
        _ => HashMethod::Maglev,
    };
    let bounded = section.get("bounded").and_then(Value::number);
    let key = section.require("hash")?.text()?.read(key::read)?;
    Some(Hash { key, method, bounded })
}

fn retry(section: &Section<'_>) -> Retry {
    Retry {
        attempts: section.integer("attempts"),
        on: section.get("on").map_or_else(Conditions::default, conditions),
        backoff: Backoff { base: section.duration("backoff"), max: section.duration("backoff_max") },
        attempt_timeout: section.get("attempt_timeout").and_then(Value::duration),
        budget: BudgetParams {
            percent: section.parsed("budget", whole_percent),
            per_second: section.parsed("budget_min", whole_per_second),
        },
    }
}

fn whole_percent(text: &str) -> Result<u32, Wrong> {
    let percent = units::percent(text)? * 100.0;
    if (percent - percent.round()).abs() > 1e-9 {
        return Err(Wrong::new("a budget is counted in whole percent", "as in \"20%\""));
    }
    // At most 100, as `percent` has checked.
    Ok(percent.round() as u32)
}

fn whole_per_second(text: &str) -> Result<u32, Wrong> {
    let rate = units::rate(text)?;
    if rate.count % rate.seconds != 0 {
        return Err(Wrong::new("a budget is counted in whole retries a second", "as in \"5/s\""));
    }
    Ok(rate.count / rate.seconds)
}

pub(super) fn conditions(value: Value<'_>) -> Conditions {
    let mut on = Conditions { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    for text in value.one_or_many().into_iter().filter_map(Value::text) {
        match text.as_str() {
            "connect" => on.connect = true,
            "reset" => on.reset = true,
            "timeout" => on.timeout = true,
            _ => on.statuses.extend(text.read(retry_statuses)),
        }
    }
    on
}

fn retry_statuses(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    if let Some(range) = statuses(text, 400) {
        return Ok(range);
    }
    let message = format!("{} is not a retry condition", shown(text));
    let hint = match nearest(text, ["connect", "reset", "timeout"]) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None if statuses(text, 100).is_some() => "statuses from 400 to 599 are".to_owned(),
        None => "they are \"connect\", \"reset\", \"timeout\", and statuses such as \"503\" or \"502-504\"".to_owned(),
    };
    Err(Wrong::new(message, hint))
}

fn idle(section: &Section<'_>) -> Idle {
    Idle { connections: section.integer("connections"), timeout: section.duration("timeout") }
}

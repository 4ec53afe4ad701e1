//! What a pool does about backends that fail.

use policy::{breaker, outlier};

use super::pool::conditions;
use crate::doc::Section;
use crate::keys;
use crate::model::{Breaker, Guard, Scope};
use crate::units;

pub(super) fn read(pool: &Section<'_>) -> Guard {
    Guard {
        passive: passive(pool),
        breaker: breaker(pool),
        fail_open_below: pool.parsed("fail_open_below", units::percent),
        slow_start: pool.duration("slow_start"),
    }
}

fn passive(pool: &Section<'_>) -> Option<outlier::Params> {
    let absent = || Section::absent(pool.doc, &keys::PASSIVE);
    match pool.get("passive") {
        Some(value) if value.as_flag() == Some(false) => None,
        Some(value) if value.as_flag() == Some(true) => {
            value.fault("`passive` is on already", "leave it out, or say `{ failures = 3 }`");
            Some(outlier(&absent()))
        }
        _ => Some(outlier(&pool.section("passive", &keys::PASSIVE))),
    }
}

fn outlier(section: &Section<'_>) -> outlier::Params {
    let params = outlier::Params {
        failures: section.integer("failures"),
        window: section.duration("window"),
        error_rate: rate(section),
        minimum: section.integer("minimum"),
        eject: section.duration("eject"),
        max_eject: section.duration("max_eject"),
        max_ejected: section.parsed("max_ejected", units::percent),
        on: section.get("on").map_or_else(|| outlier::Params::default().on, conditions),
    };
    if params.failures == 0 && params.error_rate.is_none() && !section.has("error_rate") && section.has("failures") {
        section.doc.fault(
            section.span.clone(),
            "nothing would ever eject a backend",
            "set `failures` or `error_rate`, or write `passive = false`",
        );
    }
    if let Some(value) = section.get("max_eject")
        && params.max_eject < params.eject
    {
        let eject = units::show_duration(params.eject);
        value.fault("the longest ejection is shorter than the first", format!("at least `eject`, which is {eject}"));
    }
    params
}

fn breaker(pool: &Section<'_>) -> Option<Breaker> {
    let value = pool.get("breaker")?;
    if value.as_flag() == Some(false) {
        return None;
    }
    if value.as_flag() == Some(true) {
        value.fault("a breaker needs to know when to open", "as in `{ error_rate = \"50%\" }`");
        return None;
    }
    let section = pool.section("breaker", &keys::BREAKER);
    let latency = section.get("latency").and_then(|value| value.duration());
    if let (Some(value), None) = (section.get("slow_rate"), section.get("latency")) {
        section.doc.warn(value.key_span(), "`slow_rate` needs `latency`: without it no attempt is slow", "add `latency = \"1s\"`");
    }
    let known = breaker::Params::default();
    let error_rate = match rate(&section) {
        None if section.has("latency") => None,
        None => known.error_rate,
        rate => rate,
    };
    let params = breaker::Params {
        error_rate,
        latency,
        slow_rate: section.parsed("slow_rate", units::percent),
        window: section.duration("window"),
        minimum: section.integer("minimum"),
        open: section.duration("open"),
        probes: section.integer("probes"),
    };
    let scope = if section.choice("scope") == "pool" { Scope::Pool } else { Scope::Backend };
    Some(Breaker { params, scope })
}

/// `error_rate` of either table; 0 would hold of everything.
fn rate(section: &Section<'_>) -> Option<f64> {
    let value = section.get("error_rate")?;
    let rate = value.clone().text()?.read(units::percent)?;
    if rate == 0.0 {
        value.fault("a share of 0 % is reached when nothing fails", "as in \"30%\"");
        return None;
    }
    Some(rate)
}

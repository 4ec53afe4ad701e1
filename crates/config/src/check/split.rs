//! `pools` and `cohort` of a route.

use std::collections::{HashMap, HashSet};

use super::{key, route};
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::Action;

/// Several pools by share.
pub(super) fn read(value: Value<'_>, route: &Section<'_>, pools: &HashMap<&str, usize>) -> Option<Action> {
    let span = value.span();
    let mut once = HashSet::new();
    let mut shares = Vec::new();
    let items = value.array()?;
    let written = items.len();
    for item in items {
        let Some(section) = item.section(&keys::SHARE, route.under("pools")) else { continue };
        let weight: u16 = section.integer("weight");
        let Some(text) = section.require("pool").and_then(Value::text) else { continue };
        let Some(Action::Pool(pool)) = route::pool(&text, &section, pools) else { continue };
        if !once.insert(pool) {
            section.doc.fault(text.span(), format!("{} is in this list twice", text.shown()), "add the weights up");
        }
        shares.push((pool, weight));
    }
    let cohort = route.get("cohort").and_then(Value::text).and_then(|text| text.read(key::read));
    // Of a list with faults of its own not all is known.
    if shares.len() < written {
        return None;
    }
    if shares.iter().all(|(_, weight)| *weight == 0) {
        route.doc.missing(span, "no pool of this list has a share", "give at least one a `weight` above 0");
        return None;
    }
    Some(Action::Pools { shares, cohort })
}

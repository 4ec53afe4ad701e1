//! `adaptive_concurrency` of a pool.

use policy::limit::Params;

use crate::doc::Section;
use crate::keys;

/// `None` where it is not asked for.
pub(super) fn read(pool: &Section<'_>) -> Option<Params> {
    let value = pool.get("adaptive_concurrency")?;
    match value.as_flag() {
        Some(true) => Some(Params::default()),
        Some(false) => None,
        None => Some(params(&pool.section("adaptive_concurrency", &keys::ADAPTIVE))),
    }
}

fn params(section: &Section<'_>) -> Params {
    let mut params = Params {
        min: section.integer("min"),
        max: section.integer("max"),
        start: section.integer("start"),
        window: section.duration("window"),
        tolerance: section.number("tolerance"),
        relearn: section.duration("relearn"),
    };
    if params.min > params.max {
        let said = section.get("min").or_else(|| section.get("max"));
        if let Some(value) = said {
            value.fault("the least limit is above the highest", format!("`max` is {}", params.max));
        }
        return params;
    }
    let within = params.min..=params.max;
    if let Some(value) = section.get("start")
        && !within.contains(&params.start)
    {
        value.fault("it would start out of its bounds", format!("from {} to {}", params.min, params.max));
    }
    params.start = params.start.clamp(params.min, params.max);
    params
}

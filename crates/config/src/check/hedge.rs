//! `hedge` of a route.

use std::time::Duration;

use crate::doc::{Section, Value};
use crate::model::Hedge;
use crate::units::{self, Wrong};

pub(super) fn read(route: &Section<'_>) -> Option<Hedge> {
    route.get("hedge").and_then(Value::text)?.read(hedge)
}

/// `"p95"`, `"p99.9"` or a duration.
fn hedge(text: &str) -> Result<Hedge, Wrong> {
    let Some(percentile) = text.strip_prefix('p') else {
        let after = units::duration(text)?;
        let legal = (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&after);
        return legal
            .then_some(Hedge::After(after))
            .ok_or_else(|| Wrong::new("a second attempt is due after 1ms to 1m", "as in \"100ms\""));
    };
    let share = percentile.parse::<f64>().ok().filter(|share| (50.0..=99.9).contains(share));
    let share = share.ok_or_else(|| Wrong::new("a percentile to hedge at is from p50 to p99.9", "as in \"p95\""))?;
    Ok(Hedge::Percentile((share * 10.0).round() as u16))
}

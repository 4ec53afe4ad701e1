//! `rate_limit` and `concurrency` of a route, and `[redis]`.

use std::time::Duration;

use super::{backend, key};
use crate::doc::{Section, Text, Value};
use crate::keys;
use crate::model::{Address, Concurrency, RateLimit, Redis, Secret};
use crate::units::{self, Wrong};

/// Longest time that a request is held back.
const LONGEST_DELAY: Duration = Duration::from_secs(600);
/// Most requests a second; beyond it the nanoseconds between two would be too coarse.
const MOST: u32 = 10_000_000;

/// The rate limits of a route.
pub(super) fn rates(route: &Section<'_>, has_redis: bool) -> Vec<RateLimit> {
    let items = route.get("rate_limit").map(Value::one_or_many).unwrap_or_default();
    items.into_iter().filter_map(|item| rate(&item.section(&keys::RATE_LIMIT, route.under("rate_limit"))?, has_redis)).collect()
}

fn rate(section: &Section<'_>, has_redis: bool) -> Option<RateLimit> {
    let shared = section.get("shared");
    if let Some(value) = shared.as_ref().filter(|_| !has_redis) {
        value.fault("there is no [redis] to share this limit by", "add `[redis]` with `address = \"127.0.0.1:6379\"`");
    }
    let limit = RateLimit {
        count: 1,
        per: Duration::from_secs(1),
        burst: section.integer("burst"),
        key: section.parsed("key", key::read),
        delay: section.parsed("delay", delay),
        dry_run: section.flag("dry_run"),
        status: section.integer("status"),
        headers: section.flag("headers"),
        shared: shared.and_then(Value::choice).is_some(),
    };
    let rate = section.require("rate")?.text()?.read(pace)?;
    Some(RateLimit { count: rate.count, per: Duration::from_secs(rate.seconds.into()), ..limit })
}

fn pace(text: &str) -> Result<units::Rate, Wrong> {
    let rate = units::rate(text)?;
    if rate.count == 0 {
        return Err(Wrong::new("a rate of nothing lets nothing through", "to refuse everybody, use `deny`"));
    }
    if rate.count / rate.seconds > MOST {
        return Err(Wrong::new("a rate is at most ten million a second", "as in \"100/s\""));
    }
    Ok(rate)
}

fn delay(text: &str) -> Result<Duration, Wrong> {
    match text {
        "off" => Ok(Duration::ZERO),
        _ => match units::duration(text)? {
            delay if delay <= LONGEST_DELAY => Ok(delay),
            _ => Err(Wrong::new("`delay` must be at most 10m", "clients rarely wait that long")),
        },
    }
}

/// The limits of concurrent exchanges of a route.
pub(super) fn concurrency(route: &Section<'_>) -> Vec<Concurrency> {
    let items = route.get("concurrency").map(Value::one_or_many).unwrap_or_default();
    let read = |item: Value<'_>| {
        let section = item.section(&keys::CONCURRENCY, route.under("concurrency"))?;
        let (key, status) = (section.parsed("key", key::read), section.integer("status"));
        let dry_run = section.flag("dry_run");
        let limit = u32::try_from(section.require("limit")?.integer()?).ok()?;
        Some(Concurrency { limit, key, status, dry_run })
    };
    items.into_iter().filter_map(read).collect()
}

/// `[redis]`.
pub(super) fn redis(root: &Section<'_>) -> Option<Redis> {
    root.get("redis")?;
    let section = root.section("redis", &keys::REDIS);
    let username = section.get("username").and_then(Value::text).map(Text::into_string);
    let password = section.get("password").and_then(Value::secret).map(|text| Secret::new(text.into_string()));
    let (database, timeout, prefix) = (section.integer("database"), section.duration("timeout"), section.string("prefix"));
    let address = section.require("address")?.text()?.read(address)?;
    Some(Redis { address, username, password, database, timeout, prefix })
}

/// Port 6379 may be left out.
fn address(text: &str) -> Result<Address, Wrong> {
    let text = text.strip_prefix("redis://").unwrap_or(text);
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port { backend::address(text) } else { backend::address(&format!("{text}:6379")) }
}

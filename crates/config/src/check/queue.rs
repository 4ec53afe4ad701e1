//! `queue` of a pool.

use policy::Key;
use policy::queue::Terms;

use super::key;
use crate::doc::{Section, Value};
use crate::keys;
use crate::model::Queue;
use crate::report::shown;
use crate::units::Wrong;

/// `None` where it is turned off.
pub(super) fn read(pool: &Section<'_>) -> Option<Queue> {
    match pool.get("queue") {
        Some(value) if value.as_flag() == Some(false) => None,
        Some(value) if value.as_flag() == Some(true) => {
            value.fault("`queue` is on already", "leave it out, or say `{ length = 1024 }`");
            None
        }
        _ => Some(queue(&pool.section("queue", &keys::QUEUE))),
    }
}

fn queue(section: &Section<'_>) -> Queue {
    Queue {
        terms: Terms {
            length: section.integer("length"),
            timeout: section.duration("timeout"),
            newest_first: section.choice("overload") == "newest_first",
        },
        key: section.get("key").and_then(Value::text).and_then(|text| text.read(key::read)),
        priority: section.get("priority").and_then(Value::text).and_then(|text| text.read(priority)),
    }
}

fn priority(text: &str) -> Result<Key, Wrong> {
    match key::read(text)? {
        key @ (Key::Header(_) | Key::Cookie(_) | Key::Query(_)) => Ok(key),
        _ => Err(Wrong::new(format!("{} holds no digit", shown(text)), "as in \"header:X-Priority\"")),
    }
}

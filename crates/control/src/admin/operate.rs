//! What the operator changes while it runs, kept on the Board over reloads: which backends drain, and their weights.

use std::time::Duration;

use policy::balance::Weight;
use proxy::{Backend, Plan};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::run::Shared;

/// How often a drain that is waited for looks.
const LOOK: Duration = Duration::from_millis(20);
/// The longest that one request waits for a drain.
const PATIENCE: Duration = Duration::from_secs(600);

/// The backends that were meant, as they are now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Operated {
    /// Those that were meant: a name that stands for several addresses means all of them.
    pub backends: Vec<OperatedBackend>,
    /// None of them has anything in flight.
    pub is_idle: bool,
}

/// One backend that was meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperatedBackend {
    /// `pool/address`.
    pub backend: String,
    /// Takes no new exchanges.
    pub draining: bool,
    /// Its weight now.
    pub weight: u16,
    /// Attempts that run now.
    pub in_flight: u32,
}

/// Takes backends out of rotation for new exchanges, or back in with `off`; with `wait`, answers when nothing is in flight there or
/// that time is up. `backend=POOL/ADDR[&off][&wait=30s]`.
pub(super) async fn drain(control: &Shared, query: &str) -> Result<Operated, String> {
    let query = Query(query);
    let wait = query.get("wait").map(|time| if time.is_empty() { Ok(PATIENCE) } else { config::duration(&time) });
    let wait = wait.transpose()?.unwrap_or_default().min(PATIENCE);
    let off = match query.get("off").as_deref() {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(other) => return Err(format!("`off` is true or false, not {other:?}")),
    };
    let (plan, which) = which(control, &query)?;
    for backend in find(&plan, &which)? {
        backend.state.set_draining(!off);
        tracing::info!("{} {}", backend.state.identity, if off { "drains no more" } else { "drains" });
    }
    let until = Instant::now() + wait;
    loop {
        let operated = operated(&find(&plan, &which)?);
        if operated.is_idle || off || Instant::now() >= until {
            return Ok(operated);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Gives backends another weight, or with `weight=default` the configured one again. `backend=POOL/ADDR&weight=N`.
pub(super) fn weight(control: &Shared, query: &str) -> Result<Operated, String> {
    let query = Query(query);
    let weight = match query.get("weight").as_deref() {
        Some("default") => None,
        Some(text) => Some(
            text.parse()
                .ok()
                .and_then(Weight::new)
                .ok_or("a weight is a number from 1 to 1000, or `default`; to send nothing, drain it")?,
        ),
        None => return Err("`weight` is missing: a number from 1 to 1000, or `default`".to_owned()),
    };
    let (plan, which) = which(control, &query)?;
    let found = find(&plan, &which)?;
    for backend in &found {
        backend.state.set_weight(weight);
        tracing::info!("{} has weight {}", backend.state.identity, backend.weight_now().get());
    }
    Ok(operated(&found))
}

fn which(control: &Shared, query: &Query<'_>) -> Result<(std::sync::Arc<Plan>, String), String> {
    let plan = control.data.plan().ok_or("nothing is served yet")?;
    let which = query.get("backend").ok_or("`backend` is missing: POOL/ADDRESS")?;
    Ok((plan, which))
}

/// The backends called `POOL/ADDRESS` or `POOL/NAME`; there is at least one.
fn find<'a>(plan: &'a Plan, which: &str) -> Result<Vec<&'a Backend>, String> {
    let (name, address) = which.split_once('/').ok_or_else(|| format!("{which:?} is not of the form POOL/ADDRESS"))?;
    let pool = plan.pools.iter().find(|pool| pool.name == name).ok_or_else(|| {
        let known: Vec<&str> = plan.pools.iter().map(|pool| pool.name.as_str()).collect();
        format!("there is no pool {name:?}; there is {}", known.join(", "))
    })?;
    let is_meant =
        |backend: &&Backend| backend.name == address || backend.authority == address || backend.address.to_string() == address;
    let found: Vec<&Backend> = pool.backends.iter().filter(is_meant).collect();
    if found.is_empty() {
        let known: Vec<&str> = pool.backends.iter().map(|backend| backend.name.as_str()).collect();
        return Err(format!("the pool {name} has no backend {address:?}; it has {}", known.join(", ")));
    }
    Ok(found)
}

fn operated(found: &[&Backend]) -> Operated {
    let backends: Vec<OperatedBackend> = found
        .iter()
        .map(|backend| OperatedBackend {
            backend: backend.state.identity.clone(),
            draining: backend.state.is_draining(),
            weight: backend.weight_now().get(),
            in_flight: backend.state.in_flight(),
        })
        .collect();
    Operated { is_idle: backends.iter().all(|backend| backend.in_flight == 0), backends }
}

/// `a=1&b`.
struct Query<'a>(&'a str);

impl Query<'_> {
    /// The value of a parameter, empty without a `=`.
    fn get(&self, name: &str) -> Option<String> {
        let mut pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| unescape(value))
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |b: u8| char::from(b).to_digit(16);
        match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let digits = [*high, *low].map(|b| hex(b).unwrap_or_default() as u8);
                bytes.push(digits[0] << 4 | digits[1]);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whether_escaped_or_not() {
        let query = Query("backend=api%2F%5B::1%5D:80&off&wait=3s");
        let read = ["backend", "off", "wait", "x"].map(|name| query.get(name));
        assert_eq!(read, [Some("api/[::1]:80".to_owned()), Some(String::new()), Some("3s".to_owned()), None]);
        assert_eq!(unescape("%4"), "%4");
    }
}

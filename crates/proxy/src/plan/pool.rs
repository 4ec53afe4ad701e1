//! A pool and its backends, compiled.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{self, Address};
use policy::Nanos;
use policy::balance::{Balance, Hash, Weight};
use policy::limit::Adaptive;
use policy::queue::Who;
use policy::retry::{Budget, Retry};
use policy::{Key, breaker, outlier};

use super::{Resolve, nanos};
use crate::board::{BackendState, Board, Health, PoolState};
use crate::message::Asked;
use crate::stats::{BackendTotals, PoolTotals};
use crate::upstream::sticky::Sticky;

/// A group of backends that serve the same.
#[derive(Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What is true of it now.
    pub state: Arc<PoolState>,
    /// One for each address; a name with three addresses is three backends.
    pub backends: Vec<Backend>,
    /// Names that have no address yet.
    pub unresolved: Vec<String>,
    /// How it is checked.
    pub health: model::Health,
    /// How exchanges are spread.
    pub balance: Balance,
    /// What is done about backends that fail.
    pub guard: model::Guard,
    pub(crate) slow_start: Nanos,
    pub(crate) retry: Retry,
    pub(crate) sticky: Option<Sticky>,
    /// `None` where no backend has a limit, or nobody is to wait.
    pub(crate) queue: Option<Queue>,
    /// The limit of exchanges at one time that finds itself; `None` without one.
    pub adaptive: Option<Arc<Adaptive>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) attempt_timeout: Option<Nanos>,
    pub(crate) idle_connections: usize,
    pub(crate) idle_timeout: Nanos,
    /// How long a failed connect keeps a backend out of rotation when no health check says more.
    pub(crate) suspicion: Nanos,
}

/// One server of a pool.
#[derive(Debug)]
pub struct Backend {
    /// What is true of it now.
    pub state: Arc<BackendState>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its name, or its address as written.
    pub name: String,
    /// Its share.
    pub weight: Weight,
    /// Serves only when no backend of a lower tier can.
    pub tier: u8,
    /// Most attempts at one time; `u32::MAX` is without limit.
    pub max_connections: u32,
    /// Its address as written, for a request or a probe that names no host.
    pub authority: String,
}

impl Backend {
    /// What happened to it.
    pub fn totals(&self) -> BackendTotals {
        BackendTotals::sum(&self.state.cells)
    }

    /// Its weight now: the configured one, unless another was given at run time.
    pub fn weight_now(&self) -> Weight {
        self.state.weight().unwrap_or(self.weight)
    }

    /// Whether exchanges that failed keep it out now.
    pub fn is_out(&self, now: Nanos) -> bool {
        self.state.outlier().is_ejected(now)
    }
}

impl Pool {
    pub(crate) fn compile(pool: &model::Pool, resolve: Resolve<'_>, board: &Board) -> Self {
        let state = board.pool(&pool.name);
        let mut backends: Vec<Backend> = Vec::new();
        let mut unresolved = Vec::new();
        for backend in &pool.backends {
            let addresses = match &backend.address {
                Address::Socket(address) => vec![*address],
                Address::Name { host, port } => resolve(host, *port),
            };
            if addresses.is_empty() {
                unresolved.push(backend.address.to_string());
            }
            for address in addresses {
                // Two names may stand for one address; it is still one backend.
                if backends.iter().any(|known| known.address == address) {
                    continue;
                }
                backends.push(Backend {
                    state: board.backend(&state, &address.to_string()),
                    address,
                    name: backend.name.clone().unwrap_or_else(|| backend.address.to_string()),
                    weight: backend.weight,
                    tier: backend.tier,
                    max_connections: backend.max_connections.map_or(u32::MAX, Into::into),
                    authority: backend.address.to_string(),
                });
            }
        }
        state.set_serving();
        Self {
            name: pool.name.clone(),
            budget: state.budget(pool.retry.budget),
            adaptive: pool.adaptive.map(|params| state.adaptive(params)),
            queue: pool.queue.as_ref().filter(|_| backends.iter().any(is_limited)).map(|queue| Queue::compile(queue, &state)),
            sticky: pool.sticky.as_ref().map(|sticky| Sticky::compile(sticky, &backends, &state, board)),
            state,
            backends,
            unresolved,
            balance: with_lower_case_key(&pool.balance),
            attempt_timeout: pool.retry.attempt_timeout.map(nanos),
            retry: pool.retry.clone(),
            slow_start: nanos(pool.guard.slow_start),
            guard: pool.guard.clone(),
            idle_connections: pool.idle.connections,
            idle_timeout: nanos(pool.idle.timeout),
            suspicion: suspicion(&pool.health),
            health: pool.health.clone(),
        }
    }

    /// Whether so few backends are healthy that their health is ignored.
    pub fn is_failing_open(&self, now: Nanos) -> bool {
        if self.guard.fail_open_below == 0.0 {
            return false;
        }
        let able = || self.backends.iter().filter(|backend| !backend.state.is_draining());
        let healthy = able().filter(|backend| !backend.is_out(now) && backend.state.health() != Health::Down).count();
        (healthy as f64) < able().count() as f64 * self.guard.fail_open_below
    }

    /// What a backend gets of its weight now, in percent.
    pub fn share_of(&self, backend: &Backend, now: Nanos) -> u8 {
        backend.state.share(self.slow_start, now).0
    }

    /// The terms of the breakers that its backends have, if they have any.
    pub fn backend_breaker(&self) -> Option<&breaker::Params> {
        self.guard.breaker.as_ref().filter(|breaker| breaker.scope == model::Scope::Backend).map(|breaker| &breaker.params)
    }

    /// The terms of the breaker that it has as a whole, if it has one.
    pub fn pool_breaker(&self) -> Option<&breaker::Params> {
        self.guard.breaker.as_ref().filter(|breaker| breaker.scope == model::Scope::Pool).map(|breaker| &breaker.params)
    }

    /// Takes note of a failed exchange, which may eject the backend: never more of them than the pool may miss.
    pub(crate) fn hold_against(&self, backend: usize, params: &outlier::Params, now: Nanos) {
        let state = &self.backends[backend].state;
        if !state.outlier().failed(params, now) {
            return;
        }
        let out = || self.backends.iter().filter(|backend| backend.is_out(now)).count();
        let most = params.most_ejected(self.backends.len());
        if out() >= most {
            return;
        }
        let failures = state.outlier().failures_in_row();
        let Some(long) = state.eject(params, now) else { return };
        if out() > most {
            // Another worker ejected another backend at the same moment.
            state.undo_ejection(params, now);
            return;
        }
        tracing::warn!("{} is ejected for {} s: {failures} failures in a row", state.identity, long.as_secs_f64());
    }

    /// How many clients it remembers; `None` where it is not sticky, or clients carry a cookie.
    pub fn sessions(&self, now: Nanos) -> Option<usize> {
        self.sticky.as_ref().filter(|sticky| sticky.is_table()).and_then(|_| self.state.known_sessions(now))
    }

    /// How many may wait for a backend with room; `None` where nobody waits.
    pub fn queue_length(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.length)
    }

    /// Whether clients stay with their backend.
    pub fn is_sticky(&self) -> bool {
        self.sticky.is_some()
    }

    /// What happened to it.
    pub fn totals(&self) -> PoolTotals {
        PoolTotals::sum(&self.state.cells)
    }
}

fn is_limited(backend: &Backend) -> bool {
    backend.max_connections != u32::MAX
}

/// How exchanges wait for a backend with room.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) timeout: Nanos,
    /// Most that wait.
    pub(crate) length: usize,
    key: Option<Key>,
    priority: Option<Key>,
}

/// The priority of those that say nothing of it.
const ORDINARY: u8 = 5;

impl Queue {
    fn compile(queue: &model::Queue, state: &PoolState) -> Self {
        state.line.set_terms(queue.terms);
        Self {
            timeout: nanos(queue.terms.timeout),
            length: queue.terms.length,
            key: queue.key.clone(),
            priority: queue.priority.clone(),
        }
    }

    /// Whose turn it waits for.
    pub(crate) fn who(&self, asked: &Asked<'_>, route: &str) -> Who {
        let key = self.key.as_ref().and_then(|key| asked.key_hash(key, route)).unwrap_or(0);
        let said = self.priority.as_ref().and_then(|key| match key {
            Key::Header(lower_name) => asked.value(lower_name.as_bytes()),
            Key::Cookie(name) => asked.cookie(name.as_bytes()),
            Key::Query(name) => asked.parameter(name.as_bytes()),
            _ => None,
        });
        let priority = match said {
            Some([digit @ b'0'..=b'9']) => digit - b'0',
            _ => ORDINARY,
        };
        Who { key, priority }
    }
}

/// Field names are looked up in lower case.
fn with_lower_case_key(balance: &Balance) -> Balance {
    let mut balance = balance.clone();
    if let Balance::Hash(Hash { key: Key::Header(name), .. }) = &mut balance {
        name.make_ascii_lowercase();
    }
    balance
}

/// With checks, until the check that the suspicion starts has certainly ended; without, a second, after which it's tried again.
fn suspicion(health: &model::Health) -> Nanos {
    match health.check {
        model::Check::Off => nanos(Duration::from_secs(1)),
        _ => nanos(health.params.interval.saturating_add(health.params.timeout).saturating_mul(2)),
    }
}

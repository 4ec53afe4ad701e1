//! Which backend takes the next attempt.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use policy::Nanos;
use policy::balance::{Balance, Balancer, Member, View};

use super::idle::Idle;
use crate::board::Health;
use crate::plan::{Backend, Pool};

/// One pool as one worker sees it: its pick tables and idle connections.
#[derive(Debug)]
pub(crate) struct LocalPool {
    pub(crate) pool: Arc<Pool>,
    pub(crate) idle: Vec<Rc<Idle>>,
    tiers: RefCell<[Tier; 3]>,
    epoch: Cell<u64>,
    /// When the first suspicion ends, and the tables must be derived again.
    valid_until: Cell<Nanos>,
}

/// Backends that are tried before those of the next tier, by index into the pool.
#[derive(Debug)]
struct Tier {
    members: Vec<u16>,
    balancer: Balancer,
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// None is up.
    Healthy,
    /// Those that are up are at their `max_connections`.
    Free,
    /// Those that are up have been tried in this exchange.
    Untried,
}

impl LocalPool {
    /// Takes over the idle connections of backends that `before` had too.
    pub(crate) fn new(pool: Arc<Pool>, before: Option<&Self>) -> Self {
        let idle = pool
            .backends
            .iter()
            .map(|backend| before.and_then(|before| before.idle_of(backend)).unwrap_or_else(|| Rc::new(Idle::new())));
        Self {
            idle: idle.collect(),
            tiers: RefCell::new(std::array::from_fn(|_| Tier { members: Vec::new(), balancer: Balancer::new(&pool.balance, &[]) })),
            epoch: Cell::new(u64::MAX),
            valid_until: Cell::new(0),
            pool,
        }
    }

    /// Whether somebody is left who could take an attempt and has not been tried.
    pub(crate) fn has_untried(&self, tried: &[u16]) -> bool {
        let untried = |i: usize| !tried.contains(&(i as u16));
        // One that is full is there for those who wait in line.
        let has_room = |backend: &Backend| self.pool.queue.is_some() || !is_full(backend);
        self.pool.backends.iter().enumerate().any(|(i, backend)| untried(i) && backend.is_usable() && has_room(backend))
    }

    fn idle_of(&self, backend: &Backend) -> Option<Rc<Idle>> {
        let i = self.pool.backends.iter().position(|known| Arc::ptr_eq(&known.state, &backend.state))?;
        Some(self.idle[i].clone())
    }

    /// The backend for the next attempt, by index.
    pub(crate) fn pick(&self, key: u64, tried: &[u16], now: Nanos, rng: &mut fastrand::Rng) -> Result<usize, Nobody> {
        if self.epoch.get() != self.pool.state.epoch() || now >= self.valid_until.get() {
            self.derive(now);
        }
        for (i, tier) in self.tiers.borrow().iter().enumerate() {
            if tier.members.is_empty() {
                continue;
            }
            let view = Seen { pool: &self.pool, members: &tier.members, tried, now, last_resort: i == 2 };
            if let Some(member) = tier.balancer.pick(&view, key, rng) {
                return Ok(usize::from(tier.members[member]));
            }
        }
        Err(self.why_nobody(tried))
    }

    /// The backend that a client was with before, unless it is down or has been tried. One that drains keeps its sessions; one that is
    /// full is waited for, where there is a line.
    pub(crate) fn stuck(&self, at: usize, tried: &[u16], now: Nanos) -> Option<Result<usize, Nobody>> {
        let backend = &self.pool.backends[at];
        if tried.contains(&(at as u16)) || backend.state.health() == Health::Down || backend.state.is_suspect(now) {
            return None;
        }
        match (is_full(backend), &self.pool.queue) {
            (false, _) => Some(Ok(at)),
            (true, Some(_)) => Some(Err(Nobody::Free)),
            (true, None) => None,
        }
    }

    /// When time alone may change who is picked.
    pub(crate) fn valid_until(&self) -> Nanos {
        self.valid_until.get()
    }

    fn why_nobody(&self, tried: &[u16]) -> Nobody {
        let mut why = Nobody::Healthy;
        for (i, backend) in self.pool.backends.iter().enumerate().filter(|(_, backend)| backend.is_usable()) {
            if tried.contains(&(i as u16)) {
                why = Nobody::Untried;
            } else if is_full(backend) {
                return Nobody::Free;
            }
        }
        why
    }

    /// Derives the tables from the board. All workers derive the same, so that one cursor gives one order.
    fn derive(&self, now: Nanos) {
        self.epoch.set(self.pool.state.epoch());
        let backends = &self.pool.backends;
        let mut valid_until = Nanos::MAX;
        for (backend, idle) in backends.iter().zip(&self.idle) {
            backend.state.absolve(now);
            if backend.state.is_suspect(now) {
                valid_until = valid_until.min(backend.state.suspect_until());
            }
            if backend.state.is_suspect(now) || !backend.is_usable() {
                idle.clear();
            }
        }
        self.valid_until.set(valid_until);
        // A consistent hash is built over all members, so that one that goes and comes back moves only its own keys.
        let stable = matches!(self.pool.balance, Balance::Hash(_));
        let in_rotation = |backend: &Backend| backend.is_usable() && !backend.state.is_suspect(now);
        let select = |take: &dyn Fn(&Backend) -> bool| -> Vec<u16> {
            backends.iter().enumerate().filter(|(_, backend)| take(backend)).map(|(i, _)| i as u16).collect()
        };
        let members = [
            select(&|backend| !backend.backup && (stable || in_rotation(backend))),
            select(&|backend| backend.backup && (stable || in_rotation(backend))),
            select(&|backend| backend.is_usable() && backend.state.is_suspect(now)),
        ];
        for (tier, members) in self.tiers.borrow_mut().iter_mut().zip(members) {
            if tier.members != members {
                let known: Vec<Member> = members.iter().map(|i| member(&backends[usize::from(*i)])).collect();
                *tier = Tier { balancer: Balancer::new(&self.pool.balance, &known), members };
            }
        }
    }
}

fn member(backend: &Backend) -> Member {
    Member { id: backend.state.id, weight: backend.weight }
}

fn is_full(backend: &Backend) -> bool {
    backend.max_connections != u32::MAX && backend.state.in_flight() >= backend.max_connections
}

/// One tier as the algorithms see it.
struct Seen<'a> {
    pool: &'a Pool,
    members: &'a [u16],
    tried: &'a [u16],
    now: Nanos,
    last_resort: bool,
}

impl Seen<'_> {
    fn backend(&self, i: usize) -> &Backend {
        &self.pool.backends[usize::from(self.members[i])]
    }
}

impl View for Seen<'_> {
    fn available(&self, i: usize) -> bool {
        let backend = self.backend(i);
        !self.tried.contains(&self.members[i])
            && !is_full(backend)
            && backend.is_usable()
            && (self.last_resort || !backend.state.is_suspect(self.now))
    }

    fn in_flight(&self, i: usize) -> u32 {
        self.backend(i).state.in_flight()
    }

    fn latency(&self, i: usize) -> u64 {
        self.backend(i).state.latency(self.now)
    }

    fn next_turn(&self) -> usize {
        self.pool.state.next_turn()
    }
}

#[cfg(test)]
mod tests;

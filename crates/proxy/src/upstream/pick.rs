//! Which backend takes the next attempt.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use config::model::Scope;
use policy::Nanos;
use policy::balance::{Balance, Balancer, Member, View, Weight, scaled};

use super::idle::Idle;
use crate::board::Health;
use crate::plan::{Backend, Pool};

/// One pool as one worker sees it: its pick tables and idle connections.
#[derive(Debug)]
pub(crate) struct LocalPool {
    pub(crate) pool: Arc<Pool>,
    pub(crate) idle: Vec<Rc<Idle>>,
    tables: RefCell<Tables>,
    epoch: Cell<u64>,
    /// When time alone changes who may be picked or what its share is, and the tables must be derived again.
    valid_until: Cell<Nanos>,
}

/// Who may be picked, derived from the board.
#[derive(Debug)]
struct Tables {
    /// Of each backend.
    standing: Box<[Standing]>,
    /// Of each backend, in percent.
    shares: Box<[u8]>,
    /// In the order in which they are tried.
    tiers: Vec<Tier>,
}

/// Whether a backend may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its checks or the operator say no.
    Out,
    /// Its breaker is open.
    Broken,
    /// Exchanges with it failed, or it is held down for its flapping: only when nobody else is left.
    Spare,
    In,
}

/// Backends that are tried before those of the next tier, by index into the pool.
#[derive(Debug)]
struct Tier {
    /// The configured tier; `None` is the last resort.
    level: Option<u8>,
    members: Vec<u16>,
    weights: Vec<Weight>,
    balancer: Balancer,
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// None is up.
    Healthy,
    /// The breakers of those that are up are open.
    Admitted,
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
            tables: RefCell::new(Tables::new(&pool)),
            epoch: Cell::new(u64::MAX),
            valid_until: Cell::new(0),
            pool,
        }
    }

    /// Whether somebody is left who could take an attempt and has not been tried.
    pub(crate) fn has_untried(&self, tried: &[u16], now: Nanos) -> bool {
        self.refresh(now);
        let tables = self.tables.borrow();
        let may = |i: usize| !tried.contains(&(i as u16)) && self.admits(i, now) && !is_full(&self.pool.backends[i]);
        tables.standing.iter().enumerate().any(|(i, standing)| matches!(standing, Standing::In | Standing::Spare) && may(i))
    }

    fn idle_of(&self, backend: &Backend) -> Option<Rc<Idle>> {
        let i = self.pool.backends.iter().position(|known| Arc::ptr_eq(&known.state, &backend.state))?;
        Some(self.idle[i].clone())
    }

    /// The backend for the next attempt, by index.
    pub(crate) fn pick(&self, key: u64, tried: &[u16], now: Nanos, rng: &mut fastrand::Rng) -> Result<usize, Nobody> {
        self.pick_by(key, tried, now, rng, None)
    }

    /// The backends in the order in which one exchange would try them. Takes no turn from anybody.
    pub(crate) fn preview(&self, key: u64, now: Nanos, rng: &mut fastrand::Rng) -> Result<Vec<usize>, Nobody> {
        let turn = Cell::new(self.pool.state.turn());
        let mut tried = Vec::new();
        loop {
            match self.pick_by(key, &tried, now, rng, Some(&turn)) {
                Ok(backend) => tried.push(backend as u16),
                Err(nobody) if tried.is_empty() => return Err(nobody),
                Err(_) => return Ok(tried.into_iter().map(usize::from).collect()),
            }
        }
    }

    fn pick_by(
        &self,
        key: u64,
        tried: &[u16],
        now: Nanos,
        rng: &mut fastrand::Rng,
        turn: Option<&Cell<usize>>,
    ) -> Result<usize, Nobody> {
        self.refresh(now);
        let tables = self.tables.borrow();
        for tier in tables.tiers.iter().filter(|tier| !tier.members.is_empty()) {
            let may = if tier.level.is_some() { Standing::In } else { Standing::Spare };
            let view = Seen { local: self, tables: &tables, members: &tier.members, tried, now, may, turn };
            if let Some(member) = tier.balancer.pick(&view, key, rng) {
                return Ok(usize::from(tier.members[member]));
            }
        }
        Err(self.why_nobody(&tables, tried, now))
    }

    /// The backend that a client was with before, unless it is down or has been tried. One that drains keeps its sessions.
    pub(crate) fn stuck(&self, at: usize, tried: &[u16], now: Nanos) -> Option<usize> {
        let backend = &self.pool.backends[at];
        let is_out = backend.state.health() == Health::Down || backend.state.is_suspect(now) || backend.is_out(now);
        let is_there = !is_out && !is_full(backend) && self.admits(at, now);
        (is_there && !tried.contains(&(at as u16))).then_some(at)
    }

    fn why_nobody(&self, tables: &Tables, tried: &[u16], now: Nanos) -> Nobody {
        let mut why = Nobody::Healthy;
        for (i, standing) in tables.standing.iter().enumerate().filter(|(_, standing)| **standing != Standing::Out) {
            if tried.contains(&(i as u16)) {
                why = Nobody::Untried;
            } else if *standing == Standing::Broken || !self.admits(i, now) {
                why = if why == Nobody::Untried { why } else { Nobody::Admitted };
            } else if is_full(&self.pool.backends[i]) {
                return Nobody::Free;
            }
        }
        why
    }

    /// Whether the breaker, the backend's or the pool's, lets one more attempt through. Costs nothing without one.
    fn admits(&self, i: usize, now: Nanos) -> bool {
        let Some(breaker) = &self.pool.guard.breaker else { return true };
        let state = match breaker.scope {
            Scope::Backend => self.pool.backends[i].state.breaker(),
            Scope::Pool => self.pool.state.breaker(),
        };
        state.admits(&breaker.params, now)
    }

    fn refresh(&self, now: Nanos) {
        if self.epoch.get() != self.pool.state.epoch() || now >= self.valid_until.get() {
            self.derive(now);
        }
    }

    /// Derives the tables from the board. All workers derive the same, so that one cursor gives one order.
    fn derive(&self, now: Nanos) {
        self.epoch.set(self.pool.state.epoch());
        let tables = &mut *self.tables.borrow_mut();
        let mut valid_until = Nanos::MAX;
        let is_open = self.pool.is_failing_open(now);
        for (i, (backend, idle)) in self.pool.backends.iter().zip(&self.idle).enumerate() {
            let state = &backend.state;
            state.absolve(now);
            let (share, until) = state.share(self.pool.slow_start, now);
            let breaker = self.pool.backend_breaker().map_or(0, |_| state.breaker().open_until());
            let times = [until, state.suspect_until(), state.outlier().until(), breaker];
            valid_until = times.into_iter().filter(|time| *time > now).fold(valid_until, Nanos::min);
            tables.shares[i] = share;
            let is_down = state.health() == Health::Down && !is_open;
            tables.standing[i] = match () {
                () if state.is_draining() || is_down && !state.is_held_down() => Standing::Out,
                () if breaker > now => Standing::Broken,
                () if is_down || state.is_suspect(now) || backend.is_out(now) && !is_open => Standing::Spare,
                () => Standing::In,
            };
            if tables.standing[i] != Standing::In {
                idle.clear();
            }
        }
        self.valid_until.set(valid_until);
        tables.level_shares(&self.pool);
        for tier in 0..tables.tiers.len() {
            tables.fill(tier, &self.pool);
        }
    }
}

impl Tables {
    fn new(pool: &Pool) -> Self {
        let mut levels: Vec<u8> = pool.backends.iter().map(|backend| backend.tier).collect();
        levels.sort_unstable();
        levels.dedup();
        let balancer = || Balancer::new(&pool.balance, &[]);
        let tier = |level| Tier { level, members: Vec::new(), weights: Vec::new(), balancer: balancer() };
        Self {
            standing: vec![Standing::Out; pool.backends.len()].into(),
            shares: vec![100; pool.backends.len()].into(),
            tiers: levels.into_iter().map(Some).chain([None]).map(tier).collect(),
        }
    }

    /// Where everybody in rotation has a small share, nobody has.
    fn level_shares(&mut self, pool: &Pool) {
        for level in self.tiers.iter().filter_map(|tier| tier.level) {
            let of_tier = |i: &usize| pool.backends[*i].tier == level && self.standing[*i] == Standing::In;
            let most = (0..pool.backends.len()).filter(of_tier).map(|i| self.shares[i]).max().unwrap_or(100);
            let members = (0..pool.backends.len()).filter(|i| pool.backends[*i].tier == level);
            members.for_each(|i| self.shares[i] = (u16::from(self.shares[i]) * 100 / u16::from(most.max(1))).min(100) as u8);
        }
    }

    fn fill(&mut self, tier: usize, pool: &Pool) {
        // A consistent hash is built over all members by their whole weights, so that one that goes and comes back moves only its own keys.
        let is_stable = matches!(pool.balance, Balance::Hash(_));
        let level = self.tiers[tier].level;
        let belongs = |i: usize| match level {
            None => self.standing[i] == Standing::Spare,
            Some(level) => pool.backends[i].tier == level && (is_stable || self.standing[i] == Standing::In),
        };
        let members: Vec<u16> = (0..pool.backends.len()).filter(|i| belongs(*i)).map(|i| i as u16).collect();
        let backend = |i: &u16| &pool.backends[usize::from(*i)];
        let share = |i: &u16| if is_stable { 100 } else { self.shares[usize::from(*i)] };
        let weights = scaled(&members.iter().map(|i| (backend(i).weight_now(), share(i))).collect::<Vec<_>>());
        let tier = &mut self.tiers[tier];
        if tier.members != members || tier.weights != weights {
            let known: Vec<Member> =
                members.iter().zip(&weights).map(|(i, weight)| Member { id: backend(i).state.id, weight: *weight }).collect();
            tier.balancer = Balancer::new(&pool.balance, &known);
            (tier.members, tier.weights) = (members, weights);
        }
    }
}

fn is_full(backend: &Backend) -> bool {
    backend.max_connections != u32::MAX && backend.state.in_flight() >= backend.max_connections
}

/// One tier as the algorithms see it.
struct Seen<'a> {
    local: &'a LocalPool,
    tables: &'a Tables,
    members: &'a [u16],
    tried: &'a [u16],
    now: Nanos,
    may: Standing,
    /// In place of the turn that all workers share.
    turn: Option<&'a Cell<usize>>,
}

impl Seen<'_> {
    fn backend(&self, i: usize) -> &Backend {
        &self.local.pool.backends[usize::from(self.members[i])]
    }
}

impl View for Seen<'_> {
    fn available(&self, i: usize) -> bool {
        let at = self.members[i];
        self.tables.standing[usize::from(at)] == self.may
            && !self.tried.contains(&at)
            && !is_full(self.backend(i))
            && self.local.admits(usize::from(at), self.now)
    }

    fn in_flight(&self, i: usize) -> u32 {
        self.backend(i).state.in_flight()
    }

    fn latency(&self, i: usize) -> u64 {
        self.backend(i).state.latency(self.now)
    }

    fn share(&self, i: usize) -> u8 {
        self.tables.shares[usize::from(self.members[i])]
    }

    fn next_turn(&self) -> usize {
        self.turn.map_or_else(|| self.local.pool.state.next_turn(), |turn| turn.replace(turn.get().wrapping_add(1)))
    }
}

#[cfg(test)]
mod tests;

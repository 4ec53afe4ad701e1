//! The proxy of the simulation: the decisions are `policy`'s own, the board behind them is a few plain fields.
//!
//! It mirrors what `proxy::upstream::pick` and `proxy::http::exchange` do with them, in one thread and without bytes.

use std::cell::Cell;
use std::time::Duration;

use policy::Nanos;
use policy::balance::{Balance, Balancer, Member, View, Weight, hash_key};
use policy::breaker::{self, Breaker, Pass};
use policy::health::{self, Change, Checker};
use policy::measure::{Ewma, Histogram};
use policy::outlier::{self, Outlier};
use policy::retry::{Attempted, Budget, BudgetParams, Conditions, Failure, Retry, Verdict};

use super::SECOND;

/// What is switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// Active health checks, with their defaults.
    pub(super) health: bool,
    /// Retries, and how they are bounded.
    pub(super) retry: Retries,
    /// Passive ejection, with its defaults.
    pub(super) passive: bool,
    /// A breaker for each backend, as [`breaker`] has it.
    pub(super) breaker: bool,
    /// A second attempt once the first has taken longer than 95 of 100 did.
    pub(super) hedge: bool,
}

/// `breaker = { error_rate = 0.3, latency = "100ms" }`.
fn breaker() -> breaker::Params {
    breaker::Params { error_rate: Some(0.3), latency: Some(Duration::from_millis(100)), ..breaker::Params::default() }
}

/// How failed attempts are repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Retries {
    /// Not at all.
    #[default]
    Off,
    /// Two more attempts after connect failures, resets, timeouts and 502 to 504, within the default budget.
    Budgeted,
    /// The same with three more attempts and no budget: what a simple client library does.
    Naive,
}

impl Retries {
    fn params(self) -> Retry {
        let on = Conditions { timeout: true, statuses: vec![502..=504], ..Conditions::default() };
        let endless = BudgetParams { percent: 1_000_000, per_second: 1_000_000 };
        match self {
            Self::Off => Retry { attempts: 0, ..Retry::default() },
            Self::Budgeted => Retry { on, ..Retry::default() },
            Self::Naive => Retry { attempts: 3, budget: endless, ..Self::Budgeted.params() },
        }
    }
}

/// The pool as the proxy sees it.
#[derive(Debug)]
pub(super) struct Front {
    balance: Balance,
    protection: Protection,
    retry: Retry,
    pub(super) budget: Budget,
    pub(super) backends: Vec<Backend>,
    passive: outlier::Params,
    breaker: breaker::Params,
    answers: Histogram,
    /// Those in rotation, then those under suspicion or ejected.
    tiers: [Tier; 2],
    is_stale: bool,
    valid_until: Nanos,
    turn: Cell<usize>,
    rng: fastrand::Rng,
}

/// What the proxy knows of one backend.
#[derive(Debug)]
pub(super) struct Backend {
    member: Member,
    pub(super) in_flight: u32,
    latency: Ewma,
    suspect_until: Nanos,
    pub(super) checker: Checker,
    is_up: bool,
    outlier: Outlier,
    breaker: Breaker,
}

impl Backend {
    /// Until when it is kept out of rotation, by whatever keeps it out the longest.
    fn out_until(&self) -> Nanos {
        self.suspect_until.max(self.outlier.until()).max(self.breaker.open_until())
    }
}

#[derive(Debug)]
struct Tier {
    members: Vec<u8>,
    balancer: Balancer,
}

impl Front {
    pub(super) fn new(balance: &Balance, protection: Protection, backends: usize, seed: u64) -> Self {
        let retry = protection.retry.params();
        let backend = |i: usize| Backend {
            member: Member { id: hash_key(format!("10.0.0.{i}:80").as_bytes()), weight: Weight::ONE },
            in_flight: 0,
            latency: Ewma::UNKNOWN,
            suspect_until: 0,
            checker: Checker::new(health::Params::default()),
            is_up: true,
            outlier: Outlier::default(),
            breaker: Breaker::default(),
        };
        let empty = || Tier { members: Vec::new(), balancer: Balancer::new(balance, &[]) };
        Self {
            budget: Budget::new(retry.budget),
            balance: balance.clone(),
            protection,
            retry,
            passive: outlier::Params::default(),
            breaker: breaker(),
            answers: Histogram::new(),
            backends: (1..=backends).map(backend).collect(),
            tiers: [empty(), empty()],
            is_stale: true,
            valid_until: 0,
            turn: Cell::new(0),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The backend for the next attempt; after an answer that failed, one that was tried may be tried again.
    pub(super) fn pick(&mut self, key: u64, tried: &mut u16, last: Option<Failure>, now: Nanos) -> Option<usize> {
        if self.is_stale || now >= self.valid_until {
            self.derive(now);
        }
        let found = self.pick_untried(key, *tried, now);
        let is_answered = last.is_some_and(|failure| !matches!(failure, Failure::Connect | Failure::ConnectTimeout));
        if found.is_none() && is_answered && *tried != 0 {
            *tried = 0;
            return self.pick_untried(key, 0, now);
        }
        found
    }

    fn pick_untried(&mut self, key: u64, tried: u16, now: Nanos) -> Option<usize> {
        let Self { tiers, backends, turn, rng, breaker, .. } = self;
        tiers.iter().zip([false, true]).find_map(|(tier, last_resort)| {
            let seen = Seen { backends, members: &tier.members, tried, turn, now, breaker, last_resort };
            tier.balancer.pick(&seen, key, rng).map(|member| usize::from(tier.members[member]))
        })
    }

    fn derive(&mut self, now: Nanos) {
        self.is_stale = false;
        let suspected = |backend: &Backend| backend.out_until() > now;
        let times = |backend: &Backend| [backend.suspect_until, backend.outlier.until(), backend.breaker.open_until()];
        let ends = self.backends.iter().flat_map(times).filter(|until| *until > now);
        self.valid_until = ends.min().unwrap_or(Nanos::MAX);
        let select = |take: &dyn Fn(&Backend) -> bool| -> Vec<u8> {
            self.backends.iter().zip(0..).filter(|(backend, _)| take(backend)).map(|(_, i)| i).collect()
        };
        let is_stable = matches!(self.balance, Balance::Hash(_));
        let members = [
            select(&|backend| is_stable || (backend.is_up && !suspected(backend))),
            select(&|backend| backend.is_up && suspected(backend)),
        ];
        for (tier, members) in self.tiers.iter_mut().zip(members) {
            if tier.members != members {
                let known: Vec<Member> = members.iter().map(|&i| self.backends[usize::from(i)].member).collect();
                *tier = Tier { balancer: Balancer::new(&self.balance, &known), members };
            }
        }
    }

    /// Leave to make an attempt that was picked.
    pub(super) fn enter(&mut self, at: usize, now: Nanos) -> Option<Pass> {
        if self.protection.breaker { self.backends[at].breaker.enter(&self.breaker, now) } else { Some(Pass::Free) }
    }

    /// What an attempt that ended, or was given up, says of its backend.
    pub(super) fn note(&mut self, at: usize, pass: Pass, result: Result<(), Failure>, took: Nanos, now: Nanos) {
        let slow = self.breaker.latency.is_some_and(|most| u128::from(took) > most.as_nanos());
        let outcome = breaker::Outcome { failed: result.is_err(), slow };
        if self.protection.breaker {
            self.is_stale |= self.backends[at].breaker.settle(&self.breaker, pass, outcome, now).is_some();
        }
        if matches!(result, Ok(()) | Err(Failure::Status(_))) {
            let latency = &mut self.backends[at].latency;
            *latency = latency.observe(took, now, Ewma::TAU);
        }
        if result.is_ok() {
            self.answers.record(took);
        }
        match result {
            _ if !self.protection.passive => {}
            Ok(()) => self.backends[at].outlier.succeeded(&self.passive, || now),
            Err(_) if self.backends[at].outlier.failed(&self.passive, now) => self.eject(at, now),
            Err(_) => {}
        }
    }

    fn eject(&mut self, at: usize, now: Nanos) {
        if self.backends[at].outlier.eject(&self.passive, now).is_none() {
            return;
        }
        self.is_stale = true;
        let out = self.backends.iter().filter(|backend| backend.outlier.is_ejected(now)).count();
        if out > self.passive.most_ejected(self.backends.len()) {
            self.backends[at].outlier.undo(&self.passive, now);
        }
    }

    /// After how long a second attempt is made.
    pub(super) fn hedge_after(&self) -> Option<Nanos> {
        // Before that many answers the 95th of 100 is a guess.
        (self.protection.hedge && self.answers.count() >= 100).then(|| self.answers.quantile(0.95)).flatten()
    }

    /// Whether a failed attempt is repeated.
    pub(super) fn judge(&mut self, at: usize, failure: Failure, so_far: &mut Attempted, tried: u16, now: Nanos) -> bool {
        match failure {
            Failure::Connect | Failure::ConnectTimeout => self.suspect(at, now),
            Failure::Reset => {
                so_far.tries += 1;
                so_far.resets += 1;
            }
            _ => so_far.tries += 1,
        }
        so_far.bytes_written = !matches!(failure, Failure::Connect | Failure::ConnectTimeout);
        so_far.untried = self.backends.iter().zip(0..).any(|(backend, i)| backend.is_up && tried & (1 << i) == 0);
        self.retry.judge(failure, so_far, &self.budget, now) == Verdict::OtherBackend
    }

    /// Suspicion belongs to fail-over: without any protection nobody is passed over.
    fn suspect(&mut self, at: usize, now: Nanos) {
        if self.protection != Protection::default() {
            self.is_stale = true;
            let until = now + SECOND;
            self.backends[at].suspect_until = self.backends[at].suspect_until.max(until);
        }
    }

    /// A health check has ended; when the next is due.
    pub(super) fn checked(&mut self, at: usize, passed: bool, now: Nanos) -> Nanos {
        let backend = &mut self.backends[at];
        if let Some(change) = backend.checker.observe(passed, now) {
            backend.is_up = change == Change::Up;
            // What was held against it before it fell counts no more.
            if backend.is_up {
                backend.outlier.pardon();
            }
            self.is_stale = true;
        }
        if passed && backend.suspect_until != 0 {
            backend.suspect_until = 0;
            self.is_stale = true;
        }
        backend.checker.next_probe(now, &mut self.rng)
    }
}

/// One tier as the algorithms see it.
struct Seen<'a> {
    backends: &'a [Backend],
    members: &'a [u8],
    tried: u16,
    turn: &'a Cell<usize>,
    now: Nanos,
    breaker: &'a breaker::Params,
    last_resort: bool,
}

impl Seen<'_> {
    fn backend(&self, i: usize) -> &Backend {
        &self.backends[usize::from(self.members[i])]
    }
}

impl View for Seen<'_> {
    fn available(&self, i: usize) -> bool {
        let backend = self.backend(i);
        let is_in = backend.suspect_until <= self.now && !backend.outlier.is_ejected(self.now);
        self.tried & (1 << self.members[i]) == 0
            && backend.is_up
            && (self.last_resort || is_in)
            && backend.breaker.admits(self.breaker, self.now)
    }

    fn in_flight(&self, i: usize) -> u32 {
        self.backend(i).in_flight
    }

    fn latency(&self, i: usize) -> Nanos {
        self.backend(i).latency.at(self.now, Ewma::TAU)
    }

    fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }
}

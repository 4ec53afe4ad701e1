//! The run: arrivals, attempts, answers, deadlines and health checks in the order of their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use policy::Nanos;
use policy::balance::{Balance, hash_key};
use policy::breaker::Pass;
use policy::measure::Histogram;
use policy::retry::{Attempted, Failure};

use super::dice::exponential;
use super::front::{Front, Protection};
use super::machine::{Fault, Machine, Taken};
use super::{MS, SECOND};

/// Longest wait for an answer, and for a health check.
const TIMEOUT: Nanos = SECOND;
const PROBE_TIMEOUT: Nanos = 2 * SECOND;
/// Clients, for the algorithms that go by them: the first ones ask most.
const CLIENTS: f64 = 2000.0;
/// Share of requests that must not be repeated once written.
const POSTS: u8 = 10;

/// What is simulated.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) balance: Balance,
    pub(super) protection: Protection,
    pub(super) faults: Vec<Fault>,
    /// Requests a second, from these times on.
    pub(super) load: Vec<(Nanos, f64)>,
    /// No request arrives after this.
    pub(super) length: Nanos,
    /// Requests that arrive before this are not counted.
    pub(super) warm_up: Nanos,
    pub(super) seed: u64,
}

/// What came of it, as clients saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// Attempts that reached a backend or tried to.
    pub(super) attempts: u64,
    /// How long clients waited, for an error as well.
    pub(super) waited: Histogram,
    /// By second of arrival: requests, and good answers.
    pub(super) series: Vec<(u32, u32)>,
}

impl Outcome {
    /// In milliseconds.
    pub(super) fn quantile_ms(&self, q: f64) -> f64 {
        self.waited.quantile(q).unwrap_or_default() as f64 / MS as f64
    }

    pub(super) fn error_percent(&self) -> f64 {
        self.errors as f64 * 100.0 / self.requests.max(1) as f64
    }

    pub(super) fn attempts_per_request(&self) -> f64 {
        self.attempts as f64 / self.requests.max(1) as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Served(u32),
    Late(u32),
    /// An exchange whose first attempt may have taken too long.
    Hedge(u32),
    Flap(usize),
    /// A check of this backend; the number tells whether it has been put off or forward since.
    Check(usize, u32),
}

#[derive(Debug)]
struct Exchange {
    arrived: Nanos,
    key: u64,
    tried: u16,
    so_far: Attempted,
    last: Option<Failure>,
    /// Attempts under way: two while it is hedged.
    running: u8,
    is_over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// `None`: a health check.
    exchange: Option<u32>,
    backend: usize,
    begun: Nanos,
    pass: Pass,
    status: u16,
    /// Nobody waits for it any more.
    is_over: bool,
}

struct World<'a> {
    scenario: &'a Scenario,
    now: Nanos,
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    /// Events at one time happen in the order in which they were made.
    made: u64,
    front: Front,
    machines: Vec<Machine>,
    exchanges: Vec<Exchange>,
    attempts: Vec<Attempt>,
    /// The check that is due at each backend, and whether one is under way.
    checks: Vec<(u32, Nanos, bool)>,
    arrivals: fastrand::Rng,
    service: fastrand::Rng,
    outcome: Outcome,
}

impl Scenario {
    pub(super) fn run(&self) -> Outcome {
        let mut world = World {
            scenario: self,
            now: 0,
            events: BinaryHeap::new(),
            made: 0,
            front: Front::new(&self.balance, self.protection, self.faults.len(), self.seed),
            machines: self.faults.iter().map(|&fault| Machine::new(fault)).collect(),
            exchanges: Vec::new(),
            attempts: Vec::new(),
            checks: vec![(0, 0, false); self.faults.len()],
            arrivals: fastrand::Rng::with_seed(self.seed + 1),
            service: fastrand::Rng::with_seed(self.seed + 2),
            outcome: Outcome { series: vec![(0, 0); self.length.div_ceil(SECOND) as usize], ..Outcome::default() },
        };
        world.run();
        world.outcome
    }

    fn rate(&self, now: Nanos) -> f64 {
        self.load.iter().rev().find(|(from, _)| *from <= now).map_or(0.0, |&(_, rate)| rate)
    }
}

impl World<'_> {
    fn run(&mut self) {
        self.at(0, Event::Arrive);
        for (i, fault) in self.scenario.faults.iter().enumerate() {
            if let Fault::Flaps(period) = *fault {
                self.at(period, Event::Flap(i));
            }
            if self.scenario.protection.health {
                self.at(0, Event::Check(i, 0));
            }
        }
        let end = self.scenario.length + 10 * SECOND;
        while let Some(Reverse((now, _, event))) = self.events.pop().filter(|Reverse((now, ..))| *now < end) {
            self.now = now;
            match event {
                Event::Arrive => self.arrive(),
                Event::Served(attempt) => self.served(attempt),
                Event::Late(attempt) => self.end(attempt, Err(Failure::ResponseTimeout)),
                Event::Hedge(exchange) => self.hedge(exchange as usize),
                Event::Flap(i) => self.flap(i),
                Event::Check(i, due) if self.checks[i].0 == due => self.check(i),
                Event::Check(..) => {}
            }
        }
        debug_assert!(self.exchanges.iter().all(|exchange| exchange.is_over), "an exchange is left over");
    }

    fn at(&mut self, at: Nanos, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made, event)));
    }

    fn arrive(&mut self) {
        let gap = exponential(&mut self.arrivals) * SECOND as f64 / self.scenario.rate(self.now);
        let next = self.now + gap as Nanos;
        if next < self.scenario.length {
            self.at(next, Event::Arrive);
        }
        let draw = self.arrivals.f64();
        let client = (draw * draw * CLIENTS) as u32;
        let idempotent = self.arrivals.u8(..100) >= POSTS;
        let exchange = Exchange {
            arrived: self.now,
            key: hash_key(&client.to_le_bytes()),
            tried: 0,
            so_far: Attempted { idempotent, body_held: true, ..Attempted::default() },
            last: None,
            running: 0,
            is_over: false,
        };
        self.exchanges.push(exchange);
        self.front.budget.deposit(self.now);
        if let Some(after) = self.front.hedge_after().filter(|_| idempotent) {
            self.at(self.now + after, Event::Hedge(self.exchanges.len() as u32 - 1));
        }
        self.forward(self.exchanges.len() - 1);
    }

    /// Attempts until one is under way or there is none left to make.
    fn forward(&mut self, number: usize) {
        loop {
            let exchange = &mut self.exchanges[number];
            let Some(backend) = self.front.pick(exchange.key, &mut exchange.tried, exchange.last, self.now) else {
                return self.conclude(number, false);
            };
            exchange.tried |= 1 << backend;
            let Err(failure) = self.attempt(Some(number as u32), backend) else { return };
            if !self.is_repeated(number, backend, failure) {
                return self.conclude(number, false);
            }
        }
    }

    /// A second attempt at another backend, if the budget allows it; the first good answer counts.
    fn hedge(&mut self, number: usize) {
        let exchange = &mut self.exchanges[number];
        if exchange.is_over || exchange.running != 1 {
            return;
        }
        let mut tried = exchange.tried;
        let Some(backend) = self.front.pick(exchange.key, &mut tried, None, self.now) else { return };
        if self.front.budget.withdraw(self.now) {
            exchange.tried |= 1 << backend;
            // One that fails at once costs nothing: the first still runs.
            let _ = self.attempt(Some(number as u32), backend);
        }
    }

    fn is_repeated(&mut self, number: usize, backend: usize, failure: Failure) -> bool {
        let exchange = &mut self.exchanges[number];
        let repeated = self.front.judge(backend, failure, &mut exchange.so_far, exchange.tried, self.now);
        exchange.last = Some(failure);
        if matches!(failure, Failure::Connect) {
            self.hasten_check(backend);
        }
        repeated
    }

    /// One attempt; an error if it's over at once.
    fn attempt(&mut self, exchange: Option<u32>, backend: usize) -> Result<(), Failure> {
        let pass = match exchange {
            Some(_) => self.front.enter(backend, self.now).unwrap_or(Pass::Free),
            None => Pass::Free,
        };
        if let Some(exchange) = exchange {
            self.outcome.attempts += u64::from(self.exchanges[exchange as usize].arrived >= self.scenario.warm_up);
        }
        let number = self.attempts.len() as u32;
        let taken = self.machines[backend].take(number, exchange.is_none(), self.now, &mut self.service);
        let failure = match taken {
            Taken::Refused => Some(Failure::Connect),
            Taken::Shed => Some(Failure::Status(503)),
            Taken::Waits | Taken::Served(..) => None,
        };
        if let Some(failure) = failure {
            if exchange.is_some() {
                self.front.note(backend, pass, Err(failure), 0, self.now);
            }
            return Err(failure);
        }
        self.attempts.push(Attempt { exchange, backend, begun: self.now, pass, status: 0, is_over: false });
        self.begin(number, taken);
        let timeout = if exchange.is_some() { TIMEOUT } else { PROBE_TIMEOUT };
        self.at(self.now + timeout, Event::Late(number));
        if let Some(exchange) = exchange {
            self.front.backends[backend].in_flight += 1;
            self.exchanges[exchange as usize].running += 1;
        }
        Ok(())
    }

    fn begin(&mut self, number: u32, taken: Taken) {
        if let Taken::Served(at, status) = taken {
            self.attempts[number as usize].status = status;
            self.at(at, Event::Served(number));
        }
    }

    /// A backend has done what it could, whether or not somebody waits for it.
    fn served(&mut self, number: u32) {
        let Attempt { backend, status, .. } = self.attempts[number as usize];
        if let Some(next) = self.machines[backend].finish(number) {
            let is_probe = self.attempts[next as usize].exchange.is_none();
            let taken = self.machines[backend].serve(is_probe, self.now, &mut self.service);
            self.begin(next, taken);
        }
        self.end(number, if status == 200 { Ok(()) } else { Err(Failure::Status(status)) });
    }

    /// An attempt is over for the proxy.
    fn end(&mut self, number: u32, result: Result<(), Failure>) {
        let attempt = &mut self.attempts[number as usize];
        if std::mem::replace(&mut attempt.is_over, true) {
            return;
        }
        let Attempt { exchange, backend, begun, pass, .. } = *attempt;
        let Some(number) = exchange else { return self.checked(backend, result.is_ok()) };
        self.front.backends[backend].in_flight -= 1;
        self.front.note(backend, pass, result, self.now - begun, self.now);
        let number = number as usize;
        let exchange = &mut self.exchanges[number];
        exchange.running -= 1;
        match result {
            // The other one of a hedged pair was sooner, or may still be.
            _ if exchange.is_over => {}
            Err(_) if exchange.running > 0 => {}
            Ok(()) => self.conclude(number, true),
            Err(failure) if self.is_repeated(number, backend, failure) => self.forward(number),
            Err(_) => self.conclude(number, false),
        }
    }

    fn conclude(&mut self, number: usize, is_good: bool) {
        let exchange = &mut self.exchanges[number];
        exchange.is_over = true;
        let arrived = exchange.arrived;
        let second = &mut self.outcome.series[(arrived / SECOND) as usize];
        second.0 += 1;
        second.1 += u32::from(is_good);
        if arrived >= self.scenario.warm_up {
            self.outcome.requests += 1;
            self.outcome.errors += u64::from(!is_good);
            self.outcome.waited.record(self.now - arrived);
        }
    }

    fn flap(&mut self, backend: usize) {
        let Fault::Flaps(period) = self.machines[backend].fault else { return };
        self.at(self.now + period, Event::Flap(backend));
        for lost in self.machines[backend].flap() {
            self.end(lost, Err(Failure::Reset));
        }
    }

    fn check(&mut self, backend: usize) {
        self.checks[backend].2 = true;
        if self.attempt(None, backend).is_err() {
            self.checked(backend, false);
        }
    }

    fn checked(&mut self, backend: usize, passed: bool) {
        let next = self.front.checked(backend, passed, self.now);
        self.checks[backend].2 = false;
        self.check_at(backend, next);
    }

    fn check_at(&mut self, backend: usize, at: Nanos) {
        let (due, when, _) = &mut self.checks[backend];
        (*due, *when) = (*due + 1, at);
        let due = *due;
        self.at(at, Event::Check(backend, due));
    }

    /// A connect has failed: the next check comes sooner.
    fn hasten_check(&mut self, backend: usize) {
        let (_, when, under_way) = self.checks[backend];
        if !self.scenario.protection.health || under_way {
            return;
        }
        if let Some(sooner) = self.front.backends[backend].checker.suspect(self.now).filter(|&sooner| sooner < when) {
            self.check_at(backend, sooner);
        }
    }
}

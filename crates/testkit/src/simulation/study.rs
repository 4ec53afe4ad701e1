//! Which simulations are run, and the promises they must keep.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;

use policy::Key;
use policy::balance::{Balance, Hash, HashMethod};

use super::SECOND;
use super::front::{Protection, Retries};
use super::machine::Fault;
use super::world::{Outcome, Scenario};

/// Any number; another one gives other figures and the same conclusions.
const SEED: u64 = 2024;
pub(super) const BACKENDS: usize = 10;
/// Requests a second at the pool with three bad backends: 30 % of what ten good ones can do.
pub(super) const RATE: f64 = 1200.0;
/// The spike's study: 70 % of what the pool can do, and for five seconds half as much again as it can do.
pub(super) const CALM: f64 = 2800.0;
pub(super) const SPIKE: f64 = 6000.0;
pub(super) const SPIKE_FROM: usize = 10;
pub(super) const SPIKE_TO: usize = 15;
/// Requests a second in a brown-out.
pub(super) const BROWNED: f64 = 2000.0;

/// All that was found.
pub(super) struct Studies {
    pub(super) matrix: Vec<Row>,
    pub(super) brownouts: Vec<Brownout>,
    pub(super) spikes: Vec<Spike>,
}

/// One algorithm under each of [`protections`].
pub(super) struct Row {
    pub(super) algorithm: &'static str,
    pub(super) outcomes: Vec<Outcome>,
}

/// A pool that has nothing good left.
pub(super) struct Brownout {
    pub(super) name: &'static str,
    pub(super) protection: &'static str,
    pub(super) outcome: Outcome,
}

/// A load that is too much for a while.
pub(super) struct Spike {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
}

impl Spike {
    /// The share of requests that were answered well over the last ten seconds, long after the spike; in percent.
    pub(super) fn recovered(&self) -> f64 {
        let last = self.outcome.series.iter().rev().take(10);
        let (asked, good) = last.fold((0, 0), |sum, second| (sum.0 + second.0, sum.1 + second.1));
        f64::from(good) * 100.0 / f64::from(asked.max(1))
    }
}

/// The algorithms by their words in the configuration.
pub(super) fn algorithms() -> Vec<(&'static str, Balance)> {
    let hash = |method, bounded| Balance::Hash(Hash { key: Key::ClientIp, method, bounded });
    vec![
        ("round_robin", Balance::RoundRobin),
        ("least_connections", Balance::LeastConnections),
        ("least_response_time", Balance::LeastResponseTime),
        ("random", Balance::Random),
        ("hash, maglev", hash(HashMethod::Maglev, None)),
        ("hash, ring", hash(HashMethod::Ring, None)),
        ("hash, rendezvous", hash(HashMethod::Rendezvous, None)),
        ("hash, bounded 1.25", hash(HashMethod::Maglev, Some(1.25))),
    ]
}

const ALL: Protection = Protection { health: true, retry: Retries::Budgeted, passive: true, breaker: true, hedge: true };

/// What is switched on, by a word for the table.
pub(super) fn protections() -> Vec<(&'static str, Protection)> {
    let (off, retry) = (Protection::default(), Retries::Budgeted);
    vec![
        ("none", off),
        ("health", Protection { health: true, ..off }),
        ("retries", Protection { retry, ..off }),
        ("ejection", Protection { passive: true, ..off }),
        ("breaker", Protection { breaker: true, ..off }),
        ("hedging", Protection { hedge: true, ..off }),
        ("all", ALL),
    ]
}

/// One ten times slower, one that fails half of the time, one that comes and goes.
fn three_bad() -> Vec<Fault> {
    let mut faults = vec![Fault::None; BACKENDS];
    (faults[2], faults[5], faults[8]) = (Fault::Slow(10), Fault::Fails(50), Fault::FLAPS);
    faults
}

/// Runs everything, each simulation on a core of its own.
pub(super) fn all() -> Studies {
    let base = Scenario {
        balance: Balance::RoundRobin,
        protection: Protection::default(),
        faults: three_bad(),
        load: vec![(0, RATE)],
        length: 35 * SECOND,
        warm_up: 5 * SECOND,
        seed: SEED,
    };
    let mut scenarios = Vec::new();
    for (_, balance) in algorithms() {
        scenarios.extend(protections().into_iter().map(|(_, protection)| Scenario {
            balance: balance.clone(),
            protection,
            ..base.clone()
        }));
    }
    scenarios.extend(brownouts().iter().map(|&(_, fault, _, protection)| Scenario {
        protection,
        faults: vec![fault; BACKENDS],
        load: vec![(0, BROWNED)],
        warm_up: 0,
        ..base.clone()
    }));
    let second = |n: usize| n as u64 * SECOND;
    scenarios.extend(SPIKES.iter().map(|&(_, retry)| Scenario {
        protection: Protection { retry, ..Protection::default() },
        faults: vec![Fault::None; BACKENDS],
        load: vec![(0, CALM), (second(SPIKE_FROM), SPIKE), (second(SPIKE_TO), CALM)],
        length: 60 * SECOND,
        ..base.clone()
    }));
    let mut outcomes = run(&scenarios).into_iter();
    let matrix = algorithms()
        .into_iter()
        .map(|(algorithm, _)| Row { algorithm, outcomes: outcomes.by_ref().take(protections().len()).collect() });
    let matrix = matrix.collect();
    let brownouts = brownouts().into_iter().zip(outcomes.by_ref());
    let brownouts = brownouts.map(|((name, _, protection, _), outcome)| Brownout { name, protection, outcome }).collect();
    let spikes = SPIKES.iter().zip(outcomes).map(|(&(name, _), outcome)| Spike { name, outcome }).collect();
    Studies { matrix, brownouts, spikes }
}

fn brownouts() -> Vec<(&'static str, Fault, &'static str, Protection)> {
    let faults = [
        ("every answer is a 503", Fault::Fails(100)),
        ("every backend takes 100 times as long", Fault::Slow(100)),
        ("half of all answers are 503", Fault::Fails(50)),
    ];
    let retries = |retry| Protection { retry, ..Protection::default() };
    let with = |words, protection| faults.map(|(name, fault)| (name, fault, words, protection));
    let all = with("all", ALL);
    [all, with("retries", retries(Retries::Budgeted)), with("three retries, no budget", retries(Retries::Naive))].concat()
}

const SPIKES: [(&str, Retries); 3] =
    [("no retries", Retries::Off), ("retries within the budget", Retries::Budgeted), ("three retries, no budget", Retries::Naive)];

/// Every outcome at the place of its scenario; which thread ran it makes no difference.
fn run(scenarios: &[Scenario]) -> Vec<Outcome> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(vec![Outcome::default(); scenarios.len()]));
    let work = || {
        while let Some((i, scenario)) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, scenarios.get(i)?))) {
            let outcome = scenario.run();
            done.lock().unwrap_or_else(PoisonError::into_inner)[i] = outcome;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(faults: Vec<Fault>, protection: Protection, rate: f64, seed: u64) -> Scenario {
        Scenario {
            balance: Balance::LeastConnections,
            protection,
            faults,
            load: vec![(0, rate)],
            length: 20 * SECOND,
            warm_up: 0,
            seed,
        }
    }

    fn retries() -> Protection {
        Protection { retry: Retries::Budgeted, ..Protection::default() }
    }

    #[test]
    fn the_same_seed_is_the_same_run_and_another_one_is_not() {
        let run = |seed| scenario(three_bad(), retries(), RATE, seed).run();
        let (a, b, c) = (run(1), run(1), run(2));
        assert_eq!((a.requests, a.errors, a.attempts, &a.series), (b.requests, b.errors, b.attempts, &b.series));
        assert_ne!(a.series, c.series);
    }

    #[test]
    fn ten_good_backends_answer_everything_in_good_time() {
        let outcome = scenario(vec![Fault::None; BACKENDS], Protection::default(), RATE, 3).run();
        assert_eq!((outcome.errors, outcome.attempts), (0, outcome.requests));
        // Half of the service time is fixed, the other half exponential: 10 + 10 ln 100.
        let p99 = outcome.quantile_ms(0.99);
        assert!((54.0..60.0).contains(&p99), "{p99}");
        let rate = outcome.requests as f64 / 20.0;
        assert!((rate - RATE).abs() < RATE / 50.0, "{rate}");
    }

    #[test]
    fn an_overloaded_backend_queues_and_sheds() {
        // One backend can do 400 a second.
        let outcome = scenario(vec![Fault::None], Protection::default(), 800.0, 4).run();
        assert!(outcome.error_percent() > 50.0, "{}", outcome.error_percent());
    }

    #[test]
    fn in_a_brown_out_attempts_stay_within_the_budget_for_every_seed() {
        for (seed, fault) in (0..4).flat_map(|seed| [(seed, Fault::Fails(100)), (seed, Fault::Slow(100)), (seed, Fault::Fails(50))])
        {
            let outcome = scenario(vec![fault; BACKENDS], retries(), BROWNED, seed).run();
            // A fifth of the requests, 10 a second, and the burst that the first window may begin with.
            let most = outcome.requests as f64 * 1.2 + 10.0 * 20.0 + 100.0;
            assert!((outcome.attempts as f64) < most, "{fault:?}, {seed}: {} of {}", outcome.attempts, outcome.requests);
            assert!(outcome.attempts_per_request() > 1.1, "{fault:?}: retries happen");
        }
    }

    #[test]
    fn with_a_breaker_a_brown_out_has_fewer_attempts_than_requests() {
        for fault in [Fault::Fails(100), Fault::Slow(100)] {
            let outcome = scenario(vec![fault; BACKENDS], ALL, BROWNED, 5).run();
            assert!(outcome.attempts_per_request() < 0.5, "{fault:?}: {}", outcome.attempts_per_request());
        }
    }

    #[test]
    fn with_all_protections_every_algorithm_is_as_good_as_the_good_backends() {
        for (seed, (name, balance)) in algorithms().into_iter().enumerate() {
            let outcome = Scenario { balance, warm_up: 5 * SECOND, ..scenario(three_bad(), ALL, RATE, seed as u64) }.run();
            assert!(outcome.error_percent() < 0.1, "{name}: {} %", outcome.error_percent());
            assert!(outcome.quantile_ms(0.99) < 100.0, "{name}: {} ms", outcome.quantile_ms(0.99));
        }
    }

    #[test]
    fn after_a_spike_the_pool_recovers_with_the_budget_and_not_without() {
        let studies = all();
        let recovered: Vec<f64> = studies.spikes.iter().map(Spike::recovered).collect();
        assert!(recovered[0] > 99.0 && recovered[1] > 99.0 && recovered[2] < 50.0, "{recovered:?}");
    }
}

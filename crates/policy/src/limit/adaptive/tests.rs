//! The limit before a simulated server: places, a line before them, and requests that come evenly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1000 * MS;

/// A server that does so many at one time, the others in line, behind a limit.
struct Server {
    limit: Arc<Adaptive>,
    service: Nanos,
    /// When each of its places comes free.
    free: BinaryHeap<Reverse<Nanos>>,
    /// Ends, and how long it took by then.
    run: Vec<(Nanos, Nanos, Running)>,
    now: Nanos,
}

/// What a stretch of time came to.
#[derive(Debug, Default)]
struct Seen {
    served: u32,
    refused: u32,
    /// Unit: nanoseconds.
    worst: Nanos,
}

impl Server {
    fn new(places: usize, service: Nanos, params: Params) -> Self {
        Self {
            limit: Arc::new(Adaptive::new(params)),
            service,
            free: vec![Reverse(SECOND); places].into(),
            run: Vec::new(),
            now: SECOND,
        }
    }

    /// So many requests a second, evenly, for so long.
    fn load(&mut self, rate: u64, long: Nanos) -> Seen {
        let mut seen = Seen::default();
        let until = self.now + long;
        while self.now < until {
            self.now += SECOND / rate;
            self.finish(&mut seen);
            let Some(running) = self.limit.claim(self.now) else {
                seen.refused += 1;
                continue;
            };
            let Reverse(free) = self.free.pop().unwrap_or_default();
            let done = free.max(self.now) + self.service;
            self.free.push(Reverse(done));
            self.run.push((done, done - self.now, running));
        }
        seen
    }

    fn finish(&mut self, seen: &mut Seen) {
        let now = self.now;
        let mut over: Vec<_> = self.run.extract_if(.., |(done, ..)| *done <= now).collect();
        over.sort_by_key(|(done, ..)| *done);
        for (done, took, running) in over {
            drop(running);
            self.limit.sample(took, done);
            seen.served += 1;
            seen.worst = seen.worst.max(took);
        }
    }
}

#[test]
fn a_server_with_more_to_do_than_it_can_is_kept_busy_and_quick() {
    for (places, start) in [(20, 32), (20, 400), (100, 8), (8, 32)] {
        let mut server = Server::new(places, 50 * MS, Params { start, ..Params::default() });
        let able = places as u64 * 20;
        server.load(able * 2, 60 * SECOND);
        let seen = server.load(able * 2, 60 * SECOND);
        let limit = server.limit.limit();
        assert!((places as u32..places as u32 * 4).contains(&limit), "{places} places, from {start}: {limit}");
        assert!(f64::from(seen.served) > 0.95 * (able * 60) as f64, "it idles: {seen:?} of {}", able * 60);
        assert!(seen.worst < 200 * MS, "a line grows: {seen:?}");
        assert!(seen.refused > 0 && u64::from(seen.refused) <= server.limit.refused());
    }
}

#[test]
fn a_server_within_its_means_refuses_nobody_once_the_limit_is_found() {
    let mut server = Server::new(100, 50 * MS, Params::default());
    server.load(1200, 20 * SECOND);
    let seen = server.load(1200, 300 * SECOND);
    assert_eq!((seen.refused, seen.worst), (0, 50 * MS), "at {}", server.limit.limit());
    assert!((60..=250).contains(&server.limit.limit()), "it grows with use only: {}", server.limit.limit());
}

#[test]
fn a_server_that_slows_down_gets_less_and_its_share_again_when_it_is_well() {
    let mut server = Server::new(100, 50 * MS, Params::default());
    server.load(1200, 60 * SECOND);
    let before = server.limit.limit();
    server.service = 500 * MS;
    server.load(1200, 10 * SECOND);
    let slow = server.limit.limit();
    assert!(slow < before / 2, "{before}, then {slow}");
    server.service = 50 * MS;
    server.load(1200, 60 * SECOND);
    let seen = server.load(1200, 60 * SECOND);
    assert_eq!(seen.refused, 0, "at {}", server.limit.limit());
}

#[test]
fn a_latency_that_is_there_to_stay_becomes_the_base() {
    let mut server = Server::new(1000, 50 * MS, Params::default());
    server.load(400, 60 * SECOND);
    server.service = 200 * MS;
    server.load(400, 130 * SECOND);
    let seen = server.load(400, 50 * SECOND);
    assert_eq!((seen.refused, server.limit.base() / MS), (0, 200), "at {}", server.limit.limit());
}

#[test]
fn one_that_runs_counts_until_it_is_dropped_and_never_more_do_than_the_limit() {
    let limit = Arc::new(Adaptive::new(Params { start: 8, ..Params::default() }));
    let mut held: Vec<_> = (0..10).map_while(|_| limit.claim(SECOND)).collect();
    assert_eq!((held.len(), limit.running(), limit.refused()), (8, 8, 1));
    held.pop();
    assert!(limit.claim(SECOND).is_some(), "let go of at once: {}", limit.running());
    drop(held);
    assert_eq!(limit.running(), 0);
    let (most, given) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..20_000 {
                    let held: Vec<_> = (0..3).map_while(|_| limit.claim(SECOND + i)).collect();
                    most.fetch_max(limit.running(), SeqCst);
                    given.fetch_add(held.len() as u32, SeqCst);
                }
            });
        }
    });
    assert_eq!(limit.running(), 0);
    assert!(most.into_inner() <= 8 && given.into_inner() > 20_000);
}

#[test]
fn a_look_at_a_pool_that_answers_nothing_is_given_up() {
    let limit = Arc::new(Adaptive::new(Params { start: 100, ..Params::default() }));
    let held: Vec<_> = (0..100).map_while(|_| limit.claim(SECOND)).collect();
    let mut now = SECOND;
    let mut took = 50 * MS;
    while !limit.looks.load(Relaxed) {
        now += 50 * MS;
        limit.sample(took, now);
        took = if limit.base() == 0 { took } else { 70 * MS };
        assert!(now < 100 * SECOND, "it never looks");
    }
    assert!(limit.limit() < 60, "{}", limit.limit());
    assert!(limit.claim(now + SECOND).is_none());
    assert!(limit.claim(now + 6 * SECOND).is_none(), "this one ends it");
    assert!(limit.limit() >= 100 && limit.base() == 50 * MS, "{limit:?}");
    drop(held);
}

proptest! {
    #[test]
    fn whatever_is_measured_the_limit_stays_within_its_bounds(
        min in 1..50_u32,
        more in 0..500_u32,
        tolerance in 1.0..10.0_f64,
        steps in proptest::collection::vec((0..5000_u64, 0..2_000_u64, 0..40_u8), 1..300),
    ) {
        let params = Params { min, max: min + more, start: min + more / 2, tolerance, ..Params::default() };
        let limit = Arc::new(Adaptive::new(params));
        let mut now = SECOND;
        let mut held = Vec::new();
        for (took, pause, claims) in steps {
            now += pause * MS;
            (0..claims).for_each(|_| held.extend(limit.claim(now)));
            limit.sample(took * MS, now);
            held.truncate(held.len() / 2);
            prop_assert!((min..=min + more).contains(&limit.limit()), "{limit:?}");
            prop_assert_eq!(limit.running() as usize, held.len());
        }
    }
}

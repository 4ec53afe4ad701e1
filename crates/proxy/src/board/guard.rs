//! What traffic and the operator have said of a backend: ejection, breaker, weight given at run time, slow start.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use policy::Nanos;
use policy::balance::Weight;
use policy::breaker::Breaker;
use policy::outlier::{Outlier, Params};

use super::BackendState;

/// It is back in rotation, and the next who looks says since when.
const RETURNED: Nanos = Nanos::MAX;
/// Slow start goes up in so many steps.
const STEPS: u64 = 10;

/// The part of a backend's state that the guards of its pool go by.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    outlier: Outlier,
    breaker: Breaker,
    /// 0: none, the configured one holds.
    weight: AtomicU16,
    /// When it came back into rotation; 0: never.
    returned: AtomicU64,
}

impl BackendState {
    /// What exchanges hold against it.
    pub fn outlier(&self) -> &Outlier {
        &self.guarded.outlier
    }

    /// Its own breaker; says nothing where its pool has none.
    pub fn breaker(&self) -> &Breaker {
        &self.guarded.breaker
    }

    /// Takes it out because of its failures, if it is not already. The time it is out for.
    pub(crate) fn eject(&self, params: &Params, now: Nanos) -> Option<Duration> {
        let long = self.guarded.outlier.eject(params, now);
        if long.is_some() {
            self.pool.changed();
        }
        long
    }

    /// Takes back an ejection that was one too many.
    pub(crate) fn undo_ejection(&self, params: &Params, now: Nanos) {
        self.guarded.outlier.undo(params, now);
        self.pool.changed();
    }

    /// Its checks have failed and pass again: what was held against it before counts no more.
    pub(super) fn come_back(&self) {
        self.guarded.outlier.pardon();
        self.begin_slowly();
    }

    /// Gives it the share of one that has just come into rotation, where its pool has a slow start.
    pub(crate) fn begin_slowly(&self) {
        self.guarded.returned.store(RETURNED, SeqCst);
    }

    /// Gives it another weight than the configured one, until it's taken back with `None`.
    pub fn set_weight(&self, weight: Option<Weight>) {
        let weight = weight.map_or(0, Weight::get);
        if self.guarded.weight.swap(weight, SeqCst) != weight {
            self.pool.changed();
        }
    }

    /// The weight given at run time.
    pub fn weight(&self) -> Option<Weight> {
        Weight::new(self.guarded.weight.load(SeqCst))
    }

    /// How much of its weight it's to get, in percent, and when that changes by itself.
    pub(crate) fn share(&self, slow_start: Nanos, now: Nanos) -> (u8, Nanos) {
        let (ramp, until) = if slow_start == 0 { (100, Nanos::MAX) } else { self.ramp(slow_start, now) };
        let share = if self.is_degraded() { (ramp / 2).max(1) } else { ramp };
        (share, until)
    }

    fn ramp(&self, slow_start: Nanos, now: Nanos) -> (u8, Nanos) {
        let returned = &self.guarded.returned;
        let _ = returned.compare_exchange(RETURNED, now, SeqCst, SeqCst);
        // The end of an ejection is a return too.
        let returns = [returned.load(SeqCst), self.guarded.outlier.until()];
        let since = returns.into_iter().filter(|at| *at <= now).max().unwrap_or_default();
        let step = (slow_start / STEPS).max(1);
        let done = now.saturating_sub(since) / step;
        if since == 0 || done + 1 >= STEPS {
            return (100, Nanos::MAX);
        }
        ((100 / STEPS * (done + 1)) as u8, since + (done + 1) * step)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Board, Health};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_backend_that_comes_back_gets_its_share_in_ten_steps() {
        let board = Board::new(1);
        let pool = board.pool("api");
        let backend = board.backend(&pool, "10.0.0.1:80");
        backend.set_health(Health::Up, "");
        assert_eq!(backend.share(30 * SECOND, SECOND), (100, u64::MAX), "the first check is no return");
        backend.set_health(Health::Down, "");
        backend.set_health(Health::Up, "");
        let mut now = 100 * SECOND;
        let mut seen = Vec::new();
        while now != u64::MAX {
            let (share, next) = backend.share(30 * SECOND, now);
            seen.push(share);
            now = next;
        }
        assert_eq!(seen, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(backend.share(0, 100 * SECOND), (100, u64::MAX), "nothing to it without a slow start");
        backend.set_degraded(true);
        assert_eq!((backend.share(0, 0).0, backend.share(30 * SECOND, 106 * SECOND).0), (50, 15));
    }

    #[test]
    fn the_end_of_an_ejection_is_a_return_and_a_fall_ends_it() {
        let board = Board::new(1);
        let pool = board.pool("api");
        let backend = board.backend(&pool, "10.0.0.1:80");
        let params = policy::outlier::Params::default();
        assert!(backend.eject(&params, SECOND).is_some());
        let back = backend.outlier().until();
        assert_eq!([back - 1, back, back + 15 * SECOND].map(|now| backend.share(30 * SECOND, now).0), [100, 10, 60]);
        backend.eject(&params, back + 20 * SECOND);
        backend.set_health(Health::Down, "");
        backend.set_health(Health::Up, "");
        assert!(!backend.outlier().is_ejected(back + 21 * SECOND));
    }

    #[test]
    fn a_weight_given_at_run_time_holds_until_it_is_taken_back() {
        let board = Board::new(1);
        let pool = board.pool("api");
        let backend = board.backend(&pool, "10.0.0.1:80");
        let before = pool.epoch();
        assert_eq!(backend.weight(), None);
        backend.set_weight(policy::balance::Weight::new(7));
        assert_eq!(board.backend(&pool, "10.0.0.1:80").weight(), policy::balance::Weight::new(7));
        assert_ne!(pool.epoch(), before);
        backend.set_weight(None);
        assert_eq!(backend.weight(), None);
    }
}

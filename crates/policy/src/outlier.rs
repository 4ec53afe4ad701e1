//! Passive health: which backend is taken out because exchanges with it fail.
//!
//! What health checks can't see, traffic does: a backend that accepts and passes its probes, but resets, stalls or answers 502.
//! After so many failures in a row, or too large a share of failures, it is ejected for a while that grows each time. Back in
//! rotation it is on probation: its first failure ejects it again, its first success clears it. All state is a few atomics, so
//! that all workers go by one truth; a success costs a load as long as nothing has failed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crate::measure::{Counts, Window};
use crate::retry::Conditions;
use crate::{Nanos, nanos};

/// When a backend is taken out (`passive =`). nginx's `max_fails=3 fail_timeout=10s` is `failures = 3`, `window = "10s"`,
/// `eject = "10s"`, `max_eject = "10s"`, `max_ejected = "100%"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Failures in a row that eject. Default: 5. 0 counts none.
    pub failures: u32,
    /// Failures in a row count only within this time, and shares over it. Default: 30 s.
    pub window: Duration,
    /// Share of failures in the window that ejects, of at least [`Params::minimum`] exchanges. Default: `None`, off.
    ///
    /// Unit: fraction. Range: above 0 to 1. Costs one compare-and-swap an attempt.
    pub error_rate: Option<f64>,
    /// Exchanges in the window below which its share of failures says nothing. Default: 20.
    pub minimum: u32,
    /// How long the first time, n times as long the nth time. Default: 30 s.
    pub eject: Duration,
    /// The longest ejection, and how long a backend must last in rotation to be forgiven one. Default: 5 min.
    pub max_eject: Duration,
    /// Share of the pool's backends that may be out at one time; one always may. Default: 0.5. Unit: fraction.
    pub max_ejected: f64,
    /// What counts as a failure. Default: connect, reset, timeout and the statuses 502 to 504.
    pub on: Conditions,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(30),
            error_rate: None,
            minimum: 20,
            eject: Duration::from_secs(30),
            max_eject: Duration::from_secs(300),
            max_ejected: 0.5,
            on: Conditions { connect: true, reset: true, timeout: true, statuses: vec![502..=504] },
        }
    }
}

impl Params {
    /// How many of so many backends may be out at one time.
    pub fn most_ejected(&self, backends: usize) -> usize {
        ((backends as f64 * self.max_ejected + 1e-9) as usize).max(1)
    }
}

/// What is held against one backend, by all workers.
#[derive(Debug, Default)]
pub struct Outlier {
    /// Failures in a row (lower half) and the millisecond of the first of them (upper half). 0: none.
    row: AtomicU64,
    /// Until when it is out; 0 when it is in rotation.
    until: AtomicU64,
    /// Ejections in quick succession.
    times: AtomicU32,
    /// All ejections there ever were.
    total: AtomicU64,
    window: Window,
}

impl Outlier {
    /// An exchange went well. Without a failure before it this is one load, unless a share of failures is watched.
    pub fn succeeded(&self, params: &Params, now: impl FnOnce() -> Nanos) {
        if self.row.load(Relaxed) != 0 {
            self.row.store(0, Relaxed);
        }
        if params.error_rate.is_some() {
            self.window.add(Counts { all: 1, failed: 0, slow: 0 }, now(), params.window);
        }
    }

    /// An exchange failed. True if that is enough for an ejection, which the caller then asks for with [`Outlier::eject`].
    pub fn failed(&self, params: &Params, now: Nanos) -> bool {
        if self.is_ejected(now) {
            return false;
        }
        let rate = params.error_rate.is_some_and(|most| {
            self.window.add(Counts { all: 1, failed: 1, slow: 0 }, now, params.window);
            let counts = self.window.counts(now, params.window);
            counts.all >= params.minimum && f64::from(counts.failed) >= most * f64::from(counts.all)
        });
        let row = self.count_in_row(params, now);
        rate || (params.failures > 0 && row >= params.failures)
    }

    fn count_in_row(&self, params: &Params, now: Nanos) -> u32 {
        let (ms, span) = ((now / 1_000_000) as u32, (nanos(params.window) / 1_000_000) as u32);
        let counted = |word: u64| {
            let (first, count) = ((word >> 32) as u32, word as u32);
            let age = ms.wrapping_sub(first);
            // A worker whose time is a little behind sees an age beyond any window.
            let is_recent = count > 0 && (age <= span || age > u32::MAX / 2);
            if is_recent { (first, count.saturating_add(1)) } else { (ms, 1) }
        };
        let pack = |(first, count): (u32, u32)| u64::from(first) << 32 | u64::from(count);
        let before = self.row.fetch_update(Relaxed, Relaxed, |word| Some(pack(counted(word))));
        counted(before.unwrap_or_default()).1
    }

    /// Takes it out, unless another worker has just done so. The time it is out for, if this did it.
    ///
    /// It comes back on probation: its next failure ejects it again.
    pub fn eject(&self, params: &Params, now: Nanos) -> Option<Duration> {
        let before = self.until.load(SeqCst);
        if before > now {
            return None;
        }
        // Each `max_eject` in rotation takes one earlier ejection back.
        let forgiven = now.saturating_sub(before).checked_div(nanos(params.max_eject)).unwrap_or(u64::MAX);
        let earlier = self.times.load(SeqCst).saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        let times = earlier.saturating_add(1);
        let long = params.eject.saturating_mul(times).min(params.max_eject.max(params.eject));
        let until = now.saturating_add(nanos(long)).max(1);
        self.until.compare_exchange(before, until, SeqCst, SeqCst).ok()?;
        self.times.store(times, SeqCst);
        self.total.fetch_add(1, Relaxed);
        self.window.clear();
        let back = (until / 1_000_000) as u32;
        self.row.store(u64::from(back) << 32 | u64::from(params.failures.saturating_sub(1)), Relaxed);
        Some(long)
    }

    /// Undoes an ejection that was one too many. The next failure asks again.
    pub fn undo(&self, params: &Params, now: Nanos) {
        self.until.store(0, SeqCst);
        self.times.fetch_sub(1, SeqCst);
        self.total.fetch_sub(1, Relaxed);
        let ms = (now / 1_000_000) as u32;
        self.row.store(u64::from(ms) << 32 | u64::from(params.failures.saturating_sub(1)), Relaxed);
    }

    /// Ends an ejection before its time. True if there was one.
    pub fn pardon(&self) -> bool {
        self.row.store(0, Relaxed);
        self.until.swap(0, SeqCst) != 0
    }

    /// Whether it is out at `now`.
    pub fn is_ejected(&self, now: Nanos) -> bool {
        self.until.load(SeqCst) > now
    }

    /// Until when it is out, or was last; 0 if it never was, or was pardoned.
    pub fn until(&self) -> Nanos {
        self.until.load(SeqCst)
    }

    /// Failures in a row so far.
    pub fn failures_in_row(&self) -> u32 {
        self.row.load(Relaxed) as u32
    }

    /// All ejections there ever were.
    pub fn ejections(&self) -> u64 {
        self.total.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn params() -> Params {
        Params::default()
    }

    /// Fails until it is ejected; how many failures that took, and for how long it's out.
    fn fail(outlier: &Outlier, params: &Params, now: Nanos) -> (u32, Duration) {
        for n in 1..1000 {
            if outlier.failed(params, now)
                && let Some(long) = outlier.eject(params, now)
            {
                return (n, long);
            }
        }
        panic!("never ejected");
    }

    #[test]
    fn five_failures_in_a_row_eject_and_a_success_between_them_clears() {
        let outlier = Outlier::default();
        for _ in 0..100 {
            assert!((0..4).all(|_| !outlier.failed(&params(), SECOND)));
            outlier.succeeded(&params(), || unreachable!("no clock is read without an error rate"));
        }
        assert_eq!(fail(&outlier, &params(), 2 * SECOND), (5, Duration::from_secs(30)));
        assert!(outlier.is_ejected(31 * SECOND) && !outlier.is_ejected(32 * SECOND));
    }

    #[test]
    fn failures_far_apart_are_not_in_a_row() {
        let outlier = Outlier::default();
        assert!((0..100).all(|k| !outlier.failed(&params(), k * 10 * SECOND)));
    }

    #[test]
    fn the_first_failure_after_the_return_ejects_again_and_a_success_clears() {
        let (outlier, params) = (Outlier::default(), params());
        fail(&outlier, &params, SECOND);
        assert_eq!(fail(&outlier, &params, 31 * SECOND), (1, Duration::from_secs(60)));
        outlier.succeeded(&params, || 0);
        assert_eq!(fail(&outlier, &params, 91 * SECOND).0, 5);
    }

    #[test]
    fn ejections_grow_to_five_minutes_and_time_in_rotation_takes_them_back() {
        let (outlier, params) = (Outlier::default(), params());
        let mut now = SECOND;
        let mut eject = |after: u64| {
            now = now.max(outlier.until()) + after * SECOND;
            fail(&outlier, &params, now).1.as_secs()
        };
        assert_eq!([0; 12].map(|_| eject(1)), [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
        assert_eq!(eject(3000), 90, "ten times five minutes in rotation take back ten of twelve");
        assert_eq!(eject(86_400), 30);
    }

    #[test]
    fn a_share_of_failures_ejects_where_one_is_set() {
        let params = Params { failures: 0, error_rate: Some(0.3), ..params() };
        let outlier = Outlier::default();
        for k in 0..1000 {
            outlier.succeeded(&params, || k * SECOND / 100);
            if k % 4 == 0 {
                assert!(!outlier.failed(&params, k * SECOND / 100), "a fifth is not 30 %");
            }
        }
        let ejected = (0..1000).find(|_| outlier.failed(&params, 10 * SECOND));
        assert!((100..300).contains(&ejected.unwrap_or_default()), "{ejected:?}");
        let quiet = Outlier::default();
        assert!((0..19).all(|_| !quiet.failed(&params, SECOND)), "below the minimum");
        assert!(quiet.failed(&params, SECOND));
    }

    #[test]
    fn never_more_than_half_of_a_pool_and_one_always() {
        let most: Vec<usize> = [1, 2, 3, 4, 5, 10].map(|n| params().most_ejected(n)).into();
        assert_eq!(most, [1, 1, 1, 2, 2, 5]);
        assert_eq!(Params { max_ejected: 1.0, ..params() }.most_ejected(3), 3);
        assert_eq!(Params { max_ejected: 0.0, ..params() }.most_ejected(3), 1);
    }

    #[test]
    fn one_of_the_workers_that_see_the_last_failure_ejects() {
        let (outlier, params) = (Outlier::default(), params());
        let ejected: usize = std::thread::scope(|scope| {
            let see = || usize::from((0..100).any(|_| outlier.failed(&params, SECOND) && outlier.eject(&params, SECOND).is_some()));
            let workers = [0; 4].map(|_| scope.spawn(see));
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).sum()
        });
        assert_eq!((ejected, outlier.ejections()), (1, 1));
    }

    #[test]
    fn an_ejection_that_is_undone_leaves_no_trace_but_the_row() {
        let (outlier, params) = (Outlier::default(), params());
        fail(&outlier, &params, SECOND);
        outlier.undo(&params, SECOND);
        assert!(!outlier.is_ejected(SECOND) && outlier.ejections() == 0);
        assert_eq!(fail(&outlier, &params, 2 * SECOND), (1, Duration::from_secs(30)));
        assert!(outlier.pardon() && !outlier.pardon() && !outlier.is_ejected(3 * SECOND));
    }

    proptest! {
        /// Against the rule as a person would say it.
        #[test]
        fn it_is_out_after_so_many_in_a_row_and_only_then(
            outcomes in prop::collection::vec((0..20u64, prop::bool::weighted(0.7)), 0..200), failures in 1..6u32
        ) {
            let params = Params { failures, ..params() };
            let outlier = Outlier::default();
            let (mut now, mut row): (Nanos, Vec<Nanos>) = (SECOND, Vec::new());
            for (wait, fails) in outcomes {
                now += wait * SECOND;
                if !fails {
                    row.clear();
                    outlier.succeeded(&params, || now);
                    continue;
                }
                if row.first().is_some_and(|first| now - first > 30 * SECOND) {
                    row.clear();
                }
                row.push(now);
                prop_assert_eq!(outlier.failed(&params, now), row.len() >= failures as usize);
            }
        }
    }
}

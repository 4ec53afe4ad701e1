//! The retry budget: retries in the last ten seconds against exchanges in the last ten seconds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Nanos;

/// Length of the window, in slots of one second.
const SLOTS: u64 = 10;
const SECOND: Nanos = 1_000_000_000;

/// How many retries a pool may make, over a sliding window of ten seconds.
///
/// The percentage follows the traffic, so that retries can't multiply it; the rate lets quiet pools retry at all. An
/// idle pool may so make 10 × `per_second` retries in one burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetParams {
    /// Retries per hundred exchanges. Default: 20.
    pub percent: u32,
    /// Retries a second on top. Default: 10.
    pub per_second: u32,
}

impl Default for BudgetParams {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}

/// The account of one pool, shared by all workers. Lock-free; a deposit is one compare-and-swap.
#[derive(Debug)]
pub struct Budget {
    params: BudgetParams,
    exchanges: Window,
    retries: Window,
}

impl Budget {
    /// An account without history.
    pub fn new(params: BudgetParams) -> Self {
        Self { params, exchanges: Window::default(), retries: Window::default() }
    }

    /// Counts an exchange; once for each, at its beginning.
    pub fn deposit(&self, now: Nanos) {
        self.exchanges.add(now);
    }

    /// Takes one retry if there is one left. Workers that ask at once can't take more than there is.
    pub fn withdraw(&self, now: Nanos) -> bool {
        let allowed = self.exchanges.sum(now) * u64::from(self.params.percent) / 100 + u64::from(self.params.per_second) * SLOTS;
        // Claimed first, given back if that was one too many.
        let slot = self.retries.add(now);
        if self.retries.sum(now) <= allowed {
            return true;
        }
        self.retries.take_back(slot);
        false
    }
}

/// Counts by second; each slot holds its second (upper half) and its count (lower half), so both change at once.
#[derive(Debug, Default)]
struct Window([AtomicU64; SLOTS as usize]);

/// A slot that was counted in: its index and second.
struct Counted(usize, u64);

impl Window {
    fn add(&self, now: Nanos) -> Counted {
        let second = second(now);
        let index = (second % SLOTS) as usize;
        let counted = self.0[index].fetch_update(Relaxed, Relaxed, |slot| {
            // A worker whose `now` is a little older counts into the newer second.
            Some(if slot >> 32 >= second { slot + 1 } else { second << 32 | 1 })
        });
        Counted(index, counted.map_or(second, |before| (before >> 32).max(second)))
    }

    fn take_back(&self, Counted(index, second): Counted) {
        // Nothing to do if the second has passed out of the window meanwhile.
        let _ = self.0[index].fetch_update(Relaxed, Relaxed, |slot| (slot >> 32 == second && slot as u32 > 0).then(|| slot - 1));
    }

    fn sum(&self, now: Nanos) -> u64 {
        let oldest = second(now).saturating_sub(SLOTS - 1);
        let counts = self.0.iter().map(|slot| slot.load(Relaxed));
        counts.filter(|slot| slot >> 32 >= oldest).map(|slot| slot & u64::from(u32::MAX)).sum()
    }
}

/// Seconds from 1, so that an empty slot is older than any; 32 bits last for 136 years.
fn second(now: Nanos) -> u64 {
    (now / SECOND + 1) & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withdrawals(budget: &Budget, now: Nanos) -> u32 {
        (0..).take_while(|_| budget.withdraw(now)).count() as u32
    }

    #[test]
    fn an_idle_pool_may_retry_ten_times_a_second() {
        let budget = Budget::new(BudgetParams::default());
        assert_eq!(withdrawals(&budget, 0), 100);
        assert_eq!(withdrawals(&budget, 9 * SECOND), 0);
        assert_eq!(withdrawals(&budget, 10 * SECOND), 100);
    }

    #[test]
    fn traffic_adds_a_fifth_of_itself() {
        let budget = Budget::new(BudgetParams { percent: 20, per_second: 0 });
        (0..1000).for_each(|_| budget.deposit(5 * SECOND));
        assert_eq!(withdrawals(&budget, 8 * SECOND), 200);
        assert_eq!(withdrawals(&budget, 14 * SECOND), 0);
        (0..10).for_each(|_| budget.deposit(30 * SECOND));
        assert_eq!(withdrawals(&budget, 30 * SECOND), 2);
    }

    #[test]
    fn in_an_outage_retries_stay_a_fifth_of_traffic() {
        let budget = Budget::new(BudgetParams::default());
        let mut retries = 0;
        for k in 0..60_000 {
            let now = k * SECOND / 1000;
            budget.deposit(now);
            retries += (0..2).filter(|_| budget.withdraw(now)).count();
        }
        // 60 s at 1,000/s: 20 % and 10/s make 12,600; the first window may begin with its 100 at once.
        assert!((12_000..=12_700).contains(&retries), "{retries}");
    }

    #[test]
    fn workers_together_never_take_more_than_there_is() {
        let budget = Budget::new(BudgetParams { percent: 50, per_second: 10 });
        (0..1000).for_each(|_| budget.deposit(SECOND));
        let taken: u32 = std::thread::scope(|scope| {
            let workers = [0; 4].map(|_| scope.spawn(|| (0..1000).filter(|_| budget.withdraw(SECOND)).count() as u32));
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).sum()
        });
        assert!((597..=600).contains(&taken), "{taken}");
        assert_eq!(taken + withdrawals(&budget, SECOND), 600);
    }

    #[test]
    fn a_worker_whose_time_is_a_little_behind_loses_no_count() {
        let budget = Budget::new(BudgetParams { percent: 100, per_second: 0 });
        budget.deposit(20 * SECOND);
        budget.deposit(10 * SECOND);
        assert_eq!(withdrawals(&budget, 20 * SECOND), 2);
    }
}

//! How many of the last exchanges failed: counts over a sliding window, shared by all workers without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::{Nanos, nanos};

/// Length of a window, in slots.
const SLOTS: u64 = 10;
/// Bits of a count. Three of them and the slot's tick share one word, so that all change at once.
const COUNT_BITS: u32 = 15;
const MOST: u64 = (1 << COUNT_BITS) - 1;
const TICK_MASK: u64 = (1 << (64 - 3 * COUNT_BITS)) - 1;

/// What a window holds, or what one outcome adds to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Outcomes.
    pub all: u32,
    /// Of these, failed.
    pub failed: u32,
    /// Of these, slow.
    pub slow: u32,
}

/// Counts of the last while in ten slots. 80 bytes; adding is one compare-and-swap, a sum ten loads.
///
/// A slot that is full has its counts halved: beyond 32,767 outcomes a slot the shares stay true and the numbers don't.
#[derive(Debug)]
pub struct Window {
    slots: [AtomicU64; SLOTS as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS as usize] }
    }
}

impl Window {
    /// Adds to the counts of `now`. `span` is the window's length, the same in every call.
    pub fn add(&self, counts: Counts, now: Nanos, span: Duration) {
        let tick = tick(now, span);
        let slot = &self.slots[(tick % SLOTS) as usize];
        let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
            let (at, known) = unpack(word);
            // A worker whose `now` is a little older counts into the newer slot.
            let known = if age(tick, at) == 0 || is_ahead(tick, at) { known } else { Counts::default() };
            let at = if is_ahead(tick, at) { at } else { tick & TICK_MASK };
            Some(pack(at, sum(known, counts)))
        });
    }

    /// What was counted in the window that ends now.
    pub fn counts(&self, now: Nanos, span: Duration) -> Counts {
        let tick = tick(now, span);
        let words = self.slots.iter().map(|slot| unpack(slot.load(Relaxed)));
        let fresh = words.filter(|(at, _)| age(tick, *at) < SLOTS || is_ahead(tick, *at));
        fresh.fold(Counts::default(), |total, (_, counts)| Counts {
            all: total.all + counts.all,
            failed: total.failed + counts.failed,
            slow: total.slow + counts.slow,
        })
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.slots.iter().for_each(|slot| slot.store(0, Relaxed));
    }
}

/// Slots since the start, from [`SLOTS`] on, so that an empty slot is older than the window.
fn tick(now: Nanos, span: Duration) -> u64 {
    now / (nanos(span) / SLOTS).max(1) + SLOTS
}

/// Slots from the one at `at` to `tick`; ticks wrap after half a million slots.
fn age(tick: u64, at: u64) -> u64 {
    tick.wrapping_sub(at) & TICK_MASK
}

/// Whether a slot belongs to a moment a little after `tick`, as it may between two workers.
fn is_ahead(tick: u64, at: u64) -> bool {
    (1..=SLOTS).contains(&age(at, tick))
}

fn sum(a: Counts, b: Counts) -> Counts {
    let total = Counts { all: a.all + b.all, failed: a.failed + b.failed, slow: a.slow + b.slow };
    let is_full = [total.all, total.failed, total.slow].into_iter().any(|n| u64::from(n) > MOST);
    if is_full { Counts { all: total.all / 2, failed: total.failed / 2, slow: total.slow / 2 } } else { total }
}

fn pack(tick: u64, counts: Counts) -> u64 {
    let Counts { all, failed, slow } = counts;
    [all, failed, slow].into_iter().fold(tick & TICK_MASK, |word, n| word << COUNT_BITS | u64::from(n).min(MOST))
}

fn unpack(word: u64) -> (u64, Counts) {
    let count = |nth: u32| ((word >> (nth * COUNT_BITS)) & MOST) as u32;
    (word >> (3 * COUNT_BITS), Counts { all: count(2), failed: count(1), slow: count(0) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_secs(10);
    const SECOND: Nanos = 1_000_000_000;
    const OK: Counts = Counts { all: 1, failed: 0, slow: 0 };
    const BAD: Counts = Counts { all: 1, failed: 1, slow: 0 };

    proptest! {
        #[test]
        fn a_window_holds_what_came_in_its_last_nine_to_ten_slots(
            mut outcomes in prop::collection::vec((0..60 * SECOND, any::<bool>()), 0..300), start in 0..1_000_000_000 * SECOND
        ) {
            outcomes.sort_unstable();
            let window = Window::default();
            for (at, failed) in &outcomes {
                window.add(if *failed { BAD } else { OK }, start + at, SPAN);
            }
            let now = outcomes.last().map_or(0, |(at, _)| *at);
            let since = |age: Nanos| outcomes.iter().filter(move |(at, _)| at + age * SECOND > now);
            let counts = window.counts(start + now, SPAN);
            prop_assert!(counts.all as usize >= since(9).count() && counts.all as usize <= since(10).count());
            prop_assert!(counts.failed as usize >= since(9).filter(|(_, failed)| *failed).count());
        }

        #[test]
        fn a_word_holds_what_was_packed(tick in 0..=TICK_MASK, all in 0..=MOST as u32, failed in 0..=MOST as u32, slow in 0..=MOST as u32) {
            let counts = Counts { all, failed, slow };
            prop_assert_eq!(unpack(pack(tick, counts)), (tick, counts));
        }
    }

    #[test]
    fn shares_stay_true_when_a_slot_is_full() {
        let window = Window::default();
        for k in 0..1_000_000 {
            window.add(if k % 4 == 0 { BAD } else { OK }, 5 * SECOND, SPAN);
        }
        let counts = window.counts(5 * SECOND, SPAN);
        assert!((0.24..0.26).contains(&(f64::from(counts.failed) / f64::from(counts.all))), "{counts:?}");
        assert!(counts.all > 10_000);
    }

    #[test]
    fn a_worker_whose_time_is_a_little_behind_loses_no_count() {
        let window = Window::default();
        window.add(OK, 20 * SECOND, SPAN);
        window.add(BAD, 19 * SECOND + SECOND / 2, SPAN);
        window.add(BAD, 10 * SECOND, SPAN);
        assert_eq!(window.counts(20 * SECOND, SPAN), Counts { all: 3, failed: 2, slow: 0 });
        assert_eq!(window.counts(19 * SECOND, SPAN).all, 3);
        assert_eq!(window.counts(40 * SECOND, SPAN), Counts::default());
    }

    #[test]
    fn workers_that_count_at_once_lose_nothing() {
        let window = Window::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2000).for_each(|_| window.add(OK, 7 * SECOND, SPAN)));
            }
        });
        assert_eq!(window.counts(7 * SECOND, SPAN).all, 8000);
        window.clear();
        assert_eq!(window.counts(7 * SECOND, SPAN).all, 0);
    }
}

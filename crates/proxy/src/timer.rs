//! Deadlines of connections: one cell each, looked over by one sweeper a worker.
//!
//! A request changes its deadline four or five times and nearly never reaches one. So setting a deadline is a plain store, and
//! one task a worker sleeps until the earliest, marks those that have passed and wakes their owners.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use policy::Nanos;
use tokio::time::Instant;

/// Deadlines are met at most this late; it bounds how often a worker with many short ones looks them over.
const GRAIN: Nanos = 5_000_000;
const NEVER: Nanos = Nanos::MAX;

#[derive(Debug)]
struct Slot {
    deadline: Nanos,
    fired: bool,
    waker: Option<Waker>,
}

/// A worker's clock and deadlines.
#[derive(Debug)]
pub(crate) struct Timers {
    start: Instant,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    /// When the sweeper wakes next.
    next: Cell<Nanos>,
    sweeper: RefCell<Option<Waker>>,
}

impl Timers {
    /// `start` is the zero of all times, the same for all workers.
    pub(crate) fn new(start: Instant) -> Rc<Self> {
        Rc::new(Self {
            start,
            slots: RefCell::default(),
            free: RefCell::default(),
            next: Cell::new(NEVER),
            sweeper: RefCell::default(),
        })
    }

    /// Monotonic time since the zero, which all workers share.
    pub(crate) fn now(&self) -> Nanos {
        self.start.elapsed().as_nanos() as Nanos
    }

    /// A deadline cell, not set.
    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let key = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut slots = self.slots.borrow_mut();
            slots.push(Slot { deadline: NEVER, fired: false, waker: None });
            (slots.len() - 1) as u32
        });
        Timer { timers: self.clone(), key }
    }

    /// Wakes every owner, for a change all of them must see (a drain).
    pub(crate) fn wake_all(&self) {
        for slot in self.slots.borrow().iter() {
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Runs for ever: sleeps until the earliest deadline and marks what has passed.
    pub(crate) async fn sweep(self: Rc<Self>) {
        let sleep = tokio::time::sleep_until(self.start);
        tokio::pin!(sleep);
        let mut armed = NEVER;
        poll_fn(|cx| {
            *self.sweeper.borrow_mut() = Some(cx.waker().clone());
            loop {
                let next = self.next.get();
                if next == NEVER {
                    return Poll::<()>::Pending;
                }
                if next != armed {
                    sleep.as_mut().reset(self.start + Duration::from_nanos(next));
                    armed = next;
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                armed = NEVER;
                self.look_over(self.now());
            }
        })
        .await;
    }

    fn look_over(&self, now: Nanos) {
        let mut earliest = NEVER;
        for slot in self.slots.borrow_mut().iter_mut() {
            if slot.deadline <= now {
                slot.deadline = NEVER;
                slot.fired = true;
                if let Some(waker) = &slot.waker {
                    waker.wake_by_ref();
                }
            } else {
                earliest = earliest.min(slot.deadline);
            }
        }
        self.next.set(if earliest == NEVER { NEVER } else { earliest.max(now + GRAIN) });
    }
}

/// One connection's deadline.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Rc<Timers>,
    key: u32,
}

impl Timer {
    /// Sets the deadline, replacing the one before.
    pub(crate) fn set(&self, deadline: Nanos) {
        {
            let slot = &mut self.timers.slots.borrow_mut()[self.key as usize];
            slot.deadline = deadline;
            slot.fired = false;
        }
        if deadline < self.timers.next.get() {
            self.timers.next.set(deadline);
            if let Some(sweeper) = &*self.timers.sweeper.borrow() {
                sweeper.wake_by_ref();
            }
        }
    }

    /// Ready once the deadline has passed, until it is set anew.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let slot = &mut self.timers.slots.borrow_mut()[self.key as usize];
        if slot.fired {
            return Poll::Ready(());
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let waker = {
            let slot = &mut self.timers.slots.borrow_mut()[self.key as usize];
            slot.deadline = NEVER;
            slot.fired = false;
            slot.waker.take()
        };
        // The waker may own the last reference to a task whose drop needs the slots.
        drop(waker);
        self.timers.free.borrow_mut().push(self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MS: Nanos = 1_000_000;

    fn with_paused_time(test: impl AsyncFnOnce(Rc<Timers>)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let timers = Timers::new(Instant::now());
            tokio::task::spawn_local(timers.clone().sweep());
            tokio::task::yield_now().await;
            test(timers).await;
        });
    }

    #[test]
    fn deadlines_fire_in_time_and_in_order_whatever_the_order_they_are_set_in() {
        with_paused_time(async |timers| {
            for ms in [900u64, 20, 300] {
                let timer = timers.timer();
                timer.set(timers.now() + ms * MS);
                let late = timers.timer();
                late.set(timers.now() + 3_600_000 * MS);
                let before = timers.now();
                poll_fn(|cx| timer.poll(cx)).await;
                let took = timers.now() - before;
                assert!((ms * MS..ms * MS + 2 * GRAIN).contains(&took), "{took}");
            }
        });
    }

    #[test]
    fn a_deadline_moved_out_does_not_fire_at_its_old_time() {
        with_paused_time(async |timers| {
            let timer = timers.timer();
            timer.set(timers.now() + 100 * MS);
            tokio::time::sleep(Duration::from_millis(50)).await;
            timer.set(timers.now() + 500 * MS);
            let before = timers.now();
            poll_fn(|cx| timer.poll(cx)).await;
            assert!(timers.now() - before >= 500 * MS);
        });
    }

    #[test]
    fn a_timer_given_back_is_used_again_and_starts_unset() {
        with_paused_time(async |timers| {
            let timer = timers.timer();
            timer.set(0);
            poll_fn(|cx| timer.poll(cx)).await;
            let key = timer.key;
            drop(timer);
            let again = timers.timer();
            assert_eq!(again.key, key);
            assert!(again.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        });
    }
}

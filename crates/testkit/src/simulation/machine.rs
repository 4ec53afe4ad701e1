//! A simulated backend: so many requests at a time, a queue before them, and perhaps a fault.

use std::collections::VecDeque;

use policy::Nanos;

use super::dice::exponential;
use super::{MS, SECOND};

/// Requests a backend works on at a time.
pub(super) const SLOTS: usize = 8;
/// Requests that wait before it; what comes on top is shed with 503, as a server with a bounded queue does.
const QUEUE: usize = 1000;
/// Mean time to serve a request, alone on a slot: half of it fixed, half exponential.
pub(super) const SERVICE: Nanos = 20 * MS;
/// How soon a failing backend fails: sooner than a good answer, which makes it look idle.
const FAILS_AFTER: Nanos = MS;

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Takes this many times as long.
    Slow(u64),
    /// Answers 503 this many times of a hundred, at once; its health page passes.
    Fails(u8),
    /// Dead and alive by turns, this long each: refuses connections and resets those it had.
    Flaps(Nanos),
}

impl Fault {
    pub(super) const FLAPS: Self = Self::Flaps(3 * SECOND);
}

/// What becomes of an attempt that reaches a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nobody listens.
    Refused,
    /// The queue is full.
    Shed,
    /// It waits for a slot.
    Waits,
    /// It is served; over at this time, with this status.
    Served(Nanos, u16),
}

/// One backend. Attempts are numbers to it; it goes on with those that the proxy has given up, as most servers do.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) fault: Fault,
    pub(super) is_dead: bool,
    working: Vec<u32>,
    queue: VecDeque<u32>,
}

impl Machine {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, is_dead: false, working: Vec::with_capacity(SLOTS), queue: VecDeque::new() }
    }

    /// A request arrives.
    pub(super) fn take(&mut self, attempt: u32, is_probe: bool, now: Nanos, rng: &mut fastrand::Rng) -> Taken {
        if self.is_dead {
            Taken::Refused
        } else if self.working.len() < SLOTS {
            self.working.push(attempt);
            self.serve(is_probe, now, rng)
        } else if self.queue.len() < QUEUE {
            self.queue.push_back(attempt);
            Taken::Waits
        } else {
            Taken::Shed
        }
    }

    /// A request is done, unless the backend has died since; the next one that waits, if there is one, takes its slot.
    pub(super) fn finish(&mut self, attempt: u32) -> Option<u32> {
        let slot = self.working.iter().position(|&working| working == attempt)?;
        self.working.swap_remove(slot);
        let next = self.queue.pop_front()?;
        self.working.push(next);
        Some(next)
    }

    /// Dies or returns; gives the attempts that are lost by it.
    pub(super) fn flap(&mut self) -> Vec<u32> {
        self.is_dead = !self.is_dead;
        self.working.drain(..).chain(self.queue.drain(..)).collect()
    }

    /// How long a request that has a slot takes, and how it ends.
    pub(super) fn serve(&self, is_probe: bool, now: Nanos, rng: &mut fastrand::Rng) -> Taken {
        let took = SERVICE / 2 + (exponential(rng) * (SERVICE / 2) as f64) as Nanos;
        match self.fault {
            Fault::Slow(times) => Taken::Served(now + took * times, 200),
            Fault::Fails(percent) if !is_probe && rng.u8(..100) < percent => Taken::Served(now + FAILS_AFTER, 503),
            _ => Taken::Served(now + took, 200),
        }
    }
}

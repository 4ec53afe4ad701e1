//! Whether a backend is up, from the results of its active checks.
//!
//! A state machine without I/O: the caller probes when [`Checker::next_probe`] says, and tells [`Checker::observe`] how
//! it went. The very first check decides alone; later `rise` passes or `fall` failures in a row are needed, and while such
//! a row runs the next probe comes after `edge_interval`. A backend that flaps is held down for longer each time (F11).

use std::time::Duration;

use crate::{Nanos, nanos};

/// How a backend is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// From one probe to the next. Default: 5 s.
    pub interval: Duration,
    /// Longest time a probe may take; for the caller, the state machine does not use it. Default: 2 s.
    pub timeout: Duration,
    /// Random part of each wait, either way, so that probes of many backends and balancers spread (F12).
    ///
    /// Unit: fraction of the wait. Default: 0.1. Range: 0 to 1.
    pub jitter: f64,
    /// Passes in a row that bring a backend up. Default: 2.
    pub rise: u32,
    /// Failures in a row that take it down. Default: 3.
    pub fall: u32,
    /// From one probe to the next while a row against the present state runs. Default: 1 s.
    pub edge_interval: Duration,
    /// Longest hold-down, and how long a backend must stay up to be forgiven one flap. Default: 60 s; 0 turns it off.
    pub hold_down_max: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            jitter: 0.1,
            rise: 2,
            fall: 3,
            edge_interval: Duration::from_secs(1),
            hold_down_max: Duration::from_secs(60),
        }
    }
}

/// What is known of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not checked yet.
    #[default]
    Unknown,
    /// In rotation.
    Up,
    /// Out of rotation.
    Down,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Now up.
    Up,
    /// Now down.
    Down,
}

/// The state machine of one backend.
#[derive(Clone, Debug)]
pub struct Checker {
    params: Params,
    state: State,
    /// Results in a row that speak against the state.
    against: u32,
    /// When the state was entered.
    since: Nanos,
    /// Falls in quick succession, each doubling the hold-down.
    flaps: u32,
    /// No coming up before this.
    held_until: Nanos,
}

impl Checker {
    /// A backend not checked yet.
    pub fn new(params: Params) -> Self {
        Self {
            params,
            state: State::Unknown,
            against: 0,
            since: 0,
            flaps: 0,
            held_until: 0,
        }
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the backend passes its checks and is down only because it flapped. Such a one is better than none.
    pub fn is_held_down(&self, now: Nanos) -> bool {
        self.state == State::Down && self.against >= self.params.rise && now < self.held_until
    }

    /// The result of a probe that ended at `now`.
    pub fn observe(&mut self, passed: bool, now: Nanos) -> Option<Change> {
        let agrees = match self.state {
            State::Unknown => return Some(self.enter(passed, now)),
            State::Up => passed,
            State::Down => !passed,
        };
        if agrees {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if passed {
            self.params.rise
        } else {
            self.params.fall
        };
        if self.against < needed || (passed && now < self.held_until) {
            return None;
        }
        Some(self.enter(passed, now))
    }

    /// When to probe next, given that the last probe ended at `now`. At once if there was none yet.
    pub fn next_probe(&self, now: Nanos, rng: &mut fastrand::Rng) -> Nanos {
        let interval = nanos(self.params.interval);
        let edge = nanos(self.params.edge_interval).min(interval);
        let wait = match self.state {
            State::Unknown => return now,
            _ if self.against == 0 => interval,
            // Nothing can come of a quick probe before the hold-down is over.
            State::Down if now < self.held_until => (self.held_until - now).clamp(edge, interval),
            _ => edge,
        };
        let jitter = (rng.f64() * 2.0 - 1.0) * self.params.jitter.clamp(0.0, 1.0);
        now + (wait as f64 * (1.0 + jitter)) as Nanos
    }

    fn enter(&mut self, up: bool, now: Nanos) -> Change {
        if !up && self.state == State::Up {
            self.hold_down(now);
        }
        self.against = 0;
        self.since = now;
        self.state = if up { State::Up } else { State::Down };
        if up { Change::Up } else { Change::Down }
    }

    /// A fall soon after coming up is a flap and doubles the hold-down, from `edge_interval` on; each `hold_down_max` of
    /// being up takes one flap back.
    fn hold_down(&mut self, now: Nanos) {
        let longest = nanos(self.params.hold_down_max);
        if longest == 0 {
            return;
        }
        match now.saturating_sub(self.since) / longest {
            0 => self.flaps += 1,
            calm => {
                self.flaps = self
                    .flaps
                    .saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX))
            }
        }
        let hold = match self.flaps {
            0 => 0,
            n => nanos(self.params.edge_interval)
                .saturating_mul(1 << (n - 1).min(40))
                .min(longest),
        };
        self.held_until = now.saturating_add(hold);
    }
}

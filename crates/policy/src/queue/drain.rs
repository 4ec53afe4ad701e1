//! How fast a line gets shorter.

use std::collections::VecDeque;

use crate::Nanos;

/// How many of the last ones tell the pace.
const LAST: usize = 32;
/// What is older says nothing of now.
const LATELY: Nanos = 60_000_000_000;

/// When the last ones were served.
#[derive(Debug, Default)]
pub(super) struct Drain(VecDeque<Nanos>);

impl Drain {
    pub(super) fn note(&mut self, now: Nanos) {
        if self.0.len() == LAST {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// How long so many take; `None` where too few were served lately to tell.
    pub(super) fn time_for(&self, many: usize, now: Nanos) -> Option<Nanos> {
        let lately = self.0.iter().filter(|at| now.saturating_sub(**at) < LATELY);
        let (served, first) = lately.fold((0, None), |(n, first), at| (n + 1, first.or(Some(*at))));
        // The first one begins the time that the others took.
        let (served, first) = (u64::checked_sub(served, 1).filter(|n| *n > 0)?, first?);
        Some(now.saturating_sub(first).saturating_mul(many as u64) / served)
    }
}

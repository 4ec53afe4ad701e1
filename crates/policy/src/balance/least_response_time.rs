//! Lowest peak-EWMA latency × load per weight.
//!
//! Two things keep a slow backend from starving: its latency decays in the view while nobody asks it, and one pick in
//! [`SAMPLE`] ignores latency altogether, so that a recovery is noticed even where the decay is slow.

use super::least_connections::{WINDOW, window};
use super::{Member, View};

/// One pick in this many goes to any available member. At 3 members a slow one so gets at least 1 in 384.
const SAMPLE: u32 = 128;

#[derive(Debug)]
pub(super) struct LeastResponseTime {
    weights: Box<[u16]>,
}

impl LeastResponseTime {
    pub(super) fn new(members: &[Member]) -> Self {
        Self {
            weights: members.iter().map(|m| m.weight.get()).collect(),
        }
    }

    /// The least latency × (in flight + 1) / weight within the window of least_connections. A member of unknown
    /// latency counts as if it were as fast as the fastest known, so that new ones are tried.
    pub(super) fn pick(&self, view: &impl View, rng: &mut fastrand::Rng) -> Option<usize> {
        let n = self.weights.len();
        if rng.u32(..SAMPLE) == 0 {
            return window(n, rng.usize(..))
                .map(|(_, i)| i)
                .find(|&i| view.available(i));
        }
        let mut known = Best::default();
        let mut unknown = Best::default();
        let mut fastest = f64::INFINITY;
        for (k, i) in window(n, view.next_turn()) {
            if k >= WINDOW && (known.member.is_some() || unknown.member.is_some()) {
                break;
            }
            if !view.available(i) {
                continue;
            }
            let load = (f64::from(view.in_flight(i)) + 1.0) / f64::from(self.weights[i]);
            match view.latency(i) {
                0 => unknown.offer(load, i),
                latency => {
                    fastest = fastest.min(latency as f64);
                    known.offer(latency as f64 * load, i);
                }
            }
        }
        match (known.member, unknown.member) {
            (Some(_), Some(_)) if unknown.score * fastest <= known.score => unknown.member,
            (None, _) => unknown.member,
            _ => known.member,
        }
    }
}

/// The lowest score so far; of equals the first.
struct Best {
    score: f64,
    member: Option<usize>,
}

impl Default for Best {
    fn default() -> Self {
        Self {
            score: f64::INFINITY,
            member: None,
        }
    }
}

impl Best {
    fn offer(&mut self, score: f64, member: usize) {
        if score < self.score {
            *self = Self {
                score,
                member: Some(member),
            };
        }
    }
}

//! Fewest attempts in flight per weight.

use super::{Member, View};

/// Members compared a pick. In larger pools a window of this many moves on by one member each pick: the load of 1,000
/// backends lies in 1,000 cache lines that other workers write to, and the least of 64 is nearly the least of all.
pub(super) const WINDOW: usize = 64;

#[derive(Debug)]
pub(super) struct LeastConnections {
    weights: Box<[u16]>,
}

impl LeastConnections {
    pub(super) fn new(members: &[Member]) -> Self {
        Self {
            weights: members.iter().map(|m| m.weight.get()).collect(),
        }
    }

    /// The least (in flight + 1) / weight. The scan starts one further each time, so equals take turns.
    pub(super) fn pick(&self, view: &impl View) -> Option<usize> {
        let mut best: Option<(u64, u64, usize)> = None;
        for i in window(self.weights.len(), view.next_turn()) {
            if let Some((.., found)) = best
                && i.0 >= WINDOW
            {
                return Some(found);
            }
            let i = i.1;
            if !view.available(i) {
                continue;
            }
            let (load, weight) = (u64::from(view.in_flight(i)) + 1, u64::from(self.weights[i]));
            if best.is_none_or(|(l, w, _)| load * w < l * weight) {
                best = Some((load, weight, i));
            }
        }
        best.map(|(.., i)| i)
    }
}

/// All positions below `n` once, from `turn` on, each with its number in this order.
pub(super) fn window(n: usize, turn: usize) -> impl Iterator<Item = (usize, usize)> {
    let start = turn.checked_rem(n).unwrap_or(0);
    (start..n).chain(0..start).enumerate()
}

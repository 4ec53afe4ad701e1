//! Power of two choices: draw two members by weight, take the less loaded.

use super::least_connections::window;
use super::{Member, View};

/// Draws before giving up on luck and walking on to the next member that will do.
const DRAWS: usize = 8;

#[derive(Debug)]
pub(super) struct Random {
    weights: Box<[u16]>,
    alias: Box<[Column]>,
}

/// A column of the alias table: its own member below `own`, `other` above. Source: Vose 1991.
#[derive(Clone, Copy, Debug)]
struct Column {
    own: u32,
    other: u32,
}

impl Random {
    pub(super) fn new(members: &[Member]) -> Self {
        let weights: Box<[u16]> = members.iter().map(|m| m.weight.get()).collect();
        Self {
            alias: alias(&weights),
            weights,
        }
    }

    pub(super) fn pick(&self, view: &impl View, rng: &mut fastrand::Rng) -> Option<usize> {
        let first = self.draw(rng, |i| view.available(i))?;
        let Some(second) = self.draw(rng, |i| i != first && view.available(i)) else {
            return Some(first);
        };
        let load =
            |i: usize, other: usize| u64::from(view.in_flight(i)) * u64::from(self.weights[other]);
        // Of equals the first, so that an idle pool is shared exactly by weight.
        Some(if load(second, first) < load(first, second) {
            second
        } else {
            first
        })
    }

    /// A member by weight that passes; where most don't, the next that does from a random start.
    fn draw(&self, rng: &mut fastrand::Rng, passes: impl Fn(usize) -> bool) -> Option<usize> {
        let n = self.weights.len();
        if n == 0 {
            return None;
        }
        for _ in 0..DRAWS {
            let dice = rng.u64(..);
            let column = (((dice >> 32) * n as u64) >> 32) as usize;
            let Column { own, other } = self.alias[column];
            let i = if (dice as u32) < own {
                column
            } else {
                other as usize
            };
            if passes(i) {
                return Some(i);
            }
        }
        window(n, rng.usize(..))
            .map(|(_, i)| i)
            .find(|&i| passes(i))
    }
}

/// Whole-number alias table: n columns, each as high as the total weight, filled by at most two members.
fn alias(weights: &[u16]) -> Box<[Column]> {
    let n = weights.len() as u64;
    let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let mut rest: Vec<u64> = weights.iter().map(|&w| u64::from(w) * n).collect();
    let mut columns: Vec<Column> = (0..weights.len() as u32)
        .map(|i| Column {
            own: u32::MAX,
            other: i,
        })
        .collect();
    let (mut low, mut high): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|&i| rest[i] < total);
    while let (Some(&l), Some(&h)) = (low.last(), high.last()) {
        low.pop();
        columns[l] = Column {
            own: ((u128::from(rest[l]) << 32) / u128::from(total)) as u32,
            other: h as u32,
        };
        rest[h] -= total - rest[l];
        if rest[h] < total {
            high.pop();
            low.push(h);
        }
    }
    columns.into()
}

//! Smooth weighted round robin from a precomputed schedule.
//!
//! The schedule is Tijdeman's solution of the chairman assignment problem (1980): a member's k-th turn may not come
//! before its lag reaches c = 1/(2n−2), and the turn that is due first is taken. After *every* turn each member has had
//! its exact share to within 1 − c picks. (The usual "largest current weight" greedy only keeps within O(log n).)
//! With one shared cursor all workers together follow one order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Member, View};

/// Longest schedule. Weights that need more are scaled down, every member keeping at least one turn.
const MAX_TURNS: usize = 65_536;

#[derive(Debug)]
pub(super) struct RoundRobin {
    schedule: Box<[u32]>,
}

impl RoundRobin {
    pub(super) fn new(members: &[Member]) -> Self {
        Self {
            schedule: schedule(&turns(members)),
        }
    }

    /// One cursor step; members that are not available are passed over by walking on.
    pub(super) fn pick(&self, view: &impl View) -> Option<usize> {
        if self.schedule.is_empty() {
            return None;
        }
        let start = view.next_turn() % self.schedule.len();
        let (before, after) = self.schedule.split_at(start);
        after
            .iter()
            .chain(before)
            .map(|&i| i as usize)
            .find(|&i| view.available(i))
    }
}

/// Turns a cycle for each member: the weights without their common divisor, scaled if the cycle would be too long.
fn turns(members: &[Member]) -> Vec<u64> {
    let weights = || members.iter().map(|m| u64::from(m.weight.get()));
    let divisor = weights().fold(0, gcd).max(1);
    let total = weights().sum::<u64>() / divisor;
    if total <= MAX_TURNS as u64 {
        return weights().map(|w| w / divisor).collect();
    }
    // Room for the one turn that rounding up to 1 may add to each.
    let room = MAX_TURNS.saturating_sub(members.len()) as u64;
    weights()
        .map(|w| (w / divisor * room / total).max(1))
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The order of one cycle. O(turns × log members).
fn schedule(turns: &[u64]) -> Box<[u32]> {
    let total: u64 = turns.iter().sum();
    if turns.len() < 2 {
        return vec![0; turns.len()].into();
    }
    // Times are in turns from 1; all quotients of w and c are kept whole by multiplying with d = 1/c.
    let d = 2 * turns.len() as u64 - 2;
    let release = |i: usize, k: u64| ((k * d + 1) * total).div_ceil(turns[i] * d);
    let deadline = |i: usize, k: u64| ((k + 1) * d - 1) * total / (turns[i] * d);
    let mut waiting: BinaryHeap<_> = (0..turns.len())
        .map(|i| Reverse((release(i, 0), i, 0)))
        .collect();
    let mut ready = BinaryHeap::new();
    let mut schedule = Vec::with_capacity(total as usize);
    for now in 1..=total {
        while let Some(&Reverse((at, i, k))) = waiting.peek()
            && at <= now
        {
            waiting.pop();
            ready.push(Reverse((deadline(i, k), i, k)));
        }
        let Some(Reverse((_, i, k))) = ready.pop() else {
            debug_assert!(false, "Tijdeman: some turn is released at every step");
            continue;
        };
        schedule.push(i as u32);
        if k + 1 < turns[i] {
            waiting.push(Reverse((release(i, k + 1), i, k + 1)));
        }
    }
    schedule.into()
}

//! Rendezvous hashing (highest random weight): each member scores the key, the best score wins.
//!
//! A member's score is −ln(u)/weight for a u in (0, 1) drawn from the hash of key and member; the lowest wins, and each
//! member wins in exact proportion to its weight. Source: Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005
//! for weights. Scoring costs a multiplication or two a member, too much at 1,000 members, so the space of keys is cut into
//! [`SLOTS`] and the winner of a slot is remembered when it is first asked for.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::Member;
use super::hash::mix;

/// Keys are told apart this finely, whatever the pool's size (else a change in size would move keys). At 1,000 members
/// 262 slots each: shares vary by about 6 % around their weight, at 100 by 2 %.
const SLOT_BITS: u32 = 18;
const SLOTS: usize = 1 << SLOT_BITS;

/// Up to this many members scoring all of them is as fast as a look-up in memory that may not be cached.
const SCORED_DIRECTLY: usize = 32;

/// Who wins a key, by scoring. Members of equal weight stand together: among them the largest hash wins, so that one
/// logarithm a group is enough.
#[derive(Debug)]
pub(super) struct Scores {
    groups: Box<[Group]>,
}

#[derive(Debug)]
struct Group {
    weight: f64,
    members: Box<[(u64, u32)]>,
}

impl Scores {
    pub(super) fn new(members: &[Member]) -> Self {
        let mut order: Vec<u32> = (0..members.len() as u32).collect();
        // By id within a group: a tie must not go by position.
        order.sort_by_key(|&i| (members[i as usize].weight, members[i as usize].id));
        let groups = order.chunk_by(|&a, &b| members[a as usize].weight == members[b as usize].weight);
        Self {
            groups: groups
                .map(|group| Group {
                    weight: f64::from(members[group[0] as usize].weight.get()),
                    members: group.iter().map(|&i| (mix(members[i as usize].id), i)).collect(),
                })
                .collect(),
        }
    }

    /// The best of the members that pass, by the slot of the key. O(members).
    pub(super) fn best(&self, key: u64, passes: impl Fn(usize) -> bool) -> Option<usize> {
        let seed = mix(slot(key) as u64 + 1);
        let mut best: Option<(f64, u32)> = None;
        for group in &self.groups {
            let hashes = group.members.iter().map(|&(id, i)| (mix(id ^ seed), i));
            let Some((hash, i)) = hashes.filter(|&(_, i)| passes(i as usize)).max_by_key(|&(hash, _)| hash) else {
                continue;
            };
            let score = -unit(hash).ln() / group.weight;
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, i));
            }
        }
        best.map(|(_, i)| i as usize)
    }
}

/// A hash as a number in the open interval (0, 1).
fn unit(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn slot(key: u64) -> usize {
    (key >> (64 - SLOT_BITS)) as usize
}

/// Winners of slots, filled in as they are asked for: member + 1, or 0. A cache of a pure function, so that races between
/// workers can only write the same value twice. 1 MiB, for pools of more than [`SCORED_DIRECTLY`] members.
#[derive(Debug)]
pub(super) struct Memo {
    winners: Box<[AtomicU32]>,
}

impl Memo {
    pub(super) fn new(members: usize) -> Self {
        let slots = if members > SCORED_DIRECTLY { SLOTS } else { 0 };
        Self { winners: (0..slots).map(|_| AtomicU32::new(0)).collect() }
    }

    /// The winner among all members; there must be one.
    pub(super) fn winner(&self, key: u64, scores: &Scores) -> usize {
        let score = || scores.best(key, |_| true).unwrap_or_default();
        let Some(winner) = self.winners.get(slot(key)) else {
            return score();
        };
        match winner.load(Relaxed) {
            0 => {
                let found = score();
                winner.store(found as u32 + 1, Relaxed);
                found
            }
            known => known as usize - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::fake::Pool;
    use super::*;

    #[test]
    fn the_grouped_scores_are_those_of_the_formula() {
        let pool = Pool::weighing(&[1, 5, 2, 5, 1, 1000, 2, 5]);
        let scores = Scores::new(&pool.members);
        for key in (0..2000).map(mix) {
            let seed = mix(slot(key) as u64 + 1);
            let score = |m: &Member| -unit(mix(mix(m.id) ^ seed)).ln() / f64::from(m.weight.get());
            let best = pool.members.iter().map(score).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            assert_eq!(scores.best(key, |_| true), best.map(|(i, _)| i));
        }
    }

    #[test]
    fn what_is_remembered_is_what_would_be_scored() {
        let pool = Pool::of(SCORED_DIRECTLY + 1);
        let (scores, memo) = (Scores::new(&pool.members), Memo::new(pool.members.len()));
        for key in (0..1000).map(mix) {
            let winner = scores.best(key, |_| true).unwrap();
            assert_eq!([memo.winner(key, &scores), memo.winner(key, &scores)], [winner; 2]);
        }
    }
}

//! Maglev hashing: a table of slots that the members fill evenly, each in its own order.

use super::Member;
use super::hash::mix;
use super::round_robin::RoundRobin;

/// Slots. A prime, so that any step visits all of them. Source: Eisenbud et al., NSDI 2016, section 3.4.
const SLOTS: usize = 65_537;

#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
}

impl Maglev {
    pub(super) fn new(members: &[Member]) -> Self {
        Self { slots: fill(members) }
    }

    /// The key's member, then members at places drawn anew from the key: those meet every member by its weight, so
    /// that the keys of one that is away spread over all others.
    pub(super) fn places(&self, key: u64) -> impl Iterator<Item = usize> {
        let n = self.slots.len() as u64;
        let place = move |hash: u64| ((u128::from(hash) * u128::from(n)) >> 64) as usize;
        let later = (1u64..).map(move |k| mix(key.wrapping_add(k.wrapping_mul(0x9E37_79B9_7F4A_7C15))));
        std::iter::once(key).chain(later).map(move |hash| self.slots[place(hash)] as usize)
    }
}

/// Members take turns as in weighted round robin; each turn claims the next free slot of the member's own permutation.
fn fill(members: &[Member]) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    // By identity, so that the order of the list does not matter.
    let mut order: Vec<u32> = (0..members.len() as u32).collect();
    order.sort_by_key(|&i| members[i as usize].id);
    let sorted: Vec<Member> = order.iter().map(|&i| members[i as usize]).collect();
    // Where each permutation goes on, and its step.
    let mut next: Vec<(usize, usize)> = sorted.iter().map(|member| permutation(member.id)).collect();
    let mut slots = vec![FREE; if members.is_empty() { 0 } else { SLOTS }];
    let schedule = RoundRobin::new(&sorted);
    for turn in schedule.turns().cycle().take(slots.len()) {
        let (at, step) = &mut next[turn];
        while slots[*at] != FREE {
            *at = (*at + *step) % SLOTS;
        }
        slots[*at] = order[turn];
    }
    slots.into()
}

/// The first slot and the step of a member's permutation.
fn permutation(id: u64) -> (usize, usize) {
    let hash = mix(id);
    let slots = SLOTS as u64;
    ((hash % slots) as usize, (mix(hash) % (slots - 1)) as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Pool;
    use super::*;

    #[test]
    fn slots_follow_weights_to_within_one_slot() {
        let ragged: Vec<u16> = (0..1000).map(|i| 1 + i * 7 % 5).collect();
        for weights in [vec![1; 3], vec![1; 100], vec![1; 1000], vec![1, 2, 3, 1000], ragged] {
            let pool = Pool::weighing(&weights);
            let mut counts = vec![0_u32; weights.len()];
            fill(&pool.members).iter().for_each(|&i| counts[i as usize] += 1);
            for (i, &n) in counts.iter().enumerate() {
                let fair = SLOTS as f64 * f64::from(weights[i]) / pool.total_weight();
                assert!((f64::from(n) - fair).abs() < 1.0 && n > 0, "{n} slots instead of {fair:.1}");
            }
        }
    }

    #[test]
    fn equal_members_differ_by_at_most_one_percent() {
        for n in [2, 3, 10, 100, 1000] {
            let mut counts = vec![0_u32; n];
            fill(&Pool::of(n).members).iter().for_each(|&i| counts[i as usize] += 1);
            let fair = SLOTS as f64 / n as f64;
            assert!(counts.iter().all(|&c| (f64::from(c) / fair - 1.0).abs() <= 0.01));
        }
    }
}

//! Maglev hashing: a table of slots that the members fill evenly, each in its own order.

use super::Member;
use super::hash::mix;

/// Slots. A prime, so that any step visits all of them. Source: Eisenbud et al., NSDI 2016, section 3.4.
const SLOTS: usize = 65_537;

#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
}

impl Maglev {
    pub(super) fn new(members: &[Member]) -> Self {
        Self {
            slots: fill(members),
        }
    }

    /// The key's member, then members at places drawn anew from the key: those meet every member by its weight, so
    /// that the keys of one that is away spread over all others.
    pub(super) fn places(&self, key: u64) -> impl Iterator<Item = usize> {
        let n = self.slots.len() as u64;
        let place = move |hash: u64| ((u128::from(hash) * u128::from(n)) >> 64) as usize;
        let later =
            (1u64..).map(move |k| mix(key.wrapping_add(k.wrapping_mul(0x9E37_79B9_7F4A_7C15))));
        std::iter::once(key)
            .chain(later)
            .map(move |hash| self.slots[place(hash)] as usize)
    }
}

/// In rounds, members claim the next free slot of their own permutation; one of weight w claims w/max(w) a round.
fn fill(members: &[Member]) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    let heaviest = members
        .iter()
        .map(|m| u32::from(m.weight.get()))
        .max()
        .unwrap_or(1);
    struct Claim {
        member: u32,
        weight: u32,
        credit: u32,
        next: usize,
        step: usize,
    }
    let mut claims: Vec<Claim> = (0..members.len())
        .map(|i| {
            let hash = mix(members[i].id);
            Claim {
                member: i as u32,
                weight: u32::from(members[i].weight.get()),
                // Everyone claims in the first round, so that the lightest has a slot too.
                credit: heaviest - u32::from(members[i].weight.get()),
                next: (hash % SLOTS as u64) as usize,
                step: (mix(hash) % (SLOTS as u64 - 1)) as usize + 1,
            }
        })
        .collect();
    // By identity, so that the order of the list does not matter.
    claims.sort_by_key(|c| members[c.member as usize].id);
    let mut slots = vec![FREE; if members.is_empty() { 0 } else { SLOTS }];
    let mut free = slots.len();
    while free > 0 {
        for claim in &mut claims {
            claim.credit += claim.weight;
            if claim.credit < heaviest || free == 0 {
                continue;
            }
            claim.credit -= heaviest;
            while slots[claim.next] != FREE {
                claim.next = (claim.next + claim.step) % SLOTS;
            }
            slots[claim.next] = claim.member;
            free -= 1;
        }
    }
    slots.into()
}

#[cfg(test)]
mod tests {
    use super::super::fake::Pool;
    use super::*;

    #[test]
    fn slots_follow_weights_to_within_two_slots_and_a_ten_thousandth() {
        let ragged: Vec<u16> = (0..1000).map(|i| 1 + i * 7 % 5).collect();
        for weights in [
            vec![1; 3],
            vec![1; 100],
            vec![1; 1000],
            vec![1, 2, 3, 1000],
            ragged,
        ] {
            let pool = Pool::weighing(&weights);
            let mut counts = vec![0_u32; weights.len()];
            fill(&pool.members)
                .iter()
                .for_each(|&i| counts[i as usize] += 1);
            for (i, &n) in counts.iter().enumerate() {
                let fair = SLOTS as f64 * f64::from(weights[i]) / pool.total_weight();
                assert!(
                    (f64::from(n) - fair).abs() <= 2.0 + fair / 10_000.0 && n > 0,
                    "{n} slots instead of {fair:.1}"
                );
            }
        }
    }

    #[test]
    fn equal_members_differ_by_at_most_one_percent() {
        for n in [2, 3, 10, 100] {
            let mut counts = vec![0_u32; n];
            fill(&Pool::of(n).members)
                .iter()
                .for_each(|&i| counts[i as usize] += 1);
            let fair = SLOTS as f64 / n as f64;
            assert!(
                counts
                    .iter()
                    .all(|&c| (f64::from(c) / fair - 1.0).abs() <= 0.01)
            );
        }
    }
}

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
                credit: 0,
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

//! Which of several pools takes an exchange, each having its share.

use crate::Nanos;
use crate::balance::{Balance, Balancer, Member, View, Weight};

/// Shares of pools, ready to be drawn from. Indices are positions in the list it was made from.
#[derive(Debug)]
pub struct Split {
    /// Those with a share.
    members: Vec<usize>,
    /// Where the share of each ends, of the sum of all.
    ends: Vec<u64>,
    turns: Balancer,
}

impl Split {
    /// Of these weights, each 0 to 1000; one of 0 gets nothing. `None` where all are.
    pub fn new(weights: &[u16]) -> Option<Self> {
        let members: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > 0).collect();
        if members.is_empty() {
            return None;
        }
        let known: Vec<Member> = members
            .iter()
            .map(|&i| Member { id: i as u64, weight: Weight::new(weights[i].min(Weight::MAX)).unwrap_or_default() })
            .collect();
        let mut sum = 0;
        let ends = known.iter().map(|member| {
            sum += u64::from(member.weight.get());
            sum
        });
        Some(Self { ends: ends.collect(), turns: Balancer::new(&Balance::RoundRobin, &known), members })
    }

    /// Whose turn this is. After any number of turns each has had its share to within one.
    pub fn by_turn(&self, turn: usize) -> usize {
        let picked = self.turns.pick(&Turn(turn), 0, &mut fastrand::Rng::with_seed(0));
        self.members[picked.unwrap_or(0)]
    }

    /// Whose this key is, by its hash. The first has the lowest keys and the last the highest: what moves from the first to the last
    /// when the last gains is only what the last gains.
    pub fn by_key(&self, hash: u64) -> usize {
        let sum = self.ends.last().copied().unwrap_or(1);
        // The hash as a fraction of the whole, times the sum.
        let at = ((u128::from(hash) * u128::from(sum)) >> 64) as u64;
        self.members[self.ends.partition_point(|end| *end <= at).min(self.members.len() - 1)]
    }
}

/// One turn, in which everybody is there.
struct Turn(usize);

impl View for Turn {
    fn available(&self, _: usize) -> bool {
        true
    }

    fn in_flight(&self, _: usize) -> u32 {
        0
    }

    fn latency(&self, _: usize) -> Nanos {
        0
    }

    fn next_turn(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balance::hash_key;

    #[test]
    fn turns_give_each_its_exact_share_and_none_to_zero() {
        let split = Split::new(&[95, 0, 5]).unwrap();
        let mut counts = [0; 3];
        (0..1000).for_each(|turn| counts[split.by_turn(turn)] += 1);
        assert_eq!(counts, [950, 0, 50]);
        assert!(Split::new(&[0, 0]).is_none() && Split::new(&[]).is_none());
        assert_eq!(Split::new(&[0, 1]).unwrap().by_key(u64::MAX), 1);
    }

    #[test]
    fn keys_have_their_share_and_a_canary_that_grows_keeps_its_own() {
        let keys: Vec<u64> = (0..20_000).map(|i| hash_key(format!("user-{i}").as_bytes())).collect();
        let canary = |share: u16| -> Vec<u64> {
            let split = Split::new(&[100 - share, share]).unwrap();
            keys.iter().copied().filter(|key| split.by_key(*key) == 1).collect()
        };
        let (few, more) = (canary(5), canary(20));
        assert!((800..1200).contains(&few.len()) && (3700..4300).contains(&more.len()), "{} {}", few.len(), more.len());
        assert!(few.iter().all(|key| more.contains(key)));
    }
}

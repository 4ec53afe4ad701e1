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
        Self { schedule: schedule(&turns(members)) }
    }

    /// The members in the order of one cycle.
    pub(super) fn turns(&self) -> impl Iterator<Item = usize> + Clone {
        self.schedule.iter().map(|&i| i as usize)
    }

    /// One cursor step; members that are not available are passed over by walking on.
    pub(super) fn pick(&self, view: &impl View) -> Option<usize> {
        if self.schedule.is_empty() {
            return None;
        }
        let start = view.next_turn() % self.schedule.len();
        let (before, after) = self.schedule.split_at(start);
        after.iter().chain(before).map(|&i| i as usize).find(|&i| view.available(i))
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
    weights().map(|w| (w / divisor * room / total).max(1)).collect()
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
    let mut waiting: BinaryHeap<_> = (0..turns.len()).map(|i| Reverse((release(i, 0), i, 0))).collect();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::fake::Pool;
    use super::super::{Balance, Balancer};
    use super::*;

    fn order(weights: &[u16]) -> Box<[u32]> {
        RoundRobin::new(&Pool::weighing(weights).members).schedule
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn after_every_pick_each_member_is_within_one_pick_of_its_share(weights in prop::collection::vec(1_u16..=60, 1..40)) {
            assert_fair(&weights);
        }
    }

    /// Exactly its weight each cycle, and less than one pick off at every moment in it.
    fn assert_fair(weights: &[u16]) {
        let pool = Pool::weighing(weights);
        let turns = turns(&pool.members);
        let schedule = order(weights);
        let total = turns.iter().sum::<u64>() as i64;
        let mut picks = vec![0_i64; weights.len()];
        for (t, &i) in (1_i64..).zip(&schedule) {
            picks[i as usize] += 1;
            for (&n, &w) in picks.iter().zip(&turns) {
                assert!((n * total - t * w as i64).abs() < total, "{n} picks of {t} at {w}/{total}");
            }
        }
        assert_eq!(picks, turns.iter().map(|&w| w as i64).collect::<Vec<_>>());
    }

    #[test]
    fn many_light_members_beside_a_heavy_one_interleave() {
        let mut weights = vec![1; 500];
        weights.push(500);
        assert_fair(&weights);
        let runs = order(&weights);
        assert!(runs.windows(3).all(|w| w[0] != w[1] || w[1] != w[2]));
    }

    #[test]
    fn equal_members_take_turns_in_the_order_of_the_list() {
        assert_eq!(*order(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*order(&[7, 7, 7, 7]), [0, 1, 2, 3]);
        assert!(order(&[1; 1000]).iter().copied().eq(0..1000));
    }

    #[test]
    fn weights_are_spread_smoothly() {
        assert_eq!(*order(&[5, 1, 1]), [0, 0, 1, 0, 0, 2, 0]);
        assert_eq!(*order(&[2, 1]), [0, 1, 0]);
        assert!(order(&[]).is_empty());
        assert_eq!(*order(&[9]), [0]);
    }

    #[test]
    fn a_schedule_is_bounded_and_then_follows_the_scaled_weights() {
        let weights: Vec<u16> = (0..999).map(|i| if i % 100 == 0 { 1 } else { 1000 - i }).collect();
        let schedule = order(&weights);
        assert!(schedule.len() <= MAX_TURNS && schedule.len() > MAX_TURNS * 95 / 100, "{}", schedule.len());
        let mut picks = vec![0_u32; weights.len()];
        schedule.iter().for_each(|&i| picks[i as usize] += 1);
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        for (&n, &w) in picks.iter().zip(&weights) {
            let fair = MAX_TURNS as f64 * f64::from(w) / total;
            assert!(n >= 1 && (f64::from(n) - fair).abs() < 1.0 + fair / 50.0, "{n} {fair}");
        }
    }

    #[test]
    fn all_workers_follow_one_order() {
        let pool = Pool::of(3);
        let workers = [0; 2].map(|_| Balancer::new(&Balance::RoundRobin, &pool.members));
        let mut rng = fastrand::Rng::with_seed(1);
        let picks: Vec<_> = (0..9).map(|k| workers[k * k % 2].pick(&pool, 0, &mut rng).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn members_that_are_not_available_are_passed_over() {
        let mut pool = Pool::of(3);
        let balancer = Balancer::new(&Balance::RoundRobin, &pool.members);
        pool.up[1] = false;
        assert_eq!(pool.picks(&balancer, 6), [2, 0, 4]);
        pool.up.fill(false);
        assert_eq!(balancer.pick(&pool, 0, &mut fastrand::Rng::with_seed(1)), None);
    }

    #[test]
    fn a_pick_among_1000_looks_at_one_member() {
        let pool = Pool::of(1000);
        assert_eq!(pool.most_looks(&Balancer::new(&Balance::RoundRobin, &pool.members), 5000), 1);
    }
}

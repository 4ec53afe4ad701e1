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
        Self { weights: members.iter().map(|m| m.weight.get()).collect() }
    }

    /// The least (in flight + 1) / weight. The scan starts one further each time, so equals take turns.
    pub(super) fn pick(&self, view: &impl View) -> Option<usize> {
        let mut best: Option<(u64, u64, usize)> = None;
        for (k, i) in window(self.weights.len(), view.next_turn()) {
            if k >= WINDOW && best.is_some() {
                break;
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::fake::Pool;
    use super::super::{Balance, Balancer};
    use super::*;

    fn pick(pool: &Pool) -> Option<usize> {
        LeastConnections::new(&pool.members).pick(pool)
    }

    proptest! {
        #[test]
        fn no_available_member_of_a_small_pool_has_less_load(
            members in prop::collection::vec((1_u16..=1000, 0_u32..100, any::<bool>()), 1..=WINDOW)
        ) {
            let mut pool = Pool::weighing(&members.iter().map(|m| m.0).collect::<Vec<_>>());
            pool.in_flight = members.iter().map(|m| m.1).collect();
            pool.up = members.iter().map(|m| m.2).collect();
            let load = |i: usize| f64::from(members[i].1 + 1) / f64::from(members[i].0);
            let up = || (0..members.len()).filter(|&i| members[i].2);
            match pick(&pool) {
                Some(i) => prop_assert!(members[i].2 && up().all(|other| load(i) <= load(other))),
                None => prop_assert_eq!(up().count(), 0),
            }
        }
    }

    #[test]
    fn an_idle_pool_is_used_in_turn() {
        let pool = Pool::of(3);
        assert_eq!(pool.picks(&Balancer::new(&Balance::LeastConnections, &pool.members), 300), [100; 3]);
    }

    #[test]
    fn attempts_that_never_end_spread_by_weight() {
        let mut pool = Pool::weighing(&[1, 2, 3, 4]);
        for _ in 0..1000 {
            let i = pick(&pool).unwrap();
            pool.in_flight[i] += 1;
        }
        for (i, &n) in pool.in_flight.iter().enumerate() {
            assert!(n.abs_diff(100 * (i as u32 + 1)) <= 1, "{:?}", pool.in_flight);
        }
    }

    #[test]
    fn a_large_pool_fills_evenly_though_only_a_window_is_compared() {
        let mut pool = Pool::of(1000);
        let balancer = LeastConnections::new(&pool.members);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut running = Vec::new();
        for _ in 0..50_000 {
            if running.len() == 10_000 {
                let done: usize = running.swap_remove(rng.usize(..running.len()));
                pool.in_flight[done] -= 1;
            }
            let i = balancer.pick(&pool).unwrap();
            pool.in_flight[i] += 1;
            running.push(i);
        }
        let busiest = pool.in_flight.iter().max().unwrap();
        assert!(*busiest <= 12, "{busiest} where 10 is the mean");
    }

    #[test]
    fn a_large_pool_costs_a_window_and_finds_the_last_one_available() {
        let mut pool = Pool::of(1000);
        let balancer = Balancer::new(&Balance::LeastConnections, &pool.members);
        assert_eq!(pool.most_looks(&balancer, 2000), 2 * WINDOW);
        pool.up.fill(false);
        pool.up[777] = true;
        assert_eq!(pick(&pool), Some(777));
    }
}

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
        Self { alias: alias(&weights), weights }
    }

    pub(super) fn pick(&self, view: &impl View, rng: &mut fastrand::Rng) -> Option<usize> {
        let first = self.draw(rng, |i| view.available(i))?;
        let Some(second) = self.draw(rng, |i| i != first && view.available(i)) else {
            return Some(first);
        };
        let load = |i: usize, other: usize| u64::from(view.in_flight(i)) * u64::from(self.weights[other]);
        // Of equals the first, so that an idle pool is shared exactly by weight.
        Some(if load(second, first) < load(first, second) { second } else { first })
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
            let i = if (dice as u32) < own { column } else { other as usize };
            if passes(i) {
                return Some(i);
            }
        }
        window(n, rng.usize(..)).map(|(_, i)| i).find(|&i| passes(i))
    }
}

/// Whole-number alias table: n columns, each as high as the total weight, filled by at most two members.
fn alias(weights: &[u16]) -> Box<[Column]> {
    let n = weights.len() as u64;
    let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let mut rest: Vec<u64> = weights.iter().map(|&w| u64::from(w) * n).collect();
    let mut columns: Vec<Column> = (0..weights.len() as u32).map(|i| Column { own: u32::MAX, other: i }).collect();
    let (mut low, mut high): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|&i| rest[i] < total);
    while let (Some(&l), Some(&h)) = (low.last(), high.last()) {
        low.pop();
        columns[l] = Column { own: ((u128::from(rest[l]) << 32) / u128::from(total)) as u32, other: h as u32 };
        rest[h] -= total - rest[l];
        if rest[h] < total {
            high.pop();
            low.push(h);
        }
    }
    columns.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::fake::Pool;
    use super::super::{Balance, Balancer};
    use super::*;

    proptest! {
        #[test]
        fn the_alias_table_holds_each_member_by_its_weight(weights in prop::collection::vec(1_u16..=1000, 1..100)) {
            let columns = alias(&weights);
            let mut mass = vec![0.0; weights.len()];
            for (i, column) in columns.iter().enumerate() {
                let own = f64::from(column.own) / f64::from(u32::MAX);
                mass[i] += own;
                mass[column.other as usize] += 1.0 - own;
            }
            let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
            for (mass, &w) in mass.iter().zip(&weights) {
                let fair = weights.len() as f64 * f64::from(w) / total;
                prop_assert!((mass - fair).abs() < 1e-6, "{} {}", mass, fair);
            }
        }
    }

    #[test]
    fn an_idle_pool_is_shared_by_weight() {
        let pool = Pool::weighing(&[1, 2, 3, 4]);
        let picks = pool.picks(&Balancer::new(&Balance::Random, &pool.members), 100_000);
        for (i, &n) in picks.iter().enumerate() {
            let fair = 10_000.0 * (i as f64 + 1.0);
            assert!((n as f64 - fair).abs() < 5.0 * fair.sqrt(), "{picks:?}");
        }
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        // 1000 attempts that never end over 100 members: two choices keep the highest near the mean of 10, where
        // single draws would reach about 20.
        let mut pool = Pool::of(100);
        let random = Random::new(&pool.members);
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..1000 {
            let i = random.pick(&pool, &mut rng).unwrap();
            pool.in_flight[i] += 1;
        }
        let busiest = pool.in_flight.iter().max().unwrap();
        assert!(*busiest <= 13, "{busiest}");
    }

    #[test]
    fn a_loaded_member_of_two_is_left_alone() {
        let mut pool = Pool::weighing(&[1, 1]);
        pool.in_flight = vec![10, 0];
        assert_eq!(pool.picks(&Balancer::new(&Balance::Random, &pool.members), 1000)[0], 0);
    }

    #[test]
    fn only_available_members_are_picked() {
        let mut pool = Pool::of(500);
        let random = Random::new(&pool.members);
        let mut rng = fastrand::Rng::with_seed(5);
        pool.up.fill(false);
        assert_eq!(random.pick(&pool, &mut rng), None);
        pool.up[499] = true;
        assert_eq!(random.pick(&pool, &mut rng), Some(499));
        assert_eq!(Random::new(&[]).pick(&pool, &mut rng), None);
    }

    #[test]
    fn a_pick_among_1000_looks_at_two_members() {
        let pool = Pool::of(1000);
        // Availability and load of each; now and then the same member is drawn twice and drawn again.
        assert!(pool.most_looks(&Balancer::new(&Balance::Random, &pool.members), 10_000) <= 4);
    }
}

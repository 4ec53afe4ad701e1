//! Lowest peak-EWMA latency × load per weight.
//!
//! Two things keep a slow backend from starving: its latency decays in the view while nobody asks it, and one pick in
//! [`SAMPLE`] ignores latency altogether, so that a recovery is noticed even where the decay is slow.

use super::least_connections::{WINDOW, window};
use super::{Member, View};

/// One pick in this many goes to any available member. At 3 members a slow one so gets at least 1 in 384.
const SAMPLE: u32 = 128;

#[derive(Debug)]
pub(super) struct LeastResponseTime {
    weights: Box<[u16]>,
}

impl LeastResponseTime {
    pub(super) fn new(members: &[Member]) -> Self {
        Self { weights: members.iter().map(|m| m.weight.get()).collect() }
    }

    /// The least latency × (in flight + 1) / weight within the window of least_connections. A member of unknown
    /// latency counts as if it were as fast as the fastest known, so that new ones are tried.
    pub(super) fn pick(&self, view: &impl View, rng: &mut fastrand::Rng) -> Option<usize> {
        let n = self.weights.len();
        if rng.u32(..SAMPLE) == 0 {
            return window(n, rng.usize(..)).map(|(_, i)| i).find(|&i| view.available(i));
        }
        let mut known = Best::default();
        let mut unknown = Best::default();
        let mut fastest = f64::INFINITY;
        for (k, i) in window(n, view.next_turn()) {
            if k >= WINDOW && (known.member.is_some() || unknown.member.is_some()) {
                break;
            }
            if !view.available(i) {
                continue;
            }
            let load = (f64::from(view.in_flight(i)) + 1.0) / f64::from(self.weights[i]);
            match view.latency(i) {
                0 => unknown.offer(load, i),
                latency => {
                    fastest = fastest.min(latency as f64);
                    known.offer(latency as f64 * load, i);
                }
            }
        }
        match (known.member, unknown.member) {
            (Some(_), Some(_)) if unknown.score * fastest <= known.score => unknown.member,
            (None, _) => unknown.member,
            _ => known.member,
        }
    }
}

/// The lowest score so far; of equals the first.
struct Best {
    score: f64,
    member: Option<usize>,
}

impl Default for Best {
    fn default() -> Self {
        Self { score: f64::INFINITY, member: None }
    }
}

impl Best {
    fn offer(&mut self, score: f64, member: usize) {
        if score < self.score {
            *self = Self { score, member: Some(member) };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::fake::Pool;
    use super::super::{Balance, Balancer};
    use super::*;
    use crate::Nanos;
    use crate::measure::Ewma;

    const MS: Nanos = 1_000_000;

    /// A simulated minute at 200 requests/s: picks of each member, given its latency at a moment.
    fn minute(mut pool: Pool, latency: impl Fn(usize, Nanos) -> Nanos) -> Vec<Vec<Nanos>> {
        let balancer = Balancer::new(&Balance::LeastResponseTime, &pool.members);
        let mut rng = fastrand::Rng::with_seed(11);
        let mut averages = vec![Ewma::UNKNOWN; pool.members.len()];
        let mut picks = vec![Vec::new(); pool.members.len()];
        let mut running: Vec<(Nanos, usize, Nanos)> = Vec::new();
        for now in (0..12_000).map(|k| k * 5 * MS) {
            running.retain(|&(end, i, took)| {
                let over = end <= now;
                if over {
                    pool.in_flight[i] -= 1;
                    averages[i] = averages[i].observe(took, end, Ewma::TAU);
                }
                !over
            });
            for (latency, average) in pool.latency.iter_mut().zip(&averages) {
                *latency = average.at(now, Ewma::TAU);
            }
            let i = balancer.pick(&pool, 0, &mut rng).unwrap();
            pool.in_flight[i] += 1;
            picks[i].push(now);
            let took = latency(i, now) + rng.u64(..MS);
            running.push((now + took, i, took));
        }
        picks
    }

    #[test]
    fn a_slow_member_gets_less_but_never_nothing() {
        let picks = minute(Pool::of(3), |i, _| if i == 2 { 2000 * MS } else { 20 * MS });
        let counts: Vec<usize> = picks.iter().map(Vec::len).collect();
        assert!(counts[2] < 12_000 / 50, "{counts:?}");
        assert!(counts[0].abs_diff(counts[1]) < 1200, "{counts:?}");
        // In every ten seconds of the minute.
        for ten in 0..6 {
            let range = ten * 10_000 * MS..(ten + 1) * 10_000 * MS;
            assert!(picks[2].iter().any(|at| range.contains(at)), "starved in tens {ten}");
        }
    }

    #[test]
    fn a_member_that_recovers_gets_its_share_back() {
        let picks = minute(Pool::of(3), |i, now| if i == 2 && now < 10_000 * MS { 200 * MS } else { 20 * MS });
        let late = |i: usize| picks[i].iter().filter(|&&at| at > 50_000 * MS).count();
        assert!(late(2) * 2 > late(0), "{} {} {}", late(0), late(1), late(2));
    }

    #[test]
    fn load_follows_weight_where_latencies_are_equal() {
        let picks = minute(Pool::weighing(&[1, 3]), |_, _| 100 * MS);
        let ratio = picks[1].len() as f64 / picks[0].len() as f64;
        assert!((2.2..4.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_new_member_is_tried_and_not_flooded() {
        let mut pool = Pool::of(3);
        pool.latency = vec![40 * MS, 60 * MS, 0];
        let mut rng = fastrand::Rng::with_seed(2);
        let balancer = LeastResponseTime::new(&pool.members);
        assert_eq!(balancer.pick(&pool, &mut rng), Some(2));
        pool.in_flight[2] = 1;
        assert_eq!(balancer.pick(&pool, &mut rng), Some(0));
    }

    #[test]
    fn only_available_members_are_picked() {
        let mut pool = Pool::of(200);
        let balancer = LeastResponseTime::new(&pool.members);
        let mut rng = fastrand::Rng::with_seed(2);
        pool.up.fill(false);
        assert!((0..1000).all(|_| balancer.pick(&pool, &mut rng).is_none()));
        pool.up[150] = true;
        assert!((0..1000).all(|_| balancer.pick(&pool, &mut rng) == Some(150)));
        assert_eq!(LeastResponseTime::new(&[]).pick(&pool, &mut rng), None);
    }
}

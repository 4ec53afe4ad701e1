//! The hash ring (ketama): members stand at many points of a circle, a key belongs to the next point.

use super::Member;
use super::hash::mix;

/// Points for each weight: about 8 % deviation of the shares.
const POINTS: u64 = 160;
/// Most points of a ring, in all about 2 MiB. Heavier pools have all their weights halved until they fit, so that only
/// crossing a power of two moves keys that need not move.
const MAX_POINTS: u64 = 1 << 18;

#[derive(Debug)]
pub(super) struct Ring {
    /// Sorted by place.
    points: Box<[Point]>,
    /// For each value of the top bits of a place, the first point not before it: a look-up instead of a search.
    starts: Box<[u32]>,
    shift: u32,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: u32,
    member: u32,
}

impl Ring {
    pub(super) fn new(members: &[Member]) -> Self {
        let wanted: u64 = members.iter().map(|m| POINTS * u64::from(m.weight.get())).sum();
        let halvings = (0..).find(|&h| wanted >> h <= MAX_POINTS).unwrap_or(0);
        // By identity: where two members meet at one place, the order of the list must not matter.
        let mut order: Vec<u32> = (0..members.len() as u32).collect();
        order.sort_by_key(|&i| members[i as usize].id);
        // Place and position in `order` in one number, which sorts fast.
        let mut places: Vec<u64> = Vec::new();
        for (nth, &i) in (0_u64..).zip(&order) {
            let Member { id, weight } = members[i as usize];
            let n = ((POINTS * u64::from(weight.get())) >> halvings).max(1);
            places.extend((0..n).map(|k| mix(mix(id).wrapping_add(k)) >> 32 << 32 | nth));
        }
        places.sort_unstable();
        let point = |place: u64| Point { at: (place >> 32) as u32, member: order[place as u32 as usize] };
        let points: Box<[Point]> = places.into_iter().map(point).collect();
        let bits = points.len().next_power_of_two().trailing_zeros().clamp(1, 31);
        let shift = 32 - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        let mut first = 0;
        for top in 0..1u32 << bits {
            while points.get(first).is_some_and(|p| p.at >> shift < top) {
                first += 1;
            }
            starts.push(first as u32);
        }
        Self { points, starts: starts.into(), shift }
    }

    /// The members met from the key's place on, once around. The ring must not be empty.
    pub(super) fn places(&self, key: u64) -> impl Iterator<Item = usize> {
        let at = (key >> 32) as u32;
        let mut first = self.starts[(at >> self.shift) as usize] as usize;
        while self.points.get(first).is_some_and(|p| p.at < at) {
            first += 1;
        }
        let (before, after) = self.points.split_at(first);
        after.iter().chain(before).map(|p| p.member as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Pool;
    use super::*;

    #[test]
    fn a_key_belongs_to_the_next_point_around_the_circle() {
        let ring = Ring::new(&Pool::weighing(&[1, 2, 3]).members);
        let mut rng = fastrand::Rng::with_seed(1);
        for key in [0, u64::MAX].into_iter().chain((0..10_000).map(|_| rng.u64(..))) {
            let at = (key >> 32) as u32;
            let next = ring.points.iter().find(|p| p.at >= at).unwrap_or(&ring.points[0]);
            assert_eq!(ring.places(key).next(), Some(next.member as usize));
        }
    }

    #[test]
    fn a_ring_is_bounded_and_holds_everyone() {
        let ring = Ring::new(&Pool::weighing(&[[1000; 500], [1; 500]].concat()).members);
        assert!(ring.points.len() <= MAX_POINTS as usize + 500);
        for i in 0..1000 {
            assert!(ring.points.iter().any(|p| p.member == i));
        }
    }
}

//! A pool that tests set up by hand and that counts how often it is looked at.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use super::hash::mix;
use super::{Balancer, Member, View, Weight};
use crate::Nanos;

#[derive(Clone)]
pub(super) struct Pool {
    pub(super) members: Vec<Member>,
    pub(super) up: Vec<bool>,
    pub(super) in_flight: Vec<u32>,
    pub(super) latency: Vec<Nanos>,
    pub(super) share: Vec<u8>,
    turn: Cell<usize>,
    looks: Cell<usize>,
}

impl Pool {
    pub(super) fn weighing(weights: &[u16]) -> Self {
        let n = weights.len();
        let member = |(i, &w): (usize, &u16)| Member { id: mix(i as u64 + 1), weight: Weight::new(w).unwrap() };
        Self {
            members: weights.iter().enumerate().map(member).collect(),
            up: vec![true; n],
            in_flight: vec![0; n],
            latency: vec![0; n],
            share: vec![100; n],
            turn: Cell::new(0),
            looks: Cell::new(0),
        }
    }

    pub(super) fn of(n: usize) -> Self {
        Self::weighing(&vec![1; n])
    }

    /// The same pool with one member taken out of the list, the others moving up.
    pub(super) fn without(&self, i: usize) -> Self {
        let mut pool = self.clone();
        pool.members.remove(i);
        pool.up.remove(i);
        pool.in_flight.remove(i);
        pool.latency.remove(i);
        pool.share.remove(i);
        pool
    }

    pub(super) fn total_weight(&self) -> f64 {
        self.members.iter().map(|m| f64::from(m.weight.get())).sum()
    }

    /// How many of `n` picks each member gets, with keys 0..n and nothing ever in flight.
    pub(super) fn picks(&self, balancer: &Balancer, n: u64) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut picks = vec![0; self.members.len()];
        for key in 0..n {
            picks[balancer.pick(self, mix(key), &mut rng).unwrap()] += 1;
        }
        picks
    }

    /// The most looks at members that any of `n` picks needs.
    pub(super) fn most_looks(&self, balancer: &Balancer, n: u64) -> usize {
        let mut rng = fastrand::Rng::with_seed(7);
        let looks = (0..n).map(|key| {
            self.looks.set(0);
            balancer.pick(self, mix(key), &mut rng);
            self.looks.get()
        });
        looks.max().unwrap()
    }

    fn look(&self) {
        self.looks.set(self.looks.get() + 1);
    }
}

impl View for Pool {
    fn available(&self, i: usize) -> bool {
        self.look();
        self.up[i]
    }

    fn in_flight(&self, i: usize) -> u32 {
        self.look();
        self.in_flight[i]
    }

    fn latency(&self, i: usize) -> Nanos {
        self.look();
        self.latency[i]
    }

    fn share(&self, i: usize) -> u8 {
        self.share[i]
    }

    fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    fn total_in_flight(&self, _: usize) -> u64 {
        self.look();
        self.in_flight.iter().map(|&n| u64::from(n)).sum()
    }
}

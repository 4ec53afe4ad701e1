//! Consistent hashing: what the three tables share, and bounded load.

use super::maglev::Maglev;
use super::rendezvous::{Memo, Scores};
use super::ring::Ring;
use super::{Hash, HashMethod, Member, View};

/// Places of a table tried before all members are scored for the key.
const PROBES: usize = 32;

/// A well mixed hash of a key, the same in every process and version.
///
/// Not keyed: a client that picks its key picks its backend, as with any sticky scheme. About 1 ns per 8 bytes.
pub fn hash_key(bytes: &[u8]) -> u64 {
    let mut hash = fold(
        bytes.len() as u64 ^ 0x9E37_79B9_7F4A_7C15,
        0xD6E8_FEB8_6659_FD93,
    );
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), 0xA076_1D64_78BD_642F);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = fold(hash ^ u64::from_le_bytes(word), 0xA076_1D64_78BD_642F);
    }
    mix(hash)
}

/// Both halves of the full product, folded together (as wyhash does).
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The finaliser of splitmix64: a bijection in which every input bit reaches every output bit.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[derive(Debug)]
pub(super) struct Consistent {
    table: Table,
    scores: Scores,
    weights: Box<[u16]>,
    total_weight: f64,
    bound: Option<f64>,
}

#[derive(Debug)]
enum Table {
    Maglev(Maglev),
    Ring(Ring),
    Rendezvous(Memo),
}

impl Consistent {
    pub(super) fn new(hash: &Hash, members: &[Member]) -> Self {
        let weights: Box<[u16]> = members.iter().map(|m| m.weight.get()).collect();
        Self {
            table: match hash.method {
                HashMethod::Maglev => Table::Maglev(Maglev::new(members)),
                HashMethod::Ring => Table::Ring(Ring::new(members)),
                HashMethod::Rendezvous => Table::Rendezvous(Memo::new(members.len())),
            },
            scores: Scores::new(members),
            total_weight: weights.iter().map(|&w| f64::from(w)).sum(),
            weights,
            bound: hash.bounded.filter(|b| !b.is_nan()).map(|b| b.max(1.0)),
        }
    }

    /// The key's own member; if that can't take it, the key's next one, and so on. Where a key goes next depends on the
    /// key and the members alone, so that no other key moves, and the keys of one member spread over all the others.
    pub(super) fn pick(&self, view: &impl View, key: u64) -> Option<usize> {
        if self.weights.is_empty() {
            return None;
        }
        // How many may run per weight; the attempt in question included.
        let share = self.bound.map(|bound| {
            bound * (view.total_in_flight(self.weights.len()) + 1) as f64 / self.total_weight
        });
        let takes = |i: usize| {
            view.available(i)
                && share.is_none_or(|share| {
                    f64::from(view.in_flight(i)) + 1.0
                        <= (share * f64::from(self.weights[i])).ceil()
                })
        };
        let found = match &self.table {
            Table::Maglev(it) => it.places(key).take(PROBES).find(|&i| takes(i)),
            Table::Ring(it) => it.places(key).take(PROBES).find(|&i| takes(i)),
            Table::Rendezvous(it) => Some(it.winner(key, &self.scores)).filter(|&i| takes(i)),
        };
        found
            .or_else(|| self.scores.best(key, takes))
            .or_else(|| self.least_loaded(view))
    }

    /// Where too few members are available for the bound to hold at all. O(members).
    fn least_loaded(&self, view: &impl View) -> Option<usize> {
        let load = |i: usize| (f64::from(view.in_flight(i)) + 1.0) / f64::from(self.weights[i]);
        (0..self.weights.len())
            .filter(|&i| view.available(i))
            .min_by(|&a, &b| load(a).total_cmp(&load(b)))
    }
}

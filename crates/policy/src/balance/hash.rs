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
    let n = bytes.len();
    let mut hash = fold(n as u64 ^ 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93);
    let mut take = |word: u64| hash = fold(hash ^ word, 0xA076_1D64_78BD_642F);
    // Reads of fixed size that may overlap, which is faster than copying an odd tail.
    if let (Some(_), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let words = bytes[..n - 1].as_chunks::<8>().0;
        words.iter().for_each(|word| take(u64::from_le_bytes(*word)));
        take(u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        take(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)));
    } else if n > 0 {
        take(u64::from(bytes[0]) << 16 | u64::from(bytes[n / 2]) << 8 | u64::from(bytes[n - 1]));
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
    ids: Box<[u64]>,
    total_weight: u64,
    /// In thousandths, so that 1.05 means 1.05 and the comparison is exact.
    bound: Option<u64>,
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
            total_weight: weights.iter().map(|&w| u64::from(w)).sum(),
            weights,
            ids: members.iter().map(|m| m.id).collect(),
            bound: hash.bounded.filter(|b| !b.is_nan()).map(|b| (b.max(1.0) * 1000.0).round() as u64),
        }
    }

    /// The key's own member; if that can't take it, the key's next one, and so on. Where a key goes next depends on the
    /// key and the members alone, so that no other key moves, and the keys of one member spread over all the others.
    pub(super) fn pick(&self, view: &impl View, key: u64) -> Option<usize> {
        if self.weights.is_empty() {
            return None;
        }
        // `in_flight + 1 <= ceil(bound * (total + 1) * weight / total_weight)`, in whole numbers.
        let total = self.bound.map(|bound| u128::from(bound) * u128::from(view.total_in_flight(self.weights.len()) + 1));
        let below_bound = |i: usize| {
            total.is_none_or(|total| {
                u128::from(view.in_flight(i)) * u128::from(self.total_weight) * 1000 < total * u128::from(self.weights[i])
            })
        };
        let able = |i: usize| view.available(i) && below_bound(i);
        let takes = |i: usize| able(i) && self.is_in_share(i, key, view.share(i));
        let found = match &self.table {
            Table::Maglev(it) => it.places(key).take(PROBES).find(|&i| takes(i)),
            Table::Ring(it) => it.places(key).take(PROBES).find(|&i| takes(i)),
            Table::Rendezvous(it) => Some(it.winner(key, &self.scores)).filter(|&i| takes(i)),
        };
        found.or_else(|| self.scores.best(key, takes)).or_else(|| self.scores.best(key, able)).or_else(|| self.least_loaded(view))
    }

    /// Whether a member that is to get only `share` percent keeps this key. As the share grows keys are added, none leaves.
    fn is_in_share(&self, i: usize, key: u64, share: u8) -> bool {
        share >= 100 || mix(key ^ self.ids[i].rotate_left(17)) % 100 < u64::from(share)
    }

    /// Where too few members are available for the bound to hold at all. O(members).
    fn least_loaded(&self, view: &impl View) -> Option<usize> {
        let load = |i: usize| (f64::from(view.in_flight(i)) + 1.0) / f64::from(self.weights[i]);
        (0..self.weights.len()).filter(|&i| view.available(i)).min_by(|&a, &b| load(a).total_cmp(&load(b)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::super::fake::Pool;
    use super::super::{Balance, Balancer};
    use super::*;

    const METHODS: [HashMethod; 3] = [HashMethod::Maglev, HashMethod::Ring, HashMethod::Rendezvous];
    const KEYS: u64 = 200_000;

    fn balancer(method: HashMethod, bounded: Option<f64>, pool: &Pool) -> Balancer {
        let key = crate::Key::ClientIp;
        Balancer::new(&Balance::Hash(Hash { key, method, bounded }), &pool.members)
    }

    fn owners(balancer: &Balancer, pool: &Pool) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(1);
        let pick = |key| pool.members[balancer.pick(pool, mix(key), &mut rng).unwrap()].id;
        (0..KEYS).map(pick).collect()
    }

    /// The percentage of keys that `gone` did not own and that have another owner now.
    fn moved(before: &[u64], after: &[u64], gone: u64) -> f64 {
        assert!(!after.contains(&gone));
        let others = || before.iter().zip(after).filter(|&(&b, _)| b != gone);
        100.0 * others().filter(|(b, a)| b != a).count() as f64 / others().count() as f64
    }

    #[test]
    fn rebuilding_without_one_of_100_moves_at_most_one_percent_of_the_others_keys() {
        for method in METHODS {
            for weights in [vec![1; 100], (0..100).map(|i| 1 + i % 7).collect()] {
                let pool = Pool::weighing(&weights);
                let before = owners(&balancer(method, None, &pool), &pool);
                for gone in [0, 17, 50, 99] {
                    let rest = pool.without(gone);
                    let after = owners(&balancer(method, None, &rest), &rest);
                    let moved = moved(&before, &after, pool.members[gone].id);
                    let most = if method == HashMethod::Maglev { 1.0 } else { 0.0 };
                    assert!(moved <= most, "{method:?} without {gone}: {moved:.3} %");
                }
            }
        }
    }

    #[test]
    fn a_member_that_is_not_available_moves_only_its_own_keys_and_spreads_them() {
        for method in METHODS {
            let mut pool = Pool::of(100);
            let balancer = balancer(method, None, &pool);
            let before = owners(&balancer, &pool);
            pool.up[17] = false;
            let after = owners(&balancer, &pool);
            let gone = pool.members[17].id;
            assert_eq!(moved(&before, &after, gone), 0.0, "{method:?}");
            let heirs: HashSet<u64> = before.iter().zip(&after).filter(|&(&b, _)| b == gone).map(|(_, &a)| a).collect();
            let least = if method == HashMethod::Ring { 60 } else { 99 };
            assert!(heirs.len() >= least, "{method:?}: {} heirs", heirs.len());
        }
    }

    #[test]
    fn keys_stay_with_identities_when_the_list_is_reordered() {
        for method in METHODS {
            let pool = Pool::weighing(&[1, 2, 3, 4, 5, 3, 2]);
            let mut reversed = pool.clone();
            reversed.members.reverse();
            assert_eq!(owners(&balancer(method, None, &pool), &pool), owners(&balancer(method, None, &reversed), &reversed));
        }
    }

    #[test]
    fn shares_follow_weights() {
        // Deviation in percent of a share: what the tables promise, for 10 members of weights 1 to 4.
        for (method, most) in [(HashMethod::Maglev, 1.5), (HashMethod::Ring, 25.0), (HashMethod::Rendezvous, 3.0)] {
            let pool = Pool::weighing(&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2]);
            let keys = 2_000_000;
            let picks = pool.picks(&balancer(method, None, &pool), keys);
            for (i, &n) in picks.iter().enumerate() {
                let fair = keys as f64 * f64::from(pool.members[i].weight.get()) / pool.total_weight();
                let off = 100.0 * (n as f64 / fair - 1.0).abs();
                assert!(off <= most, "{method:?}: member {i} is off by {off:.2} %");
            }
        }
    }

    #[test]
    fn a_member_with_a_smaller_share_loses_so_many_of_its_keys_and_no_other_key_moves() {
        for method in METHODS {
            let mut pool = Pool::of(10);
            let balancer = balancer(method, None, &pool);
            let before = owners(&balancer, &pool);
            let id = pool.members[3].id;
            let mut kept = HashSet::new();
            for share in [10, 50, 90] {
                pool.share[3] = share;
                let after = owners(&balancer, &pool);
                assert!(before.iter().zip(&after).all(|(b, a)| b == a || *b == id), "{method:?}: only its own keys move");
                let now: HashSet<usize> = (0..after.len()).filter(|&key| after[key] == id).collect();
                let full = before.iter().filter(|owner| **owner == id).count();
                let percent = 100.0 * now.len() as f64 / full as f64;
                assert!((percent - f64::from(share)).abs() < 2.0, "{method:?}: {percent} % of {share} %");
                assert!(kept.is_subset(&now), "{method:?}: keys come back and none leaves");
                kept = now;
            }
        }
    }

    #[test]
    fn a_key_that_every_member_would_rather_not_take_is_taken() {
        for method in METHODS {
            let mut pool = Pool::of(3);
            pool.share.fill(0);
            assert_eq!(owners(&balancer(method, Some(1.5), &pool), &pool).len(), KEYS as usize);
        }
    }

    #[test]
    fn bounded_load_never_exceeds_its_bound_even_with_one_hot_key() {
        for (method, bound) in METHODS.into_iter().flat_map(|m| [1000, 1050, 1500].map(|b| (m, b))) {
            let mut rng = fastrand::Rng::with_seed(3);
            let mut pool = Pool::weighing(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 40]);
            let balancer = balancer(method, Some(bound as f64 / 1000.0), &pool);
            let mut running = Vec::new();
            for _ in 0..20_000 {
                if running.len() > 300 || (!running.is_empty() && rng.f64() < 0.4) {
                    let done: usize = running.swap_remove(rng.usize(..running.len()));
                    pool.in_flight[done] -= 1;
                    continue;
                }
                let key = if rng.bool() { 0 } else { rng.u64(..) };
                let i = balancer.pick(&pool, key, &mut rng).unwrap();
                pool.in_flight[i] += 1;
                running.push(i);
                let weight = usize::from(pool.members[i].weight.get());
                let most = (bound * running.len() * weight).div_ceil(1000 * pool.total_weight() as usize);
                assert!(pool.in_flight[i] as usize <= most, "{method:?} {bound}: {} of {most}", pool.in_flight[i]);
            }
        }
    }

    #[test]
    fn bounded_load_without_load_is_plain_hashing() {
        for method in METHODS {
            let pool = Pool::of(20);
            assert_eq!(owners(&balancer(method, Some(1.25), &pool), &pool), owners(&balancer(method, None, &pool), &pool));
        }
    }

    #[test]
    fn any_available_member_is_better_than_none() {
        for (method, bound) in METHODS.into_iter().flat_map(|m| [(m, None), (m, Some(1.0))]) {
            let mut pool = Pool::of(1000);
            let balancer = balancer(method, bound, &pool);
            let mut rng = fastrand::Rng::with_seed(3);
            pool.up.fill(false);
            assert_eq!(balancer.pick(&pool, 5, &mut rng), None);
            pool.up[321] = true;
            pool.in_flight[321] = 50;
            assert_eq!(balancer.pick(&pool, 5, &mut rng), Some(321), "{method:?} {bound:?}");
        }
    }

    #[test]
    fn a_pick_among_1000_looks_at_one_member() {
        for method in METHODS {
            let pool = Pool::of(1000);
            assert_eq!(pool.most_looks(&balancer(method, None, &pool), 10_000), 1);
            // Its availability, its load, and the load of all.
            assert_eq!(pool.most_looks(&balancer(method, Some(1.5), &pool), 10_000), 3);
        }
    }

    #[test]
    fn hash_key_never_changes() {
        let answers = [b"".as_slice(), b"a", b"sid-9", b"10.0.0.1", b"a key of more than one word"].map(hash_key);
        let known = [10357519086311344877, 5212202624990854446, 10223691711112562388, 6827504956935759973, 4845536186349010034];
        assert_eq!(answers, known);
    }

    #[test]
    fn hash_key_depends_on_every_byte() {
        for n in 0..40 {
            let mut bytes = vec![b'x'; n];
            let mut hashes = HashSet::from([hash_key(&bytes)]);
            for i in 0..n {
                bytes[i] = b'y';
                assert!(hashes.insert(hash_key(&bytes)), "byte {i} of {n}");
                bytes[i] = b'x';
            }
        }
    }

    #[test]
    fn hash_key_spreads_keys_that_differ_little() {
        let texts = (0..100_000).map(|i| format!("user-{i}"));
        let hashes: HashSet<u64> = texts.map(|text| hash_key(text.as_bytes())).collect();
        assert_eq!(hashes.len(), 100_000);
        // Chi-square over 1024 cells: mean 1023, standard deviation 45. Both ends of the hash are used.
        for shift in [0, 54] {
            let mut cells = [0_f64; 1024];
            hashes.iter().for_each(|hash| cells[(hash >> shift) as usize % 1024] += 1.0);
            let fair = 100_000.0 / 1024.0;
            let chi: f64 = cells.iter().map(|n| (n - fair).powi(2) / fair).sum();
            assert!((850.0..1200.0).contains(&chi), "{chi}");
        }
    }
}

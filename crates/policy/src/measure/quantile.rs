//! A quantile that follows what it measures, in one word.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Nanos;

/// How far one sample moves the estimate, as a share of it, once it has settled.
const STEP: f64 = 0.04;
/// The first samples move it further, so that it comes near soon.
const FIRST: u32 = 40;
/// Samples before it says anything.
const ENOUGH: u32 = 20;

/// An estimate of the value that a share of the samples do not exceed: raised a little by each sample above it and lowered by each below, in
/// the proportion that balances at the quantile (Robbins and Monro, 1951; in the logarithm, so that a step is a share of the value).
///
/// Shared by all workers; a sample that another overwrites is lost, which an estimate survives. It follows a doubling within some 20 samples
/// at p95, a halving within some 350. Cost: two atomic operations.
#[derive(Debug, Default)]
pub struct Quantile(AtomicU64);

impl Quantile {
    /// The estimate; `None` while too few samples were seen.
    pub fn value(&self) -> Option<Nanos> {
        let (value, samples) = unpack(self.0.load(Relaxed));
        (samples >= ENOUGH).then_some(value as Nanos)
    }

    /// Takes in a sample. `q` is the share, such as 0.95.
    pub fn observe(&self, q: f64, sample: Nanos) {
        let (value, samples) = unpack(self.0.load(Relaxed));
        let sample = sample.max(1) as f64;
        if samples == 0 {
            return self.0.store(pack(sample, 1), Relaxed);
        }
        self.step(q, value, samples, sample > value);
    }

    /// Takes in a sample of which no more is known than that it is above the estimate: one that was not waited for.
    pub fn observe_above(&self, q: f64) {
        let (value, samples) = unpack(self.0.load(Relaxed));
        if samples > 0 {
            self.step(q, value, samples, true);
        }
    }

    fn step(&self, q: f64, value: f64, samples: u32, is_above: bool) {
        let step = if samples < FIRST { 0.5 } else { STEP };
        let by = if is_above { 1.0 + step * q } else { 1.0 / (1.0 + step * (1.0 - q)) };
        self.0.store(pack((value * by).max(1.0), samples.saturating_add(1)), Relaxed);
    }
}

fn unpack(word: u64) -> (f64, u32) {
    (f64::from(f32::from_bits((word >> 32) as u32)), word as u32)
}

fn pack(value: f64, samples: u32) -> u64 {
    u64::from((value as f32).to_bits()) << 32 | u64::from(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    /// Latencies as they are: most alike, some long.
    fn latency(rng: &mut fastrand::Rng, median: f64) -> Nanos {
        let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        (median * (normal * 0.7).exp()) as Nanos
    }

    fn fed(q: f64, median: f64, samples: usize, into: Quantile) -> Quantile {
        let mut rng = fastrand::Rng::with_seed(5);
        (0..samples).for_each(|_| into.observe(q, latency(&mut rng, median)));
        into
    }

    #[test]
    fn it_comes_within_a_quarter_of_the_true_quantile() {
        // exp(0.7 z) at z of the normal distribution.
        for (q, factor) in [(0.5, 1.0), (0.9, 2.453), (0.95, 3.163), (0.99, 5.096)] {
            let estimate = fed(q, 10.0 * MS, 5000, Quantile::default()).value().unwrap_or(0) as f64;
            let truth = factor * 10.0 * MS;
            assert!((truth * 0.75..truth * 1.25).contains(&estimate), "p{}: {} of {}", q * 100.0, estimate / MS, truth / MS);
        }
    }

    #[test]
    fn it_follows_what_changes() {
        let fast = fed(0.95, 10.0 * MS, 2000, Quantile::default());
        let slow = fed(0.95, 100.0 * MS, 300, fast).value().unwrap_or(0) as f64;
        assert!((200.0 * MS..450.0 * MS).contains(&slow), "{}", slow / MS);
    }

    #[test]
    fn samples_cut_off_at_the_estimate_do_not_draw_it_down() {
        let cut = Quantile::default();
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..5000 {
            let sample = latency(&mut rng, 10.0 * MS);
            match cut.value() {
                Some(value) if sample > value => cut.observe_above(0.95),
                _ => cut.observe(0.95, sample),
            }
        }
        let estimate = cut.value().unwrap_or(0) as f64 / MS;
        assert!((24.0..40.0).contains(&estimate), "{estimate}");
    }

    #[test]
    fn it_says_nothing_of_a_few_samples() {
        assert_eq!(fed(0.95, MS, 19, Quantile::default()).value(), None);
        assert!(fed(0.95, MS, 20, Quantile::default()).value().is_some());
    }
}

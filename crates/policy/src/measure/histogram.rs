//! A histogram of latencies: 16 buckets to each power of two, so that a value is known to 3.2 %.

use crate::Nanos;

/// Finest unit: 2^7 = 128 ns.
const UNIT_BITS: u32 = 7;
/// 16 buckets to each power of two.
const STEP_BITS: u32 = 4;
/// Values from 2^36 ns (68.7 s) on share the last bucket.
const TOP_BITS: u32 = 36;

/// Number of buckets; 3.4 KiB of `u64`.
pub const BUCKETS: usize = ((TOP_BITS - UNIT_BITS - STEP_BITS + 1) as usize) << STEP_BITS;

/// The bucket of a latency: a few instructions, for use with an array of atomics as well.
pub fn bucket_of(latency: Nanos) -> usize {
    let units = latency.min((1 << TOP_BITS) - 1) >> UNIT_BITS;
    // Below 32 units every unit has its bucket; from there the top five bits and the exponent name it.
    let exponent = (units >> STEP_BITS).checked_ilog2().unwrap_or(0);
    ((exponent as usize) << STEP_BITS) + (units >> exponent) as usize
}

/// The latency a bucket stands for, its middle. From 2 µs to 68 s at most 3.2 % from any value in it.
pub fn value_of(bucket: usize) -> Nanos {
    (lower_bound(bucket) + lower_bound(bucket + 1)) / 2
}

fn lower_bound(bucket: usize) -> Nanos {
    let exponent = (bucket >> STEP_BITS).saturating_sub(1);
    ((bucket - (exponent << STEP_BITS)) as Nanos) << exponent << UNIT_BITS
}

/// Counts by bucket, and their sum.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Empty.
    pub fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), count: 0 }
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Nanos) {
        self.add(bucket_of(latency), 1);
    }

    /// Counts `n` in a bucket, as read from an array of atomics.
    ///
    /// # Panics
    /// If `bucket` is not below [`BUCKETS`].
    pub fn add(&mut self, bucket: usize, n: u64) {
        self.counts[bucket] += n;
        self.count += n;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, &n) in other.counts.iter().enumerate() {
            self.add(bucket, n);
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many were counted in each bucket.
    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// The latency that a fraction `q` (0 to 1) of all does not exceed; `None` if there are none.
    pub fn quantile(&self, q: f64) -> Option<Nanos> {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|&n| {
            seen += n;
            seen >= rank
        })?;
        Some(value_of(bucket))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Latencies of every size, 200 to each power of two.
    fn latencies() -> impl Iterator<Item = Nanos> {
        (7..36).flat_map(|bits| (0..200).map(move |k| (1 << bits) + (k << bits) / 200))
    }

    #[test]
    fn a_value_is_known_to_3_2_percent() {
        for latency in latencies().filter(|&n| n >= 2048) {
            let value = value_of(bucket_of(latency));
            assert!(value.abs_diff(latency) as f64 / latency as f64 <= 0.032, "{latency} {value}");
        }
    }

    #[test]
    fn buckets_follow_one_another_without_gap() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(lower_bound(bucket)), bucket);
            assert_eq!(bucket_of(lower_bound(bucket + 1) - 1), bucket);
            assert_eq!(bucket_of(value_of(bucket)), bucket);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(lower_bound(BUCKETS), 1 << TOP_BITS);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut rng = fastrand::Rng::with_seed(8);
        let mut values: Vec<Nanos> = (0..10_000).map(|_| 1000 + (rng.u64(..1 << 33) >> rng.u32(0..22))).collect();
        let mut histogram = Histogram::new();
        values.iter().for_each(|&value| histogram.record(value));
        values.sort_unstable();
        for q in [0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((q * 10_000.0) as usize).max(1) - 1;
            assert_eq!(bucket_of(histogram.quantile(q).unwrap()), bucket_of(values[rank]), "{q}");
        }
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    #[test]
    fn merging_is_counting_both() {
        let (mut even, mut odd, mut all) = (Histogram::new(), Histogram::new(), Histogram::new());
        for (k, latency) in latencies().enumerate() {
            if k % 2 == 0 { &mut even } else { &mut odd }.record(latency);
            all.record(latency);
        }
        even.merge(&odd);
        assert_eq!((even.counts(), even.count()), (all.counts(), all.count()));
    }
}

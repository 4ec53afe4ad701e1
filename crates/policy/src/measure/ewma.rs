//! Peak EWMA: an average of latency that jumps up at once and comes down slowly (Finagle's balancer of that name).

use std::time::Duration;

use crate::Nanos;

/// A latency average and when it was last touched. 8 bytes, so that it can live in one atomic (see [`Ewma::to_bits`]).
///
/// A sample above the average replaces it; one below pulls it down by how much time has passed since the last. While
/// nobody asks, the average falls towards 0, so that a backend that was slow is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ewma {
    /// Nanoseconds; 0 is unknown.
    value: f32,
    /// Time in ticks of 2^20 ns, about a millisecond, wrapping after 52 days.
    tick: u32,
}

impl Ewma {
    /// The usual time constant: after this long an average has lost 63 % of its distance to what is measured.
    pub const TAU: Duration = Duration::from_secs(10);

    /// No sample yet.
    pub const UNKNOWN: Self = Self { value: 0.0, tick: 0 };

    /// The average after a sample of `latency` that ended at `now`.
    #[must_use]
    pub fn observe(self, latency: Nanos, now: Nanos, tau: Duration) -> Self {
        // At least 1 ns: 0 is unknown.
        let sample = latency.max(1) as f32;
        let kept = self.decay(now, tau);
        let average = self.value * kept + sample * (1.0 - kept);
        Self { value: average.max(sample), tick: if self.elapsed(now) == 0 && self.value > 0.0 { self.tick } else { tick(now) } }
    }

    /// The average as of `now`, at least 1; 0 if there was no sample.
    pub fn at(self, now: Nanos, tau: Duration) -> Nanos {
        if self.value == 0.0 {
            return 0;
        }
        ((self.value * self.decay(now, tau)) as Nanos).max(1)
    }

    /// For storage in an `AtomicU64`; 0 is [`Ewma::UNKNOWN`].
    pub fn to_bits(self) -> u64 {
        u64::from(self.value.to_bits()) << 32 | u64::from(self.tick)
    }

    /// The inverse of [`Ewma::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self { value: f32::from_bits((bits >> 32) as u32), tick: bits as u32 }
    }

    fn decay(self, now: Nanos, tau: Duration) -> f32 {
        let ticks_of_tau = (tau.as_secs_f32() * 1e9 / (1u64 << 20) as f32).max(f32::MIN_POSITIVE);
        (-(self.elapsed(now) as f32) / ticks_of_tau).exp()
    }

    /// Ticks since the last touch; none if `now` lies before it, as it may between two workers.
    fn elapsed(self, now: Nanos) -> u32 {
        let ticks = tick(now).wrapping_sub(self.tick);
        if ticks > u32::MAX / 2 { 0 } else { ticks }
    }
}

fn tick(now: Nanos) -> u32 {
    (now >> 20) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const TAU: Duration = Ewma::TAU;

    /// An average fed 100 times a second.
    fn fed(mut ewma: Ewma, from: Nanos, to: Nanos, latency: Nanos) -> Ewma {
        for now in (from..to).step_by(10 * MS as usize) {
            ewma = ewma.observe(latency, now, TAU);
        }
        ewma
    }

    #[test]
    fn a_peak_is_taken_at_once_and_forgotten_slowly() {
        let calm = fed(Ewma::UNKNOWN, 0, 60_000 * MS, 5 * MS);
        assert!(calm.at(60_000 * MS, TAU).abs_diff(5 * MS) < MS / 10);
        let peak = calm.observe(500 * MS, 60_000 * MS, TAU);
        assert!(peak.at(60_000 * MS, TAU).abs_diff(500 * MS) < MS);
        // After one time constant 1/e of the distance is left: 5 + 495/e = 187 ms.
        let later = fed(peak, 60_000 * MS, 70_000 * MS, 5 * MS);
        assert!(later.at(70_000 * MS, TAU).abs_diff(187 * MS) < 5 * MS, "{later:?}");
    }

    #[test]
    fn an_average_nobody_feeds_falls_towards_zero_but_stays_known() {
        let slow = Ewma::UNKNOWN.observe(1000 * MS, 0, TAU);
        assert!(slow.at(10_000 * MS, TAU).abs_diff(368 * MS) < 2 * MS);
        assert_eq!(slow.at(3_600_000 * MS, TAU), 1);
        assert_eq!(Ewma::UNKNOWN.at(5, TAU), 0);
    }

    #[test]
    fn an_average_goes_through_bits_unchanged() {
        let ewma = Ewma::UNKNOWN.observe(123_456, 987 * MS, TAU);
        assert_eq!(Ewma::from_bits(ewma.to_bits()), ewma);
        assert_eq!(Ewma::from_bits(0), Ewma::UNKNOWN);
    }

    #[test]
    fn time_that_steps_back_between_workers_or_wraps_does_no_harm() {
        let ewma = Ewma::UNKNOWN.observe(7 * MS, 1000 * MS, TAU).observe(5 * MS, 990 * MS, TAU);
        assert!(ewma.at(980 * MS, TAU).abs_diff(7 * MS) < 1000);
        // The tick wraps at 2^52 ns.
        let before = Ewma::UNKNOWN.observe(100 * MS, (1 << 52) - 5000 * MS, TAU);
        assert!(before.at((1 << 52) + 5000 * MS, TAU).abs_diff(37 * MS) < MS);
    }

    #[test]
    fn many_samples_within_a_tick_are_as_good_as_one() {
        let mut ewma = Ewma::UNKNOWN.observe(50 * MS, 0, TAU);
        for k in 0..1_000_000 {
            ewma = ewma.observe(10 * MS, k * 10_000, TAU);
        }
        assert!(ewma.at(10_000 * MS, TAU).abs_diff(24_700_000) < MS, "{ewma:?}");
    }
}

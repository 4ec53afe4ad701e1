//! Random waits that are the same on every machine.

/// An exponential variate of mean 1.
///
/// By von Neumann's method of 1951, which needs comparisons only: a logarithm differs in its last bit between libraries, and a bit is
/// enough to make another run of it.
pub(super) fn exponential(rng: &mut fastrand::Rng) -> f64 {
    let mut whole = 0.0;
    loop {
        let first = rng.f64();
        let (mut last, mut is_odd) = (first, true);
        loop {
            let next = rng.f64();
            if next >= last {
                break;
            }
            (last, is_odd) = (next, !is_odd);
        }
        if is_odd {
            return whole + first;
        }
        whole += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_are_exponential() {
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: Vec<f64> = (0..100_000).map(|_| exponential(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let above = |x: f64| drawn.iter().filter(|&&it| it > x).count() as f64 / 1e5;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        for x in [0.5, 1.0, 2.0, 4.0_f64] {
            assert!((above(x) - (-x).exp()).abs() < 0.006, "{x}: {}", above(x));
        }
    }
}

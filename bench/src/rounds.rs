//! Measuring in turn: what the machine does meanwhile hits every system alike.

use crate::Result;

/// Measures each label once a round and returns its counted values. The first round warms up and is thrown away;
/// each round begins with another label, so that none always follows the same neighbour.
pub(crate) fn interleaved(rounds: u32, labels: &[String], mut measure: impl FnMut(usize) -> Result<f64>) -> Result<Vec<Vec<f64>>> {
    let mut values = vec![Vec::new(); labels.len()];
    for round in 0..=rounds as usize {
        for step in 0..labels.len() {
            let at = (round + step) % labels.len();
            let value = measure(at).map_err(|fault| format!("{}: {fault}", labels[at]))?;
            eprintln!("  round {round}/{rounds}  {:<24} {value:.2}", labels[at]);
            if round > 0 {
                values[at].push(value);
            }
        }
    }
    Ok(values)
}

/// The middle value; of an even count the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_round_is_not_counted_and_the_order_turns() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let mut order = Vec::new();
        let values = interleaved(2, &labels, |at| {
            order.push(at);
            Ok(order.len() as f64)
        });
        assert_eq!(values.expect("no fault"), [[4.0, 5.0], [3.0, 6.0]]);
        assert_eq!(order, [0, 1, 1, 0, 0, 1]);
    }

    #[test]
    fn the_median_ignores_one_wild_round() {
        assert_eq!(median(&[3.0, 900.0, 4.0]), 4.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert!(median(&[]).is_nan());
    }
}

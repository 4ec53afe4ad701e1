//! A second attempt beside a slow first one.

use std::time::Duration;

/// How long the first attempt has alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// So long.
    After(Duration),
    /// As long as that share of the route's attempts takes, live. Unit: a thousandth; 950 is p95.
    Percentile(u16),
}

//! Parameter types of retries.

use std::ops::RangeInclusive;

/// When a failed attempt is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts after the first.
    pub attempts: u8,
    /// After which failures.
    pub on: Conditions,
    /// How many retries at most, in proportion to traffic.
    pub budget: BudgetParams,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: Conditions::default(),
            budget: BudgetParams::default(),
        }
    }
}

/// After which failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// No connection.
    pub connect: bool,
    /// The connection broke before an answer.
    pub reset: bool,
    /// No answer in time.
    pub timeout: bool,
    /// An answer with one of these statuses.
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            connect: true,
            reset: true,
            timeout: false,
            statuses: Vec::new(),
        }
    }
}

/// How many retries at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetParams {
    /// Percent of the exchanges.
    pub percent: u32,
    /// And this many each second whatever the traffic.
    pub per_second: u32,
}

impl Default for BudgetParams {
    fn default() -> Self {
        Self {
            percent: 20,
            per_second: 10,
        }
    }
}

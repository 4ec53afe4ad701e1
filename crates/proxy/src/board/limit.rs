//! What limits have done, by route, kept over reloads.

use crate::stats::Count;

/// What the limits of one route have done, whatever configuration is in force.
#[derive(Debug)]
pub struct LimitState {
    /// The route's name.
    pub route: String,
    pub(crate) cells: Box<[LimitCells]>,
}

/// One worker's cells of one route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct LimitCells {
    pub(crate) passed: Count,
    pub(crate) delayed: Count,
    pub(crate) refused: Count,
    pub(crate) spared: Count,
    pub(crate) crowded: Count,
    pub(crate) crowded_spared: Count,
    pub(crate) shared: Count,
    pub(crate) alone: Count,
}

/// The sums of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitTotals {
    /// Requests that all rate limits of the route let pass, the delayed ones included.
    pub passed: u64,
    /// Of these, held back until they fitted.
    pub delayed: u64,
    /// Requests refused by a rate limit.
    pub refused: u64,
    /// Requests that a rate limit with `dry_run` would have refused.
    pub would_refuse: u64,
    /// Requests refused by a limit of concurrent exchanges.
    pub crowded: u64,
    /// Requests that such a limit with `dry_run` would have refused.
    pub would_be_crowded: u64,
    /// Requests counted in the shared store.
    pub shared: u64,
    /// Requests that should have been, and were counted here because the store did not answer.
    pub alone: u64,
}

impl LimitState {
    pub(super) fn new(route: &str, workers: usize) -> Self {
        Self { route: route.to_owned(), cells: (0..workers).map(|_| LimitCells::default()).collect() }
    }

    /// What happened.
    pub fn totals(&self) -> LimitTotals {
        let sum = |of: fn(&LimitCells) -> &Count| self.cells.iter().map(|cells| of(cells).get()).sum();
        LimitTotals {
            passed: sum(|cells| &cells.passed),
            delayed: sum(|cells| &cells.delayed),
            refused: sum(|cells| &cells.refused),
            would_refuse: sum(|cells| &cells.spared),
            crowded: sum(|cells| &cells.crowded),
            would_be_crowded: sum(|cells| &cells.crowded_spared),
            shared: sum(|cells| &cells.shared),
            alone: sum(|cells| &cells.alone),
        }
    }
}

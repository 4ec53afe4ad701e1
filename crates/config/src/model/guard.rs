//! What a pool does about backends that fail.

use std::time::Duration;

use policy::{breaker, outlier};

/// What a pool does about backends that fail, beside its health checks and retries.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// When exchanges that fail take a backend out; `None`: they don't. Default: five failures in a row.
    pub passive: Option<outlier::Params>,
    /// When nothing more is sent; `None` without a breaker.
    pub breaker: Option<Breaker>,
    /// The share of healthy backends below which their health is ignored. Default: 0, never. Unit: fraction.
    pub fail_open_below: f64,
    /// In which time a backend that came back gets from a tenth of its share to all of it. Default: 0, at once.
    pub slow_start: Duration,
}

/// A circuit breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// What opens and closes it.
    pub params: breaker::Params,
    /// What it opens for.
    pub scope: Scope,
}

/// What a breaker opens for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Each backend has its own; the others go on.
    #[default]
    Backend,
    /// The pool has one.
    Pool,
}

//! Decisions, and nothing else: which backend, which route, whether to retry, whether a backend is up.
//!
//! Everything here is a function of its arguments. There is no socket, no clock, no ambient randomness and no log in this
//! crate; the time comes in as [`Nanos`], the dice as `&mut fastrand::Rng`. That is what lets the same code be
//! property-tested, simulated over hours in milliseconds, and run by many workers that must agree.

pub mod auth;
pub mod balance;
pub mod breaker;
pub mod expression;
pub mod health;
mod key;
pub mod limit;
pub mod measure;
mod networks;
pub mod outlier;
pub mod queue;
pub mod retry;
mod rewrite;
pub mod route;
pub mod split;
pub mod sticky;

pub use key::Key;
pub use networks::Networks;
pub use rewrite::Rewrite;

/// A moment: nanoseconds since an arbitrary start that all callers of one process share. Monotonic.
///
/// Also used for spans of time between two such moments. 64 bits last for 584 years.
pub type Nanos = u64;

/// A `Duration` as [`Nanos`], saturating.
pub(crate) fn nanos(d: std::time::Duration) -> Nanos {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

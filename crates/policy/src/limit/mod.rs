//! Limits: how often, and how many at one time, for each key.
//!
//! Both kinds keep a word for each key in a table that all workers share: a rate the moment at which the key owes nothing any more, a
//! count the number that runs now. Neither word means anything once it has run out, so tables forget without harm.
//!
//! [`Adaptive`] is of another kind: one limit for a whole pool, which finds itself.

mod adaptive;
mod concurrent;
mod rate;
mod table;

pub use adaptive::{Adaptive, Params, Running};
pub use concurrent::{Claim, Counts};
pub use rate::{Account, Rates, Terms, Verdict};

/// One key of one limit. `limit` tells limits apart that count by the same part of a request.
pub fn key(limit: u64, part: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&limit.to_le_bytes());
    bytes[8..].copy_from_slice(&part.to_le_bytes());
    crate::balance::hash_key(&bytes)
}

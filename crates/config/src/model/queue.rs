//! The line before a pool that is full.

use policy::Key;
use policy::queue::Terms;

/// How exchanges wait while every backend is at its `max_connections`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many, how long, in which order.
    pub terms: Terms,
    /// Whose turn it is by; `None` is one line for all.
    pub key: Option<Key>,
    /// Where a request says how urgent it is, by a digit; `None` is all alike.
    pub priority: Option<Key>,
}

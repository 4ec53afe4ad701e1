//! The part of a request by which exchanges are hashed, counted, queued or split.

use std::sync::Arc;

use crate::expression::Expression;

/// The part of a request that is hashed, or counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The client's address, without its port.
    ClientIp,
    /// A request header, by name.
    Header(String),
    /// A cookie, by name.
    Cookie(String),
    /// A parameter of the query, by name.
    Query(String),
    /// The path.
    Path,
    /// The host asked for.
    Host,
    /// The route that matched.
    Route,
    /// What an expression over the request yields; no part where it has no value.
    Expression(Arc<Expression>),
}

//! Sticky sessions.

use std::time::Duration;

use policy::Key;

use super::Secret;

/// How a client stays with its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// It carries a cookie.
    Cookie(StickyCookie),
    /// It is remembered in a table.
    Table {
        /// What clients are told apart by.
        key: Key,
        /// How many of them. Default: 65,536.
        sessions: usize,
        /// How long one may stay away. Default: 1 hour.
        ttl: Duration,
    },
}

/// The cookie that tells a client's backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Default: `evenkeel`.
    pub name: String,
    /// `Max-Age`; `None` lasts until the browser closes.
    pub ttl: Option<Duration>,
    /// The first seals, all open; where there is none, the process makes one.
    pub keys: Vec<Secret>,
    /// `None` where the client came by TLS.
    pub secure: Option<bool>,
    /// Default: true.
    pub http_only: bool,
    /// `lax`, `strict` or `none`. Default: `lax`.
    pub same_site: &'static str,
    /// `None` is the host asked for.
    pub domain: Option<String>,
    /// Default: `/`.
    pub path: String,
}

//! How often and how many at one time, and where that is counted.

use std::time::Duration;

use policy::Key;

use super::{Address, Secret};

/// How often, for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// So many in `per`. At least 1.
    pub count: u32,
    /// A second, a minute or an hour.
    pub per: Duration,
    /// How many may come early. Default: 0; then one at a time passes.
    pub burst: u32,
    /// What is counted by. Default: the client's address.
    pub key: Key,
    /// How long a request beyond the burst is held back until it fits. Default: 0, none is.
    pub delay: Duration,
    /// Nothing is refused. Default: false.
    pub dry_run: bool,
    /// What a refused request gets. Default: 429.
    pub status: u16,
    /// Whether answers say how the client stands. Default: true.
    pub headers: bool,
    /// Counted in Redis, together with other processes. Default: false. Only with [`super::Config::redis`].
    pub shared: bool,
}

/// How many at one time, for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrency {
    /// Most exchanges of a key at one time. At least 1.
    pub limit: u32,
    /// What is counted by. Default: the client's address.
    pub key: Key,
    /// What a refused request gets. Default: 429.
    pub status: u16,
    /// Nothing is refused. Default: false.
    pub dry_run: bool,
}

/// The Redis in which shared limits are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// Where it is.
    pub address: Address,
    /// The ACL user; `None` is the default one.
    pub username: Option<String>,
    /// Sent on each connection.
    pub password: Option<Secret>,
    /// Default: 0.
    pub database: u16,
    /// How long a request waits for it. Default: 20 ms; then the limit is held locally (F17).
    pub timeout: Duration,
    /// What its keys begin with. Default: `evenkeel:`.
    pub prefix: String,
}

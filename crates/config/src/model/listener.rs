//! Listeners and their limits.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::Template;

/// Where clients are listened for, and what they may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The key under `[listener]`; `main` in the short form.
    pub name: String,
    /// At least one; no address twice in a configuration. `":80"` yields `0.0.0.0:80` and `[::]:80`.
    pub listen: Vec<SocketAddr>,
    /// Whose forwarding headers are believed. Default: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// Sizes above which a request is refused.
    pub limits: Limits,
    /// Times after which a client is given up.
    pub timeout: ListenerTimeouts,
    /// Where every client is sent; then no route is looked for.
    pub redirect: Option<Template>,
    /// Field names with `_` are kept instead of dropped. Default: false.
    pub underscores: bool,
    /// `%2F` in a path is kept instead of refused. Default: false.
    pub keep_encoded_slash: bool,
    /// Most connections at one time; `None` leaves the limit to the file descriptors of the process.
    pub max_connections: Option<NonZeroU32>,
    /// Most connections of one address at one time; `None` is without limit. Trusted proxies are not counted.
    pub max_connections_per_ip: Option<NonZeroU32>,
}

/// Sizes above which a request is refused (safety row A12). Unit: bytes, but for `fields`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request target. Default: 8 KiB. Over it: 414.
    pub target: usize,
    /// One header line. Default: 8 KiB. Over it: 431.
    pub line: usize,
    /// The whole head. Default: 64 KiB. Over it: 431.
    pub head: usize,
    /// Number of header fields. Default: 128. Over it: 431.
    pub fields: usize,
    /// Request body; `None`, the default, is unlimited. Over it: 413.
    pub body: Option<u64>,
}

/// Times after which a client is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the first byte of a request to the end of its head. Default: 10 s. Then: 408.
    pub header: Duration,
    /// Between two requests on a connection. Default: 75 s. Then the connection is closed.
    pub idle: Duration,
    /// Between two pieces of a request body, either way. Default: 30 s. Then: 408.
    pub body: Duration,
    /// Slowest pace of a request body once it has run for [`BODY_RATE_AFTER`]. Unit: bytes a second. Default: 256; 0 is any pace.
    pub body_rate: u64,
}

/// How long a request body may run at any pace before [`ListenerTimeouts::body_rate`] is demanded of it.
pub const BODY_RATE_AFTER: Duration = Duration::from_secs(10);

//! Routes and what they do with an exchange.

use std::time::Duration;

use policy::route::Rule;

use super::{Access, Concurrency, Hedge, RateLimit, Shape, Template};

/// Which exchanges, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Route {
    /// As given, or `route-1` for the first in the file and so on; `main` in the short form. No name twice.
    pub name: String,
    /// Which exchanges. The matcher orders rules by how specific they are; ties go by the order of the file.
    pub rule: Rule,
    /// What becomes of them.
    pub action: Action,
    /// How long a backend may take.
    pub timeout: Timeouts,
    /// Changes to the request before it goes upstream.
    pub request_headers: HeaderEdits,
    /// Changes to every answer before it goes downstream, our own included.
    pub response_headers: HeaderEdits,
    /// When a second attempt is made beside a slow first one; `None` is never.
    pub hedge: Option<Hedge>,
    /// How often, for each key. All must allow a request. Default: none.
    pub rate_limits: Vec<RateLimit>,
    /// How many at one time, for each key. All must allow a request. Default: none.
    pub concurrency: Vec<Concurrency>,
    /// Who may use it.
    pub access: Access,
    /// What its requests and answers are made to look like.
    pub shape: Shape,
    /// Whether its exchanges are in the access log. Default: true.
    pub log: bool,
}

/// What becomes of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It goes to a backend of `Config::pools[i]`.
    Pool(usize),
    /// It goes to one of several pools, by their shares.
    Pools {
        /// Positions in `Config::pools` with their shares, 0 to 1000; not all are 0, no pool twice.
        shares: Vec<(usize, u16)>,
        /// What keeps a client with its pool; `None` takes turns.
        cohort: Option<policy::Key>,
    },
    /// It is answered with this, nothing goes upstream.
    Respond {
        /// 200 to 599. Default: 200.
        status: u16,
        /// Empty with 204 and 304.
        body: Vec<u8>,
        /// Default: `text/plain; charset=utf-8`. Not sent when the body is empty.
        content_type: String,
        /// Further fields; never framing, hop-by-hop or `Content-Type`.
        headers: Vec<(String, Template)>,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// The `Location`.
        to: Template,
        /// 301, 302, 303, 307 or 308. Default: 302, which browsers do not keep for ever.
        status: u16,
    },
}

impl Action {
    /// The pools it may go to.
    pub fn pools(&self) -> Vec<usize> {
        match self {
            Self::Pool(pool) => vec![*pool],
            Self::Pools { shares, .. } => shares.iter().map(|(pool, _)| *pool).collect(),
            Self::Respond { .. } | Self::Redirect { .. } => Vec::new(),
        }
    }
}

/// How long a backend may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to a backend. Default: 3 s. Then the next backend, at last 504 `connect_timeout`.
    pub connect: Duration,
    /// From the request's last byte to the end of the answer's head. Default: 30 s. Then: 504 `response_timeout`.
    pub response: Duration,
    /// For the exchange, all attempts included.
    pub total: Total,
    /// Without a byte either way in a body, stream or tunnel. Default: 5 min.
    pub idle: Duration,
}

/// The bound on a whole exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Default: 60 s, or `response` where that is longer. Then: 504 `total_timeout`, or the answer is broken off.
    pub limit: Duration,
    /// The operator wrote it, so it bounds the answer's body too. The default ends with the answer's head: streams may run for days.
    pub whole: bool,
}

/// Changes to header fields, in this order: remove, set, add.
///
/// No name is hop-by-hop or framing, and none is in both `set` and `remove`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// Replaces every field of that name, or adds one. Names as written.
    pub set: Vec<(String, Template)>,
    /// Adds a field whatever is there. Names as written.
    pub add: Vec<(String, Template)>,
    /// Takes every field of that name away. Names in lower case.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

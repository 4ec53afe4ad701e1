//! What the operator meant: the checked configuration that every other part reads.
//!
//! A value of these types is legal and whole: names are resolved to indices, units to `Duration` and bytes, defaults are filled
//! in. Only [`crate::load`], [`crate::parse`] and [`crate::short`] make one from text.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use policy::balance::{Balance, Weight};
use policy::retry::Retry;
use policy::route::Rule;

use crate::report::Fault;

/// One configuration, checked as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; `None` for text and the command line.
    pub source: Option<PathBuf>,
    /// The admin listener; `None` without an `[admin]` table.
    pub admin: Option<Admin>,
    /// Access log and own log.
    pub log: Log,
    /// At least one.
    pub listeners: Vec<Listener>,
    /// In the order of the file. At least one.
    pub routes: Vec<Route>,
    /// In the order of the file.
    pub pools: Vec<Pool>,
    /// Number of workers; `None` is one a core.
    pub workers: Option<NonZeroUsize>,
    /// Longest time for the exchanges that run when the process is told to end. Default: 30 s.
    pub shutdown: Duration,
    /// What is legal but hardly meant, such as a pool nobody uses.
    pub warnings: Vec<Fault>,
}

/// The admin listener: status, metrics and the endpoints that change things.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Default: `127.0.0.1:9900`.
    pub listen: SocketAddr,
    /// What a request that changes things must carry; without one such requests are refused.
    pub token: Option<Secret>,
}

/// A text that must never be shown.
///
/// `Debug` and `Display` print `***`; [`Secret::expose`] is the only way to the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value into custody.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that compares or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is logged, where to and in which form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Where one line for each exchange goes.
    pub access: AccessTo,
    /// The form of such a line.
    pub format: AccessFormat,
    /// How much the process tells about itself on standard error.
    pub level: Level,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessTo {
    /// Nowhere.
    Off,
    /// Standard output.
    #[default]
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// The form of an access log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// The Common Log Format of Apache and nginx.
    Common,
    /// Aligned for the eye.
    Text,
}

/// How much the process tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What stops something from working.
    Error,
    /// And what is likely to.
    Warn,
    /// And what happens: start, reload, health changes.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And each step.
    Trace,
}

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
    /// Field names with `_` are kept instead of dropped. Default: false.
    pub underscores: bool,
    /// `%2F` in a path is kept instead of refused. Default: false.
    pub keep_encoded_slash: bool,
    /// Most connections at one time; `None` leaves the limit to the file descriptors of the process.
    pub max_connections: Option<NonZeroU32>,
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
    /// Whether its exchanges are in the access log. Default: true.
    pub log: bool,
}

/// What becomes of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It goes to a backend of `Config::pools[i]`.
    Pool(usize),
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

/// A text with variables, such as `https://{host}{uri}`.
///
/// Holds no control characters but tabs. `Debug` prints `***` for one that holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    secret: bool,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Verbatim.
    Text(String),
    /// Filled in for each exchange.
    Variable(Variable),
}

impl Template {
    pub(crate) fn new(parts: Vec<Part>, secret: bool) -> Self {
        Self { parts, secret }
    }

    /// The pieces in order; no two texts follow each other.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, if it has no variable.
    pub fn as_text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Must not be shown in logs, metrics, errors or dumps (safety row D9).
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

impl fmt::Display for Template {
    /// As written in the file, or `***` for a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            return f.write_str("***");
        }
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(variable) => write!(f, "{{{}}}", variable.name()),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            return f.write_str("***");
        }
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// What `{name}` in a [`Template`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `{client_ip}`: the right-most address that is not a trusted proxy.
    ClientIp,
    /// `{request_id}`: the `X-Request-Id` of this exchange.
    RequestId,
    /// `{host}`: the host asked for, without the port.
    Host,
    /// `{method}`.
    Method,
    /// `{path}`: normalised, without the query.
    Path,
    /// `{query}`: without `?`, empty if there is none.
    Query,
    /// `{uri}`: path and query as they go upstream.
    Uri,
    /// `{scheme}`: `http` or `https`, as the client used it.
    Scheme,
}

impl Variable {
    /// Every variable.
    pub const ALL: [Self; 8] =
        [Self::ClientIp, Self::RequestId, Self::Host, Self::Method, Self::Path, Self::Query, Self::Uri, Self::Scheme];

    /// The word between the braces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientIp => "client_ip",
            Self::RequestId => "request_id",
            Self::Host => "host",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Uri => "uri",
            Self::Scheme => "scheme",
        }
    }
}

/// A group of backends that serve the same.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The key under `[pool]`; `main` in the short form.
    pub name: String,
    /// At least one; no address twice.
    pub backends: Vec<Backend>,
    /// How exchanges are spread. Default: round robin.
    pub balance: Balance,
    /// How backends are probed. Default: a TCP connection every 5 s.
    pub health: Health,
    /// When a failed attempt is made again.
    pub retry: Retry,
    /// Connections kept for the next attempt.
    pub idle: Idle,
}

/// One server of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Where it listens.
    pub address: Address,
    /// For logs and metrics; its address where there is none.
    pub name: Option<String>,
    /// Its share. Default: 1.
    pub weight: Weight,
    /// Serves only when every other backend is down. Default: false.
    pub backup: bool,
    /// Most exchanges at one time; `None` is without limit.
    pub max_connections: Option<NonZeroU32>,
}

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An address and a port.
    Socket(SocketAddr),
    /// A name, resolved at run time, and a port.
    Name {
        /// Lower case, without a trailing dot.
        host: String,
        /// Never 0.
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// How the backends of a pool are probed.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// What a probe does.
    pub check: Check,
    /// When, and how many results change a state.
    pub params: policy::health::Params,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Opens a connection.
    Tcp,
    /// Sends `GET path`.
    Http {
        /// Begins with `/`.
        path: String,
        /// The `Host` field; `None` is the backend's address.
        host: Option<String>,
        /// Statuses that pass. Default: 200 to 399.
        status: Vec<RangeInclusive<u16>>,
    },
    /// Nothing: every backend counts as up.
    Off,
}

/// Connections to a backend kept for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Most of them for each backend and worker; more are kept only for a second. Default: 128; 0 keeps none.
    pub connections: usize,
    /// How long one is kept. Default: 50 s, under the 60 s after which most backends close.
    pub timeout: Duration,
}

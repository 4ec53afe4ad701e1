//! What the operator meant: the checked configuration that every other part reads.
//!
//! A value of these types is legal and whole: names are resolved to indices, units to `Duration` and bytes, defaults are filled
//! in. Only [`crate::load`], [`crate::parse`] and [`crate::short`] make one from text.

mod access;
mod guard;
mod health;
mod limit;
mod listener;
mod pool;
mod route;
mod shape;
mod sticky;
mod template;
mod test;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use access::*;
pub use guard::*;
pub use health::*;
pub use limit::*;
pub use listener::*;
pub use pool::*;
pub use route::*;
pub use shape::*;
pub use sticky::*;
pub use template::*;
pub use test::*;

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
    /// Where shared limits are counted; `None` without a `[redis]` table.
    pub redis: Option<Redis>,
    /// Requests and what must become of them, in the order of the file.
    pub tests: Vec<Test>,
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

//! How backends are checked, and what their answers must be.

use std::ops::RangeInclusive;
use std::sync::Arc;

use policy::expression::Expression;
use regex::bytes::Regex;

/// How the backends of a pool are probed.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// What a probe does.
    pub check: Check,
    /// Where, if not at the port that serves.
    pub port: Option<u16>,
    /// Over TLS, and who is believed. Default: in the clear.
    pub tls: Option<CheckTls>,
    /// What an answer must be beside its status.
    pub answer: Wanted,
    /// When, and how many results change a state.
    pub params: policy::health::Params,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Opens a connection.
    Tcp,
    /// Sends `GET` and looks at the status.
    Http {
        /// Begins with `/`.
        path: String,
        /// The `Host` field; the backend's address where there is none.
        host: Option<String>,
        /// Statuses that pass. Default: 200 to 399.
        status: Vec<RangeInclusive<u16>>,
    },
    /// Asks by the gRPC health protocol.
    Grpc {
        /// The service asked for; empty is the server as a whole.
        service: String,
        /// The authority; the backend's address where there is none.
        host: Option<String>,
    },
    /// None: every backend is up.
    Off,
}

/// What an answer to an HTTP probe must be beside its status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// A pattern that is found in the body.
    pub body: Option<Pattern>,
    /// What must hold.
    pub expect: Option<Arc<Expression>>,
    /// What holds of a backend that serves, but badly.
    pub degraded: Option<Arc<Expression>>,
}

impl Wanted {
    /// Whether the status alone decides.
    pub fn is_nothing(&self) -> bool {
        self.body.is_none() && self.expect.is_none() && self.degraded.is_none()
    }
}

/// A regular expression. Two are the same if they were written the same.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// TLS of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckTls {
    /// Certificates in PEM that are believed; `None` stands for those of the system.
    pub ca: Option<String>,
    /// Any certificate is believed.
    pub insecure: bool,
    /// The name that the certificate must have; `None` stands for the probe's host.
    pub server_name: Option<String>,
}

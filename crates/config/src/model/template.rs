//! Texts with variables.

use std::borrow::Cow;
use std::fmt;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// `{uri}`: path and query, the path normalised.
    Uri,
    /// `{scheme}`: `http` or `https`, as the client used it.
    Scheme,
    /// `{peer_ip}`: the address the connection comes from.
    PeerIp,
    /// `{header:NAME}`: the first field of that name, given in lower case.
    Header(String),
    /// `{cookie:NAME}`.
    Cookie(String),
    /// `{query:NAME}`: a parameter of the query, as it came.
    Parameter(String),
}

impl Variable {
    /// Every variable that takes no name.
    pub const ALL: [Self; 9] =
        [Self::ClientIp, Self::RequestId, Self::Host, Self::Method, Self::Path, Self::Query, Self::Uri, Self::Scheme, Self::PeerIp];

    /// What stands between the braces.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::ClientIp => "client_ip",
            Self::RequestId => "request_id",
            Self::Host => "host",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Uri => "uri",
            Self::Scheme => "scheme",
            Self::PeerIp => "peer_ip",
            Self::Header(name) => return format!("header:{name}").into(),
            Self::Cookie(name) => return format!("cookie:{name}").into(),
            Self::Parameter(name) => return format!("query:{name}").into(),
        })
    }
}

//! What a route's requests and answers are made to look like.

use std::ops::RangeInclusive;
use std::time::Duration;

use policy::Rewrite;

/// What a route's requests and answers are made to look like.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Another path for the backend.
    pub rewrite: Option<Rewrite>,
    /// Which pages of other sites may read its answers.
    pub cors: Option<Cors>,
    /// Fields for careful browsers.
    pub security: Option<SecurityHeaders>,
    /// Largest request body, where the listener allows as much. Unit: bytes. Over it: 413.
    pub max_body: Option<u64>,
    /// The first that has the status counts.
    pub error_pages: Vec<ErrorPage>,
}

/// Which pages of other sites may read a route's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `None` is everyone's.
    pub origins: Option<Vec<Origin>>,
    /// In capitals.
    pub methods: Vec<String>,
    /// Fields in requests; `None` is those asked for.
    pub headers: Option<Vec<String>>,
    /// Fields of answers for scripts.
    pub expose: Vec<String>,
    /// Cookies may come along. Default: false; never with `origins` of `None`.
    pub credentials: bool,
    /// How long a preflight may be remembered. Default: 10 min.
    pub max_age: Duration,
}

/// Pages of one origin, or of all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This one. In lower case.
    Exact(String),
    /// Any that begins with `start` and ends in `end`, with at least a label between. In lower case.
    Below {
        /// Scheme and `://`.
        start: String,
        /// A dot, the domain, the port if there is one.
        end: String,
    },
}

/// Fields for careful browsers, for answers that do not have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// Names and values.
    pub fields: Vec<(&'static str, String)>,
    /// The value of `Strict-Transport-Security`, for answers over https.
    pub hsts: Option<String>,
    /// `Server` and `X-Powered-By` are taken out. Default: true.
    pub hide: bool,
}

/// A page in place of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// 400 to 599.
    pub status: RangeInclusive<u16>,
    /// Never empty.
    pub body: String,
    /// Default: by the look of the body.
    pub content_type: String,
    /// Also in place of a backend's own answer. Default: false.
    pub upstream: bool,
}

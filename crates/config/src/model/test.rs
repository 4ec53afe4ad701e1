//! Requests written down in the configuration with what must become of them.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::report::{Fault, Severity, Source};

/// One `[[test]]`.
#[derive(Clone, Debug)]
pub struct Test {
    /// As given, or the request.
    pub name: String,
    /// In capitals.
    pub method: String,
    /// Where to.
    pub url: Url,
    /// Fields of the request, names as written.
    pub header: Vec<(String, String)>,
    /// Where the connection comes from. Default: 127.0.0.1.
    pub from: IpAddr,
    /// Default: empty.
    pub body: String,
    /// At least one.
    pub expect: Vec<Expected>,
    pub(crate) place: Place,
}

/// One thing that must become of it.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What.
    pub what: Expect,
    /// Where it stands in the file.
    at: Range<usize>,
}

/// What must become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This pool is asked.
    Pool(String),
    /// This route takes it.
    Route(String),
    /// The client gets this status, where a backend that is asked says 200.
    Status(u16),
    /// This backend of the pool is asked first, by name or address.
    Backend(String),
    /// The client is sent to this place.
    Redirect(String),
    /// It goes upstream with this path and query.
    Path(String),
    /// It is refused for this reason.
    Reason(String),
    /// The answer has this field; `None`: has no such field.
    Header(String, Option<String>),
    /// What goes upstream has this field; `None`: has no such field.
    RequestHeader(String, Option<String>),
}

impl Expected {
    pub(crate) fn new(what: Expect, at: Range<usize>) -> Self {
        Self { what, at }
    }
}

impl Test {
    /// A fault that stands where this was expected.
    pub fn fault(&self, expected: &Expected, message: String, hint: String) -> Fault {
        match &self.place.0 {
            Some(source) => Fault::at(source, Severity::Error, expected.at.clone(), message, Some(hint)),
            None => Fault::without_place("the configuration".to_owned(), message, Some(hint)),
        }
    }
}

/// The text that places point into.
#[derive(Clone, Default)]
pub(crate) struct Place(pub(crate) Option<Arc<Source>>);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// A URL as far as a proxy is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `https`, not `http`.
    pub https: bool,
    /// `host[:port]`, as written.
    pub authority: String,
    /// As written, or what the scheme means.
    pub port: u16,
    /// Path and query, as written; `/` for none.
    pub target: String,
}

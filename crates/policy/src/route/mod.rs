//! Which route a request takes.
//!
//! [`Router::new`] ranks all rules once, the most specific first; a request takes the matching rule of the lowest rank.
//! Rules are found by host and path through hash maps, so that the number of routes hardly matters; only rules of the
//! same host and path are tried one after the other.

mod condition;
mod explain;
mod router;
mod trie;

#[cfg(test)]
mod reference;

use std::net::IpAddr;

use ipnet::IpNet;
use regex::bytes::Regex;

pub use explain::{Tried, Verdict};
pub use router::Router;

/// When a route applies: all of its parts must match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Higher goes first, whatever else. Default: 0.
    pub priority: i32,
    /// The hosts it serves.
    pub host: HostMatch,
    /// The paths it serves.
    pub path: PathMatch,
    /// What else must hold.
    pub conditions: Vec<Condition>,
}

/// The hosts a rule serves; case does not matter, nor does one dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This host.
    Exact(String),
    /// Hosts with one or more labels before this one: `example.com` stands for `*.example.com`.
    Wildcard(String),
}

/// The paths a rule serves; case matters. The path asked for is expected to be normalised.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Every path.
    Any,
    /// By whole segments: `/api` and `/api/` both serve `/api`, `/api/` and `/api/x`, not `/apix`. `/` serves every path.
    Prefix(String),
    /// This path.
    Exact(String),
    /// Paths in which this is found. Takes linear time; ranks among prefixes by the length of its text.
    Regex(Regex),
}

/// What else must hold.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The method is one of these, in their exact spelling.
    Method(Vec<String>),
    /// A header has such a value; of several lines any one will do.
    Header {
        /// In any case.
        name: String,
        /// What its value must be.
        value: ValueMatch,
    },
    /// A cookie has such a value.
    Cookie {
        /// In its exact case.
        name: String,
        /// What its value must be.
        value: ValueMatch,
    },
    /// A parameter of the query has such a value, `%xx` and `+` decoded. (A regular expression sees it as sent.)
    Query {
        /// In its exact case, decoded.
        name: String,
        /// What its value must be.
        value: ValueMatch,
    },
    /// The client's address lies in one of these networks. IPv4 in IPv6 counts as IPv4.
    ClientIp(Vec<IpNet>),
}

/// What a header, cookie or parameter must be like. Case matters.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// There is one, with whatever value.
    Present,
    /// This value.
    Exact(String),
    /// A value that begins so.
    Prefix(String),
    /// A value in which this is found.
    Regex(Regex),
    /// There is none.
    Absent,
}

/// What a rule looks at of a request.
pub trait Input {
    /// The host asked for, in any case, without a port.
    fn host(&self) -> &[u8];
    /// The normalised path, from its slash on.
    fn path(&self) -> &[u8];
    /// The method.
    fn method(&self) -> &[u8];
    /// The query, without its question mark; empty if there is none.
    fn query(&self) -> &[u8];
    /// Whether any line of this header (`lower_name` is in lower case) passes the test.
    fn header(&self, lower_name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
    /// The client's address.
    fn client_ip(&self) -> IpAddr;
}

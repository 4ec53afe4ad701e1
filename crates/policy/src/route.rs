//! Parameter types of the route matcher.

use ipnet::IpNet;

/// Which exchanges a route takes.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Higher wins, whatever else.
    pub priority: i32,
    /// Which host.
    pub host: HostMatch,
    /// Which path.
    pub path: PathMatch,
    /// What else must hold.
    pub conditions: Vec<Condition>,
}

/// Which host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This host, in lower case.
    Exact(String),
    /// Every host below this one.
    Wildcard(String),
}

/// Which path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Every path.
    Any,
    /// This path and those below it, by segments.
    Prefix(String),
    /// This path alone.
    Exact(String),
    /// Paths that match.
    Regex(regex::bytes::Regex),
}

/// A further condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// One of these methods.
    Method(Vec<String>),
    /// A request header.
    Header {
        /// Its name in lower case.
        name: String,
        /// What its value must be.
        value: ValueMatch,
    },
    /// A cookie.
    Cookie {
        /// Its name.
        name: String,
        /// What its value must be.
        value: ValueMatch,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: String,
        /// What its value must be.
        value: ValueMatch,
    },
    /// The client's address lies in one of these networks.
    ClientIp(Vec<IpNet>),
}

/// What a value must be.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Anything, but there.
    Present,
    /// This.
    Exact(String),
    /// Beginning with this.
    Prefix(String),
    /// A match.
    Regex(regex::bytes::Regex),
    /// Not there.
    Absent,
}

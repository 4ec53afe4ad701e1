//! Parameter types of the balancing algorithms.

use std::num::NonZeroU16;

/// How a pool spreads its exchanges over its backends.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Balance {
    /// Each in turn, in proportion to weight.
    #[default]
    RoundRobin,
    /// The fewest exchanges in flight for its weight.
    LeastConnections,
    /// The lowest latency × in-flight for its weight.
    LeastResponseTime,
    /// The less busy of two drawn at random.
    Random,
    /// The same key always to the same backend.
    Hash(Hash),
}

/// Parameters of consistent hashing.
#[derive(Clone, Debug, PartialEq)]
pub struct Hash {
    /// What is hashed.
    pub key: HashKey,
    /// How the hash finds its backend.
    pub method: HashMethod,
    /// No backend takes more than this factor of the mean load.
    pub bounded: Option<f64>,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// The value of a request header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
    /// The path.
    Path,
    /// The host.
    Host,
    /// The route's name.
    Route,
}

/// How a hash finds its backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashMethod {
    /// A lookup table of 65 537 entries.
    #[default]
    Maglev,
    /// A ketama ring.
    Ring,
    /// The highest score of all backends.
    Rendezvous,
}

/// A backend's share: 1 to 1 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU16);

impl Weight {
    /// The weight, if it is from 1 to 1 000.
    pub fn new(weight: u16) -> Option<Self> {
        NonZeroU16::new(weight)
            .filter(|w| w.get() <= 1000)
            .map(Self)
    }

    /// The plain number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(NonZeroU16::MIN)
    }
}

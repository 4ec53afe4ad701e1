//! Pools, backends, and how they are checked.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use policy::balance::{Balance, Weight};
use policy::retry::Retry;

use super::{Guard, Health, Queue, Sticky};

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
    /// What is done about backends that fail.
    pub guard: Guard,
    /// How a client stays with its backend; `None` where it does not.
    pub sticky: Option<Sticky>,
    /// How exchanges wait for a backend with room; `None` where they do not.
    pub queue: Option<Queue>,
    /// The limit of exchanges at one time that finds itself; `None` without one.
    pub adaptive: Option<policy::limit::Params>,
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
    /// Serves only when no backend of a lower tier can. Default: 0. Range: 0 to 9.
    pub tier: u8,
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

/// Connections to a backend kept for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Most of them for each backend and worker; more are kept only for a second. Default: 128; 0 keeps none.
    pub connections: usize,
    /// How long one is kept. Default: 50 s, under the 60 s after which most backends close.
    pub timeout: Duration,
}

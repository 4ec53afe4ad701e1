//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Measures Evenkeel next to nginx, HAProxy and a blind relay, in turn and pinned, and writes a dated result.
#[derive(Parser, Debug)]
#[command(name = "bench", after_help = "Example: cargo run --release -p bench -- --quick --only small,body")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// One-second rounds and small counts: a look, not a figure to quote
    #[arg(long)]
    pub(crate) quick: bool,

    /// Counted rounds of each system, after one warm-up round; the median is quoted [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: Option<u32>,

    /// Length of a counted round [default: 4, or 1 with --quick]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(crate) seconds: Option<u64>,

    /// Scenarios to run, by comma [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(crate) only: Vec<Name>,

    /// The binary to measure, or `none` for peers only [default: target/release/evenkeel, built first]
    #[arg(long, value_name = "PATH")]
    pub(crate) evenkeel: Option<PathBuf>,

    /// Idle connections to hold in `idle` [default: 20000, or 2000 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=200_000))]
    pub(crate) idle: Option<u32>,

    /// Names the result file: results/YYYY-MM-DD-NAME.md [default: local, or quick with --quick]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Parts of the bench that run as processes of their own, so that they can be pinned and measured alone.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// The limit: passes bytes between a client and a backend and looks at none of them
    #[command(after_help = "Example: bench relay 127.0.0.1:8000 127.0.0.1:8001 127.0.0.1:8002")]
    Relay {
        /// Where to listen
        listen: SocketAddr,
        /// Backends, taken in turn, one per client connection
        #[arg(required = true)]
        backends: Vec<SocketAddr>,
    },
    /// Open-loop load at a fixed rate; prints one JSON line with the latencies
    #[command(after_help = "Example: bench pace 127.0.0.1:8000 --rate 5000 --connections 64 --seconds 5")]
    Pace {
        /// Where to send
        target: SocketAddr,
        /// Requests a second
        #[arg(long)]
        rate: u32,
        /// Keep-alive connections
        #[arg(long)]
        connections: usize,
        /// How long
        #[arg(long)]
        seconds: u64,
    },
}

/// A scenario by its name on the command line.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// Keep-alive, 64 connections, browser-like headers, 128-byte answers
    Small,
    /// 1 MiB answers, 16 connections
    Body,
    /// A new connection for each request
    Fresh,
    /// 8 connections over 2 workers: is the work shared
    Few,
    /// 10,000 routes, 1,000 backends, 4,096 connections against 1, 3 and 64
    Growth,
    /// Memory of an idle keep-alive connection
    Idle,
    /// p99 at half load, open loop
    Latency,
    /// Each traffic policy alone, against the plain route
    Policies,
}

impl Args {
    pub(crate) fn wants(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(3)
    }

    pub(crate) fn round(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 1 } else { 4 }))
    }

    pub(crate) fn idle_connections(&self) -> usize {
        self.idle.unwrap_or(if self.quick { 2_000 } else { 20_000 }) as usize
    }

    pub(crate) fn result_name(&self) -> &str {
        self.name.as_deref().unwrap_or(if self.quick { "quick" } else { "local" })
    }
}

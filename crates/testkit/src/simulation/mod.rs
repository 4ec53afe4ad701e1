//! What the decisions of `policy` come to when backends misbehave: a seeded discrete-event simulation of one pool.
//!
//! Nothing is decided here. The algorithms, retries, budgets and health checks are those that the proxy runs; around them stand backends of
//! finite concurrency, a Poisson stream of requests and a clock that jumps from event to event. [`page`] is `docs/simulation.md` with its
//! figure, the same bytes on every run.

mod dice;
mod front;
mod machine;
mod plot;
mod study;
mod tables;
mod world;

use policy::Nanos;

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;

/// The page on simulations, and its figure.
#[derive(Debug)]
pub struct Page {
    /// `docs/simulation.md`.
    pub text: String,
    /// `docs/simulation.svg`.
    pub figure: String,
}

/// Runs every simulation and writes the page. Takes seconds; uses all cores.
pub fn page() -> Page {
    let studies = study::all();
    Page { text: tables::page(&studies), figure: plot::figure(&studies) }
}

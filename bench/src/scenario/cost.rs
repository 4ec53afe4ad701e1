//! CPU time per request: small answers, large answers, a new connection each time.

use super::Run;
use crate::Result;
use crate::backends::Backends;
use crate::child::{BALANCER, LOAD};
use crate::load::Load;
use crate::report::{Outcome, Row};
use crate::rounds::interleaved;
use crate::systems::{Running, Setup, System};

/// 128-byte answers over 64 keep-alive connections.
pub(super) fn small(run: &Run) -> Result<Outcome> {
    let load = Load { connections: 64, path: "/", close: false, script: None, cores: LOAD };
    let mut outcome = measure(run, "small", "Keep-alive, 64 connections, 128-byte answers.", &load, true)?;
    let (best, limit) = (outcome.best_peer(), outcome.of("relay"));
    outcome.judge("evenkeel", best, "the best of nginx and haproxy", 0.75);
    outcome.judge("evenkeel", limit, "relay (the limit)", 1.15);
    Ok(outcome)
}

/// 1 MiB answers over 16 keep-alive connections.
pub(super) fn body(run: &Run) -> Result<Outcome> {
    let load = Load { connections: 16, path: "/1m", close: false, script: None, cores: LOAD };
    let mut outcome = measure(run, "body", "Keep-alive, 16 connections, 1 MiB answers.", &load, true)?;
    let best = outcome.best_peer();
    outcome.judge("evenkeel", best, "the best of nginx and haproxy", 0.65);
    Ok(outcome)
}

/// A new client connection for each request. The relay would dial the backend each time too, so it is no limit here.
pub(super) fn fresh(run: &Run) -> Result<Outcome> {
    let load = Load { connections: 64, path: "/", close: true, script: None, cores: LOAD };
    let mut outcome = measure(run, "fresh", "A new connection for each request, 64 at a time.", &load, false)?;
    let best = outcome.best_peer();
    outcome.judge("evenkeel", best, "the best of nginx and haproxy", 0.9);
    Ok(outcome)
}

fn measure(run: &Run, name: &'static str, about: &str, load: &Load, with_limit: bool) -> Result<Outcome> {
    let backends = Backends::start(3, LOAD, &run.scratch)?;
    let setup = Setup { backends: &backends.addresses, routes: 0, workers: 1, cores: BALANCER, connections: load.connections };
    let mut systems = run.balancers();
    if with_limit {
        systems.push(System::Relay);
    }
    let running = systems.iter().map(|system| system.start(&setup, name, &run.scratch)).collect::<Result<Vec<Running>>>()?;
    let labels: Vec<String> = systems.iter().map(|system| system.name().to_owned()).collect();
    let values = interleaved(run.rounds, &labels, |at| {
        let Running { address, process } = &running[at];
        Ok(load.run(*address, process.pid(), run.round, &backends, &run.scratch)?.cost_us())
    })?;
    let rows = labels.into_iter().zip(values).map(|(label, values)| Row { label, values }).collect();
    Ok(Outcome { name, about: about.to_owned(), unit: "µs of CPU per request", rows, verdicts: Vec::new() })
}

//! Does a request stay as cheap when there is more of everything: routes, backends, connections.

use super::Run;
use crate::Result;
use crate::backends::Backends;
use crate::child::{BALANCER, LOAD};
use crate::load::Load;
use crate::report::{Outcome, Row};
use crate::rounds::interleaved;
use crate::systems::{Running, Setup, System, fill};
use std::path::Path;

const ROUTES: usize = 10_000;
const BACKENDS: usize = 1_000;
const CONNECTIONS: usize = 4_096;

/// A plain set-up and three grown ones of the same system, under the same requests.
pub(super) fn run(run: &Run) -> Result<Outcome> {
    let few = Backends::start(3, LOAD, &run.scratch)?;
    let many = Backends::start(BACKENDS, LOAD, &run.scratch)?;
    let script = run.scratch.file("routes.lua");
    std::fs::write(&script, fill(include_str!("../../configs/routes.lua"), &[("routes", &ROUTES.to_string())]))?;
    let mut rows = Vec::new();
    for system in run.balancers() {
        rows.extend(of_system(run, &system, &few, &many, &script)?);
    }
    let about = format!(
        "1 → {ROUTES} routes, 3 → {BACKENDS} backends, 64 → {CONNECTIONS} connections, each alone. Requests walk over \
         all routes in every case."
    );
    let mut outcome = Outcome { name: "growth", about, unit: "µs of CPU per request", rows, verdicts: Vec::new() };
    let base = outcome.of("evenkeel base");
    for grown in ["evenkeel routes", "evenkeel backends", "evenkeel connections"] {
        outcome.judge(grown, base, "base", 1.1);
    }
    Ok(outcome)
}

struct Case<'a> {
    label: String,
    balancer: &'a Running,
    backends: &'a Backends,
    connections: usize,
}

fn of_system(run: &Run, system: &System, few: &Backends, many: &Backends, script: &Path) -> Result<Vec<Row>> {
    let start = |label: &str, routes: usize, backends: &Backends| {
        let setup = Setup { backends: &backends.addresses, routes, workers: 1, cores: BALANCER, connections: CONNECTIONS };
        system.start(&setup, label, &run.scratch)
    };
    let base = start("base", 0, few)?;
    let routes = start("routes", ROUTES, few)?;
    let backends = start("backends", 0, many)?;
    let case = |label: &str, balancer, backends, connections| Case {
        label: format!("{} {label}", system.name()),
        balancer,
        backends,
        connections,
    };
    let cases = [
        case("base", &base, few, 64),
        case("routes", &routes, few, 64),
        case("backends", &backends, many, 64),
        case("connections", &base, few, CONNECTIONS),
    ];
    let labels: Vec<String> = cases.iter().map(|case| case.label.clone()).collect();
    let values = interleaved(run.rounds, &labels, |at| {
        let Case { balancer, backends, connections, .. } = &cases[at];
        let load = Load { connections: *connections, path: "/", close: false, script: Some(script.to_owned()), cores: LOAD };
        Ok(load.run(balancer.address, balancer.process.pid(), run.round, backends, &run.scratch)?.cost_us())
    })?;
    Ok(labels.into_iter().zip(values).map(|(label, values)| Row { label, values }).collect())
}

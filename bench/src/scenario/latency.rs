//! p99 at half load: the same open-loop rate for every system, half of what the slowest can do.

use super::Run;
use crate::Result;
use crate::backends::Backends;
use crate::child::{BALANCER, Child, LOAD};
use crate::load::Load;
use crate::report::{Outcome, Row};
use crate::rounds::interleaved;
use crate::systems::{Running, Setup, System};
use std::net::SocketAddr;
use std::time::Duration;

const CONNECTIONS: usize = 64;

/// Finds the rate with closed-loop load, then measures at half of it.
pub(super) fn run(run: &Run) -> Result<Outcome> {
    let backends = Backends::start(3, LOAD, &run.scratch)?;
    let setup = Setup { backends: &backends.addresses, routes: 0, workers: 1, cores: BALANCER, connections: CONNECTIONS };
    let mut systems = run.balancers();
    systems.push(System::Relay);
    let running = systems.iter().map(|system| system.start(&setup, "latency", &run.scratch)).collect::<Result<Vec<Running>>>()?;
    let labels: Vec<String> = systems.iter().map(|system| system.name().to_owned()).collect();
    let load = Load { connections: CONNECTIONS, path: "/", close: false, script: None, cores: LOAD };
    let mut slowest = f64::INFINITY;
    for Running { address, process } in &running {
        let window = load.run(*address, process.pid(), run.round, &backends, &run.scratch)?;
        slowest = slowest.min(window.per_second());
    }
    let rate = (slowest / 2.0).max(1.0) as u32;
    eprintln!("  half load: {rate} requests/s");
    let values = interleaved(run.rounds, &labels, |at| p99_us(running[at].address, rate, run))?;
    let rows = labels.into_iter().zip(values).map(|(label, values)| Row { label, values }).collect();
    let about = format!("Open loop, {rate} requests/s over {CONNECTIONS} connections: half of what the slowest can do.");
    let mut outcome = Outcome { name: "latency", about, unit: "p99 in µs", rows, verdicts: Vec::new() };
    let best = outcome.best_peer();
    outcome.judge("evenkeel", best, "the best of nginx and haproxy", 1.0);
    Ok(outcome)
}

fn p99_us(target: SocketAddr, rate: u32, run: &Run) -> Result<f64> {
    let seconds = run.round.as_secs();
    let log = run.scratch.file("pace.log");
    let args = [
        "pace",
        &target.to_string(),
        "--rate",
        &rate.to_string(),
        "--connections",
        &CONNECTIONS.to_string(),
        "--seconds",
        &seconds.to_string(),
    ]
    .map(str::to_owned);
    let mut pace = Child::start("pace", LOAD, &std::env::current_exe()?, &args, &log)?;
    pace.wait(Duration::from_secs(seconds + 10))?;
    let text = std::fs::read_to_string(&log)?;
    let figures: serde_json::Value = serde_json::from_str(text.trim())?;
    match (figures["p99_us"].as_f64(), figures["failed"].as_u64()) {
        (Some(p99), Some(0)) => Ok(p99),
        _ => Err(format!("requests failed: {}", text.trim()).into()),
    }
}

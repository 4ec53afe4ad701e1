//! What an idle connection costs in memory.

use super::Run;
use crate::Result;
use crate::backends::Backends;
use crate::child::{BALANCER, LOAD};
use crate::idle;
use crate::process;
use crate::report::{Outcome, Row};
use crate::systems::Setup;
use std::thread::sleep;
use std::time::Duration;

/// Long enough for buffers to be given back.
const REST: Duration = Duration::from_secs(3);
/// Connections that come and go before the first look, so that what is kept for any load is not counted.
const WARM_UP: usize = 100;

/// PSS before and after, over the number of connections. Memory does not jitter like time: one round.
pub(super) fn run(run: &Run) -> Result<Outcome> {
    // We hold one end of each, a balancer the other.
    let count = run.idle_connections.min(run.open_files.saturating_sub(1_000));
    let backends = Backends::start(3, LOAD, &run.scratch)?;
    let setup = Setup { backends: &backends.addresses, routes: 0, workers: 1, cores: BALANCER, connections: count };
    let mut rows = Vec::new();
    for system in run.balancers() {
        let balancer = system.start(&setup, "idle", &run.scratch)?;
        let pid = balancer.process.pid();
        drop(idle::hold(balancer.address, WARM_UP)?);
        sleep(REST);
        let before = process::memory(pid)?;
        let held = idle::hold(balancer.address, count)?;
        sleep(REST);
        let after = process::memory(pid)?;
        let each = after.saturating_sub(before) as f64 / held.len() as f64 / 1024.0;
        eprintln!("  {:<24} {each:.2}", system.name());
        rows.push(Row { label: system.name().to_owned(), values: vec![each] });
    }
    let mut about = format!("{count} plain keep-alive connections, each after one request and {REST:?} of rest.");
    if count < run.idle_connections {
        about.push_str(&format!(" {} were asked for; the limit of open files is {}.", run.idle_connections, run.open_files));
    }
    eprintln!("  {about}");
    let mut outcome = Outcome { name: "idle", about, unit: "KiB of PSS per connection", rows, verdicts: Vec::new() };
    outcome.judge("evenkeel", Some(1.0), "1 KiB", 1.4);
    Ok(outcome)
}

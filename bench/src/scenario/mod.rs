//! The scenarios: one file for each question the bench answers.

mod cost;
mod few;
mod growth;
mod latency;
mod memory;

use crate::Result;
use crate::args::{Args, Name};
use crate::machine;
use crate::report::{self, Outcome};
use crate::scratch::Scratch;
use crate::systems::{self, System};
use std::time::Duration;

/// What every scenario needs to know.
struct Run {
    scratch: Scratch,
    ours: Option<System>,
    rounds: u32,
    round: Duration,
    idle_connections: usize,
    open_files: usize,
}

impl Run {
    /// Ours and its two peers.
    fn balancers(&self) -> Vec<System> {
        self.ours.iter().cloned().chain([System::Nginx, System::Haproxy]).collect()
    }
}

type Scenario = fn(&Run) -> Result<Outcome>;

/// Runs the scenarios asked for, prints the table and writes the result page.
pub(crate) fn run_all(args: &Args) -> Result<()> {
    machine::check_tools()?;
    let binary = systems::evenkeel(args.evenkeel.as_deref())?;
    let run = Run {
        scratch: Scratch::new()?,
        ours: binary.clone().map(System::Evenkeel),
        rounds: args.rounds(),
        round: args.round(),
        idle_connections: args.idle_connections(),
        open_files: usize::try_from(machine::raise_open_files(300_000))?,
    };
    if run.ours.is_none() {
        eprintln!("without evenkeel: peers and relay only, nothing is judged");
    }
    let scenarios: [(Name, Scenario); 7] = [
        (Name::Small, cost::small),
        (Name::Body, cost::body),
        (Name::Fresh, cost::fresh),
        (Name::Few, few::run),
        (Name::Growth, growth::run),
        (Name::Idle, memory::run),
        (Name::Latency, latency::run),
    ];
    let mut outcomes = Vec::new();
    for (name, scenario) in scenarios.into_iter().filter(|(name, _)| args.wants(*name)) {
        eprintln!("{name:?}");
        outcomes.push(scenario(&run).map_err(|fault| format!("{name:?}: {fault}"))?);
    }
    println!("{}", report::table(&outcomes));
    let command: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("cargo run --release -p bench -- {}", command.join(" "));
    let page = report::write(args.result_name(), command.trim(), &machine::facts(binary.as_deref()), &outcomes)?;
    println!("written: {}", page.display());
    Ok(())
}

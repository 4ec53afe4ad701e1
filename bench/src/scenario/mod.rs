//! The scenarios: one file for each question the bench answers.

mod cost;
mod few;
mod growth;
mod latency;
mod memory;
mod policies;

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
    let scenarios: [(Name, Scenario); 8] = [
        (Name::Small, cost::small),
        (Name::Body, cost::body),
        (Name::Fresh, cost::fresh),
        (Name::Few, few::run),
        (Name::Growth, growth::run),
        (Name::Idle, memory::run),
        (Name::Latency, latency::run),
        (Name::Policies, policies::run),
    ];
    let mut outcomes = Vec::new();
    for (name, scenario) in scenarios.into_iter().filter(|(name, _)| args.wants(*name)) {
        eprintln!("{name:?}");
        outcomes.push(scenario(&run).map_err(|fault| format!("{name:?}: {fault}"))?);
    }
    println!("{}", report::table(&outcomes));
    let page =
        report::write(args.result_name(), &command(std::env::args().skip(1)), &machine::facts(binary.as_deref()), &outcomes)?;
    println!("written: {}", page.display());
    Ok(())
}

/// The command as the result page shows it: folders of this machine are nobody's business.
fn command(args: impl Iterator<Item = String>) -> String {
    let shown = args.map(|arg| match arg.rsplit_once('/') {
        Some((before, file)) => before.split_once('=').map_or(file.to_owned(), |(name, _)| format!("{name}={file}")),
        None => arg,
    });
    ["cargo run --release -p bench --".to_owned()].into_iter().chain(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_on_the_page_holds_no_folder() {
        let args = ["--quick", "--evenkeel", "/home/a/evenkeel", "--evenkeel=/home/a/evenkeel"].map(str::to_owned);
        assert_eq!(command(args.into_iter()), "cargo run --release -p bench -- --quick --evenkeel evenkeel --evenkeel=evenkeel");
    }
}

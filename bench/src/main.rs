//! Side-by-side runs: what a request costs Evenkeel, nginx, HAProxy and a blind relay on this machine.
//!
//! One command measures everything in turn, prints ratios next to their targets and writes a dated page under
//! `bench/results/`. Evenkeel is measured from the outside like its peers; nothing of ours is linked in.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool: its output is its job")]

mod args;
mod backends;
mod child;
mod client;
mod idle;
mod load;
mod machine;
mod pace;
mod poll;
mod process;
mod relay;
mod report;
mod rounds;
mod scenario;
mod scratch;
mod systems;

use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;

/// What any step may fail with: the text is for the person who runs the bench.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::Relay { listen, backends }) => relay::run(*listen, backends),
        Some(Command::Pace { target, rate, connections, seconds }) => pace::run(*target, *rate, *connections, *seconds),
        None => scenario::run_all(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

//! The `evenkeel` binary.

mod backend;
mod boot;
mod check;
mod cli;
mod demo;
mod explain;
mod operate;
mod proxy;
mod reload;
mod run;
mod signals;
mod status;
mod switch;
mod terminal;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}

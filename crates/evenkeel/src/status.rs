//! `evenkeel status`: how the pools and backends of a running process do.

use std::process::ExitCode;

use crate::cli::Status;
use crate::terminal;

pub(crate) fn status(_args: &Status) -> anyhow::Result<ExitCode> {
    terminal::hint("not yet");
    Ok(ExitCode::FAILURE)
}

//! `evenkeel reload`: check here, then ask the running process.

use std::process::ExitCode;

use crate::cli::Reload;
use crate::{check, terminal};

pub(crate) fn reload(args: &Reload) -> anyhow::Result<ExitCode> {
    let _ = check::load(&args.config)?;
    terminal::hint("not yet");
    Ok(ExitCode::FAILURE)
}

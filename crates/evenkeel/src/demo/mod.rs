//! `evenkeel demo`.

use std::process::ExitCode;

use crate::cli::Demo;

pub(crate) fn demo(_args: &Demo) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::FAILURE)
}

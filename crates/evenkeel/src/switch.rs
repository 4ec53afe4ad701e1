//! `evenkeel switch`: blue/green by hand.

use std::process::ExitCode;

use anyhow::bail;
use control::client::{self, ClientError};

use crate::cli::Switch;
use crate::{reload, terminal};

pub(crate) fn switch(args: &Switch) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.config)?;
    let Some(admin) = &config.admin else { bail!("{} has no [admin] table, so there is nobody to ask", args.config.display()) };
    let pool = if args.back { None } else { args.pool.clone() };
    let asked =
        control::Switch { route: args.route.clone(), pool, wait_healthy: args.wait_healthy.then_some(args.timeout.as_secs_f64()) };
    match client::switch(admin.listen, &reload::token(admin)?, &asked) {
        Ok(()) => {
            let done = match &asked.pool {
                Some(pool) => format!("route {} goes to pool {pool}", asked.route),
                None => format!("route {} goes by the file again", asked.route),
            };
            terminal::print_line(&done)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(ClientError::Refused { text, .. }) => bail!("{text}"),
        Err(error) => bail!("{error}"),
    }
}

//! `evenkeel reload`: check here, where the faults can be shown, then ask the running process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use config::model::{Admin, Secret};
use control::client::{self, ClientError};

use crate::cli::Reload;
use crate::{boot, check, terminal};

const UNCHANGED: &str = "the running configuration is unchanged";

pub(crate) fn reload(args: &Reload) -> anyhow::Result<ExitCode> {
    let config = match control::load(&args.config) {
        Ok(config) => config,
        Err(report) => {
            terminal::report(&report);
            terminal::hint(UNCHANGED);
            return Ok(terminal::bad_configuration());
        }
    };
    terminal::warnings(&config);
    let Some(admin) = &config.admin else { return no_admin(&args.config) };
    if let Some(other) = other_file(admin, &args.config) {
        terminal::error(&format!("the process on {} serves {}, not {}", admin.listen, other.display(), args.config.display()));
        terminal::hint(&format!("`evenkeel reload -c {}` reloads it", other.display()));
        return Ok(ExitCode::FAILURE);
    }
    let token = token(admin)?;
    match client::reload(admin.listen, &token) {
        Ok(done) => {
            let took = done.took.as_secs_f64() * 1e3;
            terminal::print_line(&format!(
                "{} is in force after {took:.1} ms: {}",
                args.config.display(),
                check::summary(&config)
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(ClientError::Refused { reason, text, .. }) => {
            terminal::error(&format!("refused by the running process: {text}"));
            terminal::hint(UNCHANGED);
            // What is right here may be wrong there: another file, another user, another directory.
            Ok(if reason == "config_refused" { terminal::bad_configuration() } else { ExitCode::FAILURE })
        }
        Err(error) => bail!("{error}\n{UNCHANGED}"),
    }
}

fn no_admin(file: &Path) -> anyhow::Result<ExitCode> {
    terminal::error(&format!("{} is valid but has no [admin] table, so there is nobody to ask", file.display()));
    terminal::hint("send the process SIGHUP: `kill -HUP PID`; its log says how it went");
    terminal::hint("or add these lines and restart once:\n\n    [admin]\n    listen = \"127.0.0.1:9900\"\n");
    Ok(ExitCode::FAILURE)
}

/// The file that the running process reads, where it is surely not this one: "in force" must not be said of the wrong file.
fn other_file(admin: &Admin, file: &Path) -> Option<PathBuf> {
    let status = client::status(admin.listen, admin.token.as_ref().map(Secret::expose)).ok()?;
    let source = PathBuf::from(status.config.source?);
    // Relative to where that process was started, which a process of another user or machine does not tell.
    let folder = std::fs::read_link(format!("/proc/{}/cwd", status.pid)).ok()?;
    let (theirs, ours) = (folder.join(source).canonicalize().ok()?, file.canonicalize().ok()?);
    (theirs != ours).then_some(theirs)
}

/// The token of the configuration, or the one that the running process left for its user.
pub(crate) fn token(admin: &Admin) -> anyhow::Result<String> {
    if let Some(token) = &admin.token {
        return Ok(token.expose().to_owned());
    }
    let folders = boot::runtime_dirs();
    let found = folders.iter().find_map(|folder| client::token(folder, admin.listen.port()).ok());
    found.with_context(|| {
        let shown: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!(
            "no token for the admin listener on {} in {}\n\
             is evenkeel running, as this user and with this [admin] table? A `token` in [admin] works for every user",
            admin.listen,
            shown.join(" or ")
        )
    })
}

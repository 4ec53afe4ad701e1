//! `evenkeel drain` and `evenkeel weight`: changes to a running process that hold over reloads.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use control::Operated;
use control::client::{self, ClientError};

use crate::cli::{Drain, Weight};
use crate::{reload, terminal};

/// The longest that one question waits; the next is asked then.
const STEP: Duration = Duration::from_secs(5);

pub(crate) fn drain(args: &Drain) -> anyhow::Result<ExitCode> {
    let (address, token) = whom(&args.config, args.admin)?;
    let until = args.wait.map(|wait| Instant::now() + wait);
    let backend = escape(&args.backend);
    loop {
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()).min(STEP));
        let off = if args.off { "&off" } else { "" };
        let path = format!("/drain?backend={backend}{off}&wait={}ms", left.as_millis());
        let done = ask(address, &path, &token)?;
        let is_over = args.off || done.is_idle || until.is_none_or(|until| Instant::now() >= until);
        if !is_over {
            continue;
        }
        for backend in &done.backends {
            let what = match (backend.draining, backend.in_flight) {
                (false, _) => "takes new requests".to_owned(),
                (true, 0) => "is drained: nothing in flight".to_owned(),
                (true, n) => format!("drains: {n} in flight"),
            };
            terminal::print_line(&format!("{} {what}", backend.backend))?;
        }
        return Ok(if args.wait.is_some() && !args.off && !done.is_idle { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
}

pub(crate) fn weight(args: &Weight) -> anyhow::Result<ExitCode> {
    let (address, token) = whom(&args.config, args.admin)?;
    let done = ask(address, &format!("/weight?backend={}&weight={}", escape(&args.backend), args.weight), &token)?;
    for backend in &done.backends {
        terminal::print_line(&format!("{} has weight {}", backend.backend, backend.weight))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(address: SocketAddr, path: &str, token: &str) -> anyhow::Result<Operated> {
    match client::operate(address, path, token) {
        Ok(done) => Ok(done),
        Err(ClientError::Refused { text, .. }) => bail!("{text}"),
        Err(error) => Err(error.into()),
    }
}

/// Whom to ask, and the token for it.
fn whom(file: &Path, admin: Option<SocketAddr>) -> anyhow::Result<(SocketAddr, String)> {
    if let Some(address) = admin {
        return Ok((address, reload::token(&config::model::Admin { listen: address, token: None })?));
    }
    let config = config::load(file)?;
    let Some(admin) = config.admin else {
        bail!("{} has no [admin] table, so there is nobody to ask", file.display());
    };
    Ok((admin.listen, reload::token(&admin)?))
}

/// What would end a parameter or a request line.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:[]".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

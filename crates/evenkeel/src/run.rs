//! `evenkeel run`: serve what the file says, listen to signals, end without breaking anything off.

use std::process::ExitCode;

use config::model::Level;
use control::{Control, Options, ReloadError, Source, StartError};

use crate::cli::Run;
use crate::signals::{Asked, Signals, interrupted};
use crate::{boot, check, terminal};

pub(crate) fn run(args: &Run) -> anyhow::Result<ExitCode> {
    let config = match control::load(&args.config) {
        Ok(config) => config,
        Err(report) => {
            check::refuse(&args.config, &report);
            return Ok(terminal::bad_configuration());
        }
    };
    serve(Source::File(args.config.clone()), config.log.level, args.watch)
}

/// Serves until a signal says to end.
///
/// # Errors
/// When it can't be started.
pub(crate) fn serve(source: Source, level: Level, watch: bool) -> anyhow::Result<ExitCode> {
    boot::log(level);
    boot::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        tracing::info!("evenkeel {} starts as process {}", env!("CARGO_PKG_VERSION"), std::process::id());
        let starting = start(source, watch);
        let control = tokio::select! {
            started = starting => started?,
            signal = signals.end() => {
                tracing::info!("{signal} before the start was complete");
                return Ok(ExitCode::SUCCESS);
            }
        };
        for (_, address) in control.listening() {
            tracing::info!("listening on http://{address}");
        }
        loop {
            match signals.next().await {
                Asked::Reload => {
                    tokio::select! {
                        () = reload(&control) => {}
                        signal = signals.end() => return end(&control, &mut signals, signal).await,
                    }
                }
                Asked::End(signal) => return end(&control, &mut signals, signal).await,
            }
        }
    })
}

/// Starts both planes.
///
/// # Errors
/// A faulty configuration as its report, anything else with what to do about it.
pub(crate) async fn start(source: Source, watch: bool) -> anyhow::Result<Control> {
    let options = Options { source, watch, version: env!("CARGO_PKG_VERSION"), runtime_dir: boot::runtime_dir() };
    Control::start(options).await.map_err(|error| match error {
        StartError::Report(report) => report.into(),
        other => other.into(),
    })
}

/// Reloads; control tells the log how it went, faults with their places included.
async fn reload(control: &Control) {
    tracing::info!("SIGHUP: reloading");
    if let Err(error @ (ReloadError::NoFile | ReloadError::ShuttingDown)) = control.reload().await {
        tracing::error!("not reloaded: {error}");
    }
}

/// Takes nothing new, lets what runs end, and exits with 0; a second SIGINT exits at once (safety row F15).
async fn end(control: &Control, signals: &mut Signals, signal: &str) -> anyhow::Result<ExitCode> {
    tracing::info!("{signal}: ending; what runs may end first");
    tokio::select! {
        in_time = control.shutdown() => {
            if in_time {
                tracing::info!("everything has ended, goodbye");
            } else {
                tracing::warn!("the time for it ran out before everything had ended");
            }
            Ok(ExitCode::SUCCESS)
        }
        () = signals.interrupt() => {
            tracing::warn!("SIGINT again: ending at once");
            Ok(interrupted())
        }
    }
}

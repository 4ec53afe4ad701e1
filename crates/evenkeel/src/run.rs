//! `evenkeel run`: serve what the file says, listen to signals, end without breaking anything off.

use std::process::ExitCode;

use crate::cli::Run;
use crate::signals::{Asked, Signals, interrupted};
use crate::standin as control;
use crate::{boot, check, terminal};
use control::{Control, Options, Source};

pub(crate) fn run(args: &Run) -> anyhow::Result<ExitCode> {
    let config = match check::load(&args.config) {
        Ok(config) => config,
        Err(report) => {
            terminal::report(&report);
            if !args.config.exists() {
                check::hint_missing(&args.config);
            }
            return Ok(terminal::bad_configuration());
        }
    };
    terminal::warnings(&config);
    serve(Source::File(args.config.clone()), &config, args.watch)
}

/// Serves until a signal says to end.
///
/// # Errors
/// When it can't be started.
pub(crate) fn serve(source: Source, config: &config::model::Config, watch: bool) -> anyhow::Result<ExitCode> {
    boot::log(config.log.level);
    boot::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let options = Options { source, watch, version: env!("CARGO_PKG_VERSION"), runtime_dir: boot::runtime_dir() };
        let control = tokio::select! {
            started = Control::start(options) => started?,
            signal = signals.end() => {
                tracing::info!("{signal} before the start was complete");
                return Ok(ExitCode::SUCCESS);
            }
        };
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

/// Reloads and tells the outcome, whole reports included.
async fn reload(control: &Control) {
    match control.reload().await {
        Ok(_) => tracing::info!("SIGHUP: reloaded"),
        Err(error) => tracing::error!("SIGHUP: not reloaded, the running configuration is unchanged: {error}"),
    }
}

/// Takes nothing new, lets what runs end, and exits with 0; a second SIGINT exits at once (safety row F15).
async fn end(control: &Control, signals: &mut Signals, signal: &str) -> anyhow::Result<ExitCode> {
    tracing::info!("{signal}: ending; what runs may end first");
    tokio::select! {
        in_time = control.shutdown() => {
            if in_time {
                tracing::info!("everything ended, goodbye");
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

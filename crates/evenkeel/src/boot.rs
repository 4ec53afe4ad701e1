//! What stands before anything runs: the log, the runtime of the control plane, room for descriptors, a place for run-time files.

use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::{env, io};

use config::model::Level;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// Overrides the file's `log.level`.
const LEVEL_VARIABLE: &str = "EVENKEEL_LOG";
/// Overrides where run-time files are.
const RUNTIME_VARIABLE: &str = "EVENKEEL_RUNTIME_DIR";

/// Has the process tell about itself on standard error, one line an event.
pub(crate) fn log(level: Level) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let asked = env::var(LEVEL_VARIABLE).ok().and_then(|asked| EnvFilter::try_new(asked).ok());
    let colour = io::stderr().is_terminal() && crate::terminal::colour();
    let log = tracing_subscriber::fmt()
        .with_env_filter(asked.unwrap_or_else(|| EnvFilter::new(level)))
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(false)
        // What can't be written is lost; the subscriber would complain of it on standard error, and panic when it can't (E7).
        .log_internal_errors(false);
    // There is one already only where a test started two in one process.
    let _ = log.try_init();
}

/// The runtime of the control plane: one thread, the calling one. Workers have their own.
///
/// # Errors
/// When the system refuses a reactor.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Where run-time files such as the admin token are written.
pub(crate) fn runtime_dir() -> PathBuf {
    runtime_dirs().into_iter().next().unwrap_or_else(|| PathBuf::from("."))
}

/// Where such files may have been written, by this user or by root, the likeliest first.
///
/// Never a folder that everyone may write to: what is read from there is trusted.
pub(crate) fn runtime_dirs() -> Vec<PathBuf> {
    if let Some(asked) = env::var_os(RUNTIME_VARIABLE).filter(|asked| !asked.is_empty()) {
        return vec![PathBuf::from(asked)];
    }
    let system = PathBuf::from("/run/evenkeel");
    let session = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(|dir| PathBuf::from(dir).join("evenkeel"));
    let home = env::home_dir().map(|home| home.join(".local/state/evenkeel"));
    if is_root() {
        return vec![system];
    }
    session.into_iter().chain(home).chain([system]).collect()
}

/// Where dice start: another place in each process.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// The owner of a process's own folder is its effective user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

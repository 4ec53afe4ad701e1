//! Processes of the run: pinned, in a process group of their own, and gone when we are.
//!
//! A dropped `Child` ends its whole group. Should the bench itself be killed, the kernel sends the child SIGTERM
//! (`setpriv --pdeathsig`), so ctrl-c, a panic and even SIGKILL leave nothing running. Nothing is ever ended by name.

use crate::Result;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Core of the balancer under measurement.
pub(crate) const BALANCER: &str = "0";
/// Core of the load tool and the backends.
pub(crate) const LOAD: &str = "1";
/// Both, where the balance between two workers is the question.
pub(crate) const BOTH: &str = "0,1";

/// A running process; dropping it ends it.
pub(crate) struct Child {
    process: std::process::Child,
    name: String,
    log: PathBuf,
}

impl Child {
    /// Starts `program` on the given cores; its output goes to `log`.
    pub(crate) fn start(name: &str, cores: &str, program: &Path, args: &[String], log: &Path) -> Result<Child> {
        let out = File::create(log)?;
        let process = command(cores, program, args).stdout(out.try_clone()?).stderr(out).spawn()?;
        Ok(Child { process, name: name.to_owned(), log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Fails with the tail of the log if the process is no longer there.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} ended early ({status}): {}", self.name, tail(&self.log)).into()),
        }
    }

    /// Waits for a process that ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<()> {
        if !self.ended_within(limit) {
            return Err(format!("{} did not end within {limit:?}", self.name).into());
        }
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{} failed ({status}): {}", self.name, tail(&self.log)).into()) }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself: then there is nothing to end.
            let _ = kill_process_group(group, signal);
        }
    }

    fn ended_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            match self.process.try_wait() {
                Ok(None) if Instant::now() < end => sleep(Duration::from_millis(5)),
                Ok(None) => return false,
                _ => return true,
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if !self.ended_within(Duration::from_secs(2)) {
            self.signal(Signal::KILL);
            self.ended_within(Duration::from_secs(2));
        }
    }
}

fn command(cores: &str, program: &Path, args: &[String]) -> Command {
    use std::os::unix::process::CommandExt;
    // Each of these execs the next, so the process id we hold is the program's own.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "taskset", "-c", cores]);
    command.arg(program).args(args).stdin(Stdio::null()).process_group(0);
    command
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let from = text.trim_end().char_indices().rev().nth(600).map_or(0, |(at, _)| at);
    text[from..].trim().to_owned()
}

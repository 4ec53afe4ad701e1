//! wrk, and the window in which its load is measured.

use crate::Result;
use crate::backends::Backends;
use crate::child::Child;
use crate::client::HEADERS;
use crate::machine::tool;
use crate::process;
use crate::scratch::Scratch;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

/// Closed-loop load of one kind.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) path: &'static str,
    /// Ask for a new connection each time.
    pub(crate) close: bool,
    /// A wrk script instead of one path.
    pub(crate) script: Option<PathBuf>,
    pub(crate) cores: &'static str,
}

/// What went through in the counted window.
pub(crate) struct Window {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_ns: u64,
    pub(crate) worker_cpu_ns: Vec<u64>,
}

impl Window {
    pub(crate) fn cost_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.requests as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl Load {
    /// Puts the load on `target` and counts what it costs `pid`, once every connection is open.
    ///
    /// Requests are counted where they arrive, at the backends, so that the opening of connections stays outside the
    /// window. Fails if more than one answer in a thousand was an error.
    pub(crate) fn run(
        &self,
        target: SocketAddr,
        pid: u32,
        length: Duration,
        backends: &Backends,
        scratch: &Scratch,
    ) -> Result<Window> {
        let settle = Duration::from_millis(300 + self.connections as u64 / 4);
        let whole = (settle + length + Duration::from_millis(300)).as_secs_f64().ceil() as u64;
        let log = scratch.file("wrk.log");
        let mut wrk = Child::start("wrk", self.cores, &tool("wrk")?, &self.arguments(target, whole), &log)?;
        sleep(settle);
        let from = Sample::take(pid, backends)?;
        sleep(length);
        let to = Sample::take(pid, backends)?;
        wrk.wait(Duration::from_secs(whole + 10))?;
        check(&std::fs::read_to_string(&log)?)?;
        from.until(&to)
    }

    fn arguments(&self, target: SocketAddr, seconds: u64) -> Vec<String> {
        let mut args = vec!["-t1".to_owned(), format!("-c{}", self.connections), format!("-d{seconds}s")];
        args.extend(["--timeout".to_owned(), "10s".to_owned()]);
        for (name, value) in HEADERS {
            args.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        if self.close {
            args.extend(["-H".to_owned(), "Connection: close".to_owned()]);
        }
        if let Some(script) = &self.script {
            args.extend(["-s".to_owned(), script.display().to_string()]);
        }
        args.push(format!("http://{target}{}", self.path));
        args
    }
}

struct Sample {
    at: std::time::Instant,
    requests: u64,
    cpu_ns: u64,
    worker_cpu_ns: Vec<u64>,
}

impl Sample {
    fn take(pid: u32, backends: &Backends) -> Result<Sample> {
        let requests = backends.requests()?;
        let at = std::time::Instant::now();
        Ok(Sample { at, requests, cpu_ns: process::cpu_ns(pid)?, worker_cpu_ns: process::worker_cpu_ns(pid)? })
    }

    fn until(&self, to: &Sample) -> Result<Window> {
        // The second sample counts itself.
        let requests = to.requests.saturating_sub(self.requests + 1);
        if requests == 0 {
            return Err("no request went through in the counted window".into());
        }
        let worker_cpu_ns = self.worker_cpu_ns.iter().zip(&to.worker_cpu_ns).map(|(a, b)| b.saturating_sub(*a));
        Ok(Window {
            requests,
            seconds: (to.at - self.at).as_secs_f64(),
            cpu_ns: to.cpu_ns.saturating_sub(self.cpu_ns),
            worker_cpu_ns: worker_cpu_ns.collect(),
        })
    }
}

/// Reads wrk's own count of what went wrong.
fn check(report: &str) -> Result<()> {
    let (answered, failed) = outcome(report).ok_or_else(|| format!("wrk said: {}", report.trim()))?;
    if answered == 0 || failed * 1000 > answered {
        return Err(format!("{failed} of {answered} requests failed; wrk said: {}", report.trim()).into());
    }
    Ok(())
}

/// Answers in all, and those that failed on the socket or were no 2xx or 3xx.
fn outcome(report: &str) -> Option<(u64, u64)> {
    let mut answered = None;
    let mut failed = 0;
    for line in report.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            answered = count.parse().ok();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            failed += count.parse::<u64>().ok()?;
        } else if let Some(counts) = line.strip_prefix("Socket errors: ") {
            failed += counts.split([',', ' ']).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Some((answered?, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_wrk_reports_is_counted() {
        let report = "  100 requests in 1.00s, 2MB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n  \
                      Non-2xx or 3xx responses: 5\n";
        assert_eq!(outcome(report), Some((100, 15)));
        assert!(check(report).is_err());
        assert!(check("unable to connect").is_err());
        assert!(check("  100 requests in 1.00s, 2MB read\n").is_ok());
    }
}

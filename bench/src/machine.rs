//! The machine and the tools of a run: what a figure means nothing without.

use crate::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const TOOLS: [(&str, &str); 5] =
    [("nginx", "nginx"), ("haproxy", "haproxy"), ("wrk", "wrk"), ("taskset", "util-linux"), ("setpriv", "util-linux")];

/// The path of a tool. Debian keeps servers in /usr/sbin, which a user's PATH may lack.
pub(crate) fn tool(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{name} is not installed").into())
}

/// Fails with the line that installs what is missing.
pub(crate) fn check_tools() -> Result<()> {
    let mut missing: Vec<&str> = TOOLS.iter().filter(|(name, _)| tool(name).is_err()).map(|(_, package)| *package).collect();
    missing.dedup();
    if !missing.is_empty() {
        let list = missing.join(" ");
        return Err(format!("missing tools; install them with: apt-get install --no-install-recommends {list}").into());
    }
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        return Err("two cores are needed: one for the balancer, one for load and backends".into());
    }
    Ok(())
}

/// Raises the limit of open files for us and all we start, as far as we may, and says how far that was.
pub(crate) fn raise_open_files(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    for maximum in [now.maximum.map(|limit| limit.max(wanted)), now.maximum] {
        if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
            return maximum.unwrap_or(wanted);
        }
    }
    now.current.unwrap_or(wanted)
}

/// One line a fact, for the result page.
pub(crate) fn facts(evenkeel: Option<&Path>) -> Vec<(&'static str, String)> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut facts = vec![
        ("processor", format!("{}, {cores} cores", model.map_or("unknown", |(_, name)| name.trim()))),
        ("kernel", kernel.trim().to_owned()),
        ("nginx", version(tool("nginx"), "-v")),
        ("haproxy", version(tool("haproxy"), "-v")),
        ("wrk", version(tool("wrk"), "-v")),
        ("commit", commit()),
    ];
    if let Some(binary) = evenkeel {
        facts.push(("evenkeel", version(Ok(binary.to_owned()), "--version")));
    }
    facts
}

/// Today (UTC) as YYYY-MM-DD.
pub(crate) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(i64::try_from(seconds / 86_400).unwrap_or(0));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970-01-01 as year, month, day (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// The first line a program says about its version; some say it on stderr, wrk with a failing exit.
fn version(program: Result<PathBuf>, flag: &str) -> String {
    let Ok(output) = program.and_then(|path| Ok(Command::new(path).arg(flag).output()?)) else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}

fn commit() -> String {
    let project = crate::scratch::project();
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(&project).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"]).filter(|text| !text.is_empty());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    head.map_or("unknown".to_owned(), |head| if changed { format!("{head} with changes") } else { head })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_778), (2026, 11, 21));
    }

    #[test]
    fn a_missing_tool_is_named() {
        let fault = tool("no-such-tool-here").expect_err("it does not exist").to_string();
        assert!(fault.contains("no-such-tool-here"));
    }
}

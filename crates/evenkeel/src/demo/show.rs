//! What the demo says: what runs where, what to try, how it goes, how it went.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use policy::measure::Histogram;

use super::fleet::Fleet;
use super::load::Tally;
use crate::cli::Demo;
use crate::terminal::{self, table};

/// What runs where, and three commands to try.
pub(super) fn welcome(args: &Demo, fleet: &Fleet) -> String {
    let mut rows: Vec<Vec<String>> = fleet
        .backends
        .iter()
        .map(|backend| {
            let process = backend.pid().map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            vec![format!("backend {}", backend.name), format!("http://{}", backend.address), format!("process {process}")]
        })
        .collect();
    rows.insert(0, vec!["Evenkeel".to_owned(), format!("http://{}", args.listen), "round robin over the backends".to_owned()]);
    rows.insert(1, vec!["admin".to_owned(), format!("http://{}", args.admin), "/status, /metrics, /healthz, /readyz".to_owned()]);
    let what = table(&["what", "where", ""], &rows);
    if args.chaos {
        return format!("{what}\nA backend is killed every 3 s, under {} requests/s.\n\n", args.rate);
    }
    let own = std::env::args().next().unwrap_or_else(|| "evenkeel".to_owned());
    let (listen, admin) = (host(args.listen), host(args.admin));
    let tries = [
        (format!("curl {listen}/"), "again and again: b1, b2, b3, b1, ..."),
        (format!("curl -X POST -d mydata=123 {listen}/x"), "what reached the backend"),
        (format!("{own} status --admin {admin} --watch"), "how the backends do"),
    ];
    let tries: Vec<Vec<String>> =
        tries.into_iter().map(|(command, shows)| vec![format!("  {command}"), shows.to_owned()]).collect();
    let tries = table(&["Try, in another terminal:", ""], &tries);
    let victim = fleet.backends.first().and_then(super::fleet::Backend::pid).unwrap_or_default();
    format!(
        "{what}\n{tries}\nOr `kill -9 {victim}`: b1 is gone at once and back in 3 s, and no request is lost.\nCtrl-C ends the demo.\n\n"
    )
}

/// As one types it.
fn host(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// Lines of news, and below them, on a terminal, one that is written over and over.
#[derive(Debug)]
pub(super) struct Screen {
    live: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { live: io::stdout().is_terminal() }
    }

    /// A line that stays.
    pub(super) fn news(&self, elapsed: Duration, text: &str) -> anyhow::Result<()> {
        terminal::print(&format!("{}{:5.1} s  {text}\n", self.clear(), elapsed.as_secs_f64()))
    }

    /// The line that is written over.
    pub(super) fn progress(&self, elapsed: Duration, tally: &Tally, fleet: &Fleet) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        let states = fleet.backends.iter().map(|backend| {
            let state = if backend.is_running() { "runs" } else { "DEAD" };
            format!("{} {state}", backend.name)
        });
        let states = states.collect::<Vec<_>>().join("  ");
        let mut out = io::stdout().lock();
        let (seconds, Tally { requests, failed, .. }) = (elapsed.as_secs_f64(), tally);
        write!(out, "{}{seconds:5.1} s  {requests} requests  {failed} failed  {states}", self.clear())?;
        out.flush()
    }

    /// Takes the line away.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        terminal::print(self.clear())
    }

    fn clear(&self) -> &'static str {
        if self.live { "\r\x1b[2K" } else { "" }
    }
}

/// How it went; the last line is the verdict.
pub(super) fn outcome(tally: &Tally, fleet: &Fleet) -> String {
    let good: u64 = tally.answered.values().sum();
    let share = |answered: u64| if good == 0 { "-".to_owned() } else { format!("{:.1} %", answered as f64 * 100.0 / good as f64) };
    let rows: Vec<Vec<String>> = fleet
        .backends
        .iter()
        .map(|backend| {
            let answered = tally.answered.get(&backend.name).copied().unwrap_or_default();
            vec![backend.name.clone(), answered.to_string(), share(answered), backend.kills.to_string()]
        })
        .collect();
    let failures: String = tally.failures.iter().map(|failure| format!("  {failure}\n")).collect();
    // One figure a line and its word before it: easy to read for people and for scripts.
    format!(
        "\n{}\nrequests  {}\nfailed    {}\n{failures}p50       {}\np99       {}\n\n{} requests, {} failed\n",
        table(&["backend", "answered", "share", "killed"], &rows),
        tally.requests,
        tally.failed,
        quantile(&tally.latencies, 0.5),
        quantile(&tally.latencies, 0.99),
        tally.requests,
        tally.failed,
    )
}

fn quantile(latencies: &Histogram, q: f64) -> String {
    latencies.quantile(q).map_or_else(|| "-".to_owned(), |nanos| format!("{:.2} ms", nanos as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_verdict_and_each_word_stands_before_its_figure() {
        let mut tally = Tally { requests: 10, failed: 1, failures: vec!["status 502".to_owned()], ..Tally::default() };
        tally.answered.insert("b1".to_owned(), 9);
        tally.latencies.record(1_000_000);
        let text = outcome(&tally, &Fleet { backends: Vec::new() });
        assert!(text.ends_with("\n10 requests, 1 failed\n"), "{text}");
        assert!(text.contains("failed    1\n  status 502\n"), "{text}");
    }
}

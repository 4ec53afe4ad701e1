//! What each traffic policy costs a request that it lets pass, next to the same route without it.

use super::Run;
use crate::Result;
use crate::backends::Backends;
use crate::child::{BALANCER, Child, LOAD};
use crate::client;
use crate::load::Load;
use crate::report::{Outcome, Row, Verdict};
use crate::rounds::{interleaved, median};
use crate::scratch::free_ports;
use crate::systems::Running;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most that a policy may add to a request, in microseconds.
const MOST_US: f64 = 1.0;
/// The user `bench` with the password `bench`, at bcrypt's least cost: a good answer is remembered, so the hash is not what is measured.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuzhC/M8aT3lFNlRSgWrnQYETvrF83G8W";

/// A policy: what it's called, lines of the route, lines of the pool.
type Policy = (&'static str, &'static str, &'static str);

const POLICIES: &[Policy] = &[
    ("plain", "", ""),
    // The difference of these two is noise.
    ("plain again", "", ""),
    ("without passive", "", "passive = false"),
    ("breaker", "", "breaker = { error_rate = \"50%\" }"),
    ("breaker, latency", "", "breaker = { error_rate = \"50%\", latency = \"1s\" }"),
    ("slow_start", "", "slow_start = \"30s\""),
    ("retry on 5xx", "", "retry = { on = [\"connect\", \"reset\", \"timeout\", \"502-504\"] }"),
    ("hedge", "hedge = \"p95\"", ""),
    ("queue", "", "queue = { length = 1024 }"),
    ("sticky cookie", "", "sticky = { cookie = \"bench\", keys = [\"0123456789abcdef0123456789abcdef\"] }"),
    ("sticky client_ip", "", "sticky = { client_ip = true }"),
    ("adaptive", "", "adaptive_concurrency = true"),
    ("rate_limit client_ip", "rate_limit = { rate = \"10000000/s\", burst = 1000000 }", ""),
    ("rate_limit header", "rate_limit = { rate = \"10000000/s\", burst = 1000000, key = \"header:User-Agent\" }", ""),
    ("rate_limit cel", "rate_limit = { rate = \"10000000/s\", burst = 1000000, key = \"cel:method + host\" }", ""),
    ("concurrency", "concurrency = { limit = 100000 }", ""),
    ("deny 10,000 networks", "deny = [@networks@]", ""),
    ("basic_auth", "basic_auth = { users = { bench = \"@hash@\" } }", ""),
    ("cors", "cors = { origins = [\"https://app.example.com\"] }", ""),
    ("security_headers", "security_headers = true", ""),
    ("rewrite", "rewrite = { add_prefix = \"/v2\" }", ""),
    ("header edits", "request_headers = { set = { X-Tier = \"web\", X-Real-IP = \"{client_ip}\" }, remove = [\"X-Debug\"] }", ""),
    ("error_pages", "error_pages = { \"502-504\" = { body = \"sorry\" } }", ""),
    ("max_body", "max_body = \"1MiB\"", ""),
];

/// Each policy alone in a process of its own, all under the same requests in turn.
pub(super) fn run(run: &Run) -> Result<Outcome> {
    let about = "Keep-alive, 64 connections, 128-byte answers; each policy alone on the same route, in a process of its own.";
    let mut outcome = Outcome {
        name: "policies",
        about: about.to_owned(),
        unit: "µs of CPU per request",
        rows: Vec::new(),
        verdicts: Vec::new(),
    };
    let Some(crate::systems::System::Evenkeel(binary)) = &run.ours else { return Ok(outcome) };
    let backends = Backends::start(3, LOAD, &run.scratch)?;
    let script = run.scratch.file("policies.lua");
    std::fs::write(
        &script,
        "wrk.headers[\"Authorization\"] = \"Basic YmVuY2g6YmVuY2g=\"\nwrk.headers[\"Origin\"] = \"https://app.example.com\"\n",
    )?;
    let load = Load { connections: 64, path: "/", close: false, script: Some(script), cores: LOAD };
    let mut running = Vec::new();
    for policy in POLICIES {
        match start(run, binary, policy, &backends)? {
            Some(started) => running.push((policy.0.to_owned(), started)),
            None => eprintln!("  {}: this binary does not know it", policy.0),
        }
    }
    let labels: Vec<String> = running.iter().map(|(label, _)| label.clone()).collect();
    let values = interleaved(run.rounds, &labels, |at| {
        let (_, Running { address, process }) = &running[at];
        Ok(load.run(*address, process.pid(), run.round, &backends, &run.scratch)?.cost_us())
    })?;
    outcome.rows = labels.into_iter().zip(values).map(|(label, values)| Row { label, values }).collect();
    outcome.verdicts = verdicts(&outcome.rows);
    Ok(outcome)
}

/// What each adds to the plain route of the same round; the median of that, since the machine's moods are those of a round.
fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let Some((plain, others)) = rows.split_first() else { return Vec::new() };
    let added = |row: &Row| -> Vec<f64> { row.values.iter().zip(&plain.values).map(|(with, without)| with - without).collect() };
    let verdict =
        |row: &Row| Verdict { text: format!("{} − plain, µs", row.label), figure: median(&added(row)), target: MOST_US };
    others.iter().map(verdict).collect()
}

/// `None` when the binary refuses the configuration: a policy that it does not have.
fn start(run: &Run, binary: &Path, policy: &Policy, backends: &Backends) -> Result<Option<Running>> {
    let label = format!("policy-{}", policy.0.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)?[0]));
    let file = run.scratch.file(&format!("{label}.toml"));
    std::fs::write(&file, config(address, policy, backends))?;
    if !is_known(binary, &file)? {
        let is_plain = policy.1.is_empty() && policy.2.is_empty();
        return if is_plain { Err(format!("{} refuses a plain route", binary.display()).into()) } else { Ok(None) };
    }
    let args = ["run".to_owned(), "-c".to_owned(), file.display().to_string()];
    let log: PathBuf = run.scratch.file(&format!("{label}.log"));
    let mut process = Child::start(&label, BALANCER, binary, &args, &log)?;
    client::wait_ready(address, || process.check_alive())?;
    Ok(Some(Running { address, process }))
}

fn is_known(binary: &Path, file: &Path) -> Result<bool> {
    Ok(Command::new(binary).arg("check").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

fn config(address: SocketAddr, (_, route, pool): &Policy, backends: &Backends) -> String {
    let list: Vec<String> = backends.addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let route = crate::systems::fill(route, &[("hash", HASH), ("networks", &networks())]);
    format!(
        "workers = 1\n[log]\naccess = \"off\"\n[listener.bench]\nlisten = \"{address}\"\n[[route]]\npool = \"bench\"\n{route}\n\
         [pool.bench]\nbackends = [{}]\n{pool}\n",
        list.join(", ")
    )
}

/// Ten thousand networks that no client of ours is in.
fn networks() -> String {
    let mut out = String::new();
    for i in 0..10_000_u32 {
        let _ = write!(out, "\"{}.{}.{}.0/24\", ", 11 + i / 65_536, i / 256 % 256, i % 256);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_held_against_the_plain_route_of_the_same_round() {
        let row = |label: &str, values: &[f64]| Row { label: label.to_owned(), values: values.to_vec() };
        let verdicts =
            verdicts(&[row("plain", &[10.0, 20.0, 30.0]), row("cheap", &[10.5, 20.5, 90.0]), row("dear", &[12.0, 22.0, 32.0])]);
        let figures: Vec<(f64, bool)> = verdicts.iter().map(|verdict| (verdict.figure, verdict.is_met())).collect();
        assert_eq!(figures, [(0.5, true), (2.0, false)]);
    }

    #[test]
    fn the_networks_are_ten_thousand_different_ones() {
        let text = networks();
        let all: std::collections::BTreeSet<&str> = text.split(", ").filter(|it| !it.is_empty()).collect();
        assert_eq!(all.len(), 10_000);
    }
}

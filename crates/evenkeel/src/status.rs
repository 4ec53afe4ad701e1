//! `evenkeel status`: how the pools and backends of a running process do.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use control::{BackendStatus, LimitStatus, PoolStatus, client};

use crate::cli::Status;
use crate::terminal::{self, counted, table};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) fn status(args: &Status) -> anyhow::Result<ExitCode> {
    let (address, token) = match args.admin {
        Some(address) => (address, None),
        None => match from_file(args)? {
            Some(found) => found,
            None => return Ok(ExitCode::FAILURE),
        },
    };
    loop {
        let status = client::status(address, token.as_deref())?;
        let shown = match (args.json, args.watch) {
            (true, false) => serde_json::to_string_pretty(&status)? + "\n",
            // One object a line, so that a program can tell them apart.
            (true, true) => serde_json::to_string(&status)? + "\n",
            (false, _) => render(&status),
        };
        let clear = if args.watch && !args.json && io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
        terminal::print(&format!("{clear}{shown}"))?;
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(EVERY);
    }
}

/// Where the file says the admin listener is, and the token it gives.
fn from_file(args: &Status) -> anyhow::Result<Option<(SocketAddr, Option<String>)>> {
    let config = config::load(&args.config).inspect_err(|_| {
        terminal::hint("`evenkeel status --admin 127.0.0.1:9900` needs no file");
    })?;
    let Some(admin) = config.admin else {
        terminal::error(&format!("{} has no [admin] table, so there is nobody to ask", args.config.display()));
        terminal::hint("add these lines and restart once:\n\n    [admin]\n    listen = \"127.0.0.1:9900\"\n");
        return Ok(None);
    };
    Ok(Some((admin.listen, admin.token.map(|token| token.expose().to_owned()))))
}

/// A heading for the process, then a table a pool.
fn render(status: &control::Status) -> String {
    let listens: Vec<&str> = status.listeners.iter().map(|listener| listener.address.as_deref().unwrap_or("(not open)")).collect();
    let mut out = format!(
        "evenkeel {}, process {}, up {}, {:?}\nlistening on {}\nconfiguration {} of {}, {}\n{} open, {} requests, {} answered 5xx\n",
        status.version,
        status.pid,
        span(status.uptime_seconds),
        status.phase,
        listens.join(", "),
        status.config.source.as_deref().unwrap_or("from the command line"),
        status.config.loaded_at,
        counted(usize::try_from(status.config.reloads).unwrap_or(usize::MAX), "reload"),
        counted(usize::try_from(status.connections.open).unwrap_or(usize::MAX), "connection"),
        status.totals.exchanges,
        status.totals.answers.c5,
    );
    if let Some(fault) = &status.config.last_reload_error {
        out.push_str(&format!("\nthe last reload was refused at {}:\n{}\n", fault.at, fault.message));
    }
    for issuer in &status.issuers {
        out.push_str(&format!("\nissuer {}: {}", issuer.url, counted(issuer.keys, "key")));
        out.push_str(&issuer.fault.as_ref().map(|why| format!(", not fetched again: {why}")).unwrap_or_default());
        out.push('\n');
    }
    for route in &status.routes {
        let shares: Vec<String> = route.pools.iter().map(|(pool, weight)| format!("{pool} {weight}")).collect();
        let switched = route.switched_to.as_ref().map(|pool| format!(", switched to {pool}")).unwrap_or_default();
        out.push_str(&format!("\nroute {}: {}{switched}\n", route.name, shares.join(", ")));
    }
    for pool in &status.pools {
        out.push_str(&render_pool(pool));
    }
    if !status.limits.is_empty() {
        out.push_str(&render_limits(&status.limits));
    }
    out
}

fn render_limits(limits: &[LimitStatus]) -> String {
    let rows: Vec<Vec<String>> = limits
        .iter()
        .map(|limit| {
            let spared = limit.would_refuse + limit.would_be_crowded;
            let numbers = [limit.passed, limit.delayed, limit.refused, limit.crowded, spared, limit.shared, limit.alone];
            std::iter::once(limit.route.clone()).chain(numbers.map(|n| n.to_string())).collect()
        })
        .collect();
    let heads = ["limits of route", "passed", "delayed", "refused", "crowded", "dry run", "by store", "alone"];
    format!("\n{}", table(&heads, &rows))
}

fn render_pool(pool: &PoolStatus) -> String {
    let up = pool.backends.iter().filter(|backend| backend.health == "up").count();
    let mut out = format!(
        "\npool {}: {up} of {} up, {} in flight, {} requests, {} errors, {} retries, p50 {:.2} ms, p99 {:.2} ms\n",
        pool.name,
        counted(pool.backends.len(), "backend"),
        pool.in_flight,
        pool.exchanges,
        pool.errors,
        pool.retries,
        pool.latency_ms.p50,
        pool.latency_ms.p99,
    );
    if let Some(breaker) = pool.breaker.as_deref().filter(|breaker| *breaker != "closed") {
        out.push_str(&format!("the breaker of the pool is {}\n", breaker.replace('_', "-")));
    }
    if pool.failing_open {
        out.push_str("too few backends are healthy: health is ignored\n");
    }
    let rows: Vec<Vec<String>> = pool.backends.iter().map(row).collect();
    out.push_str(&table(
        &["backend", "address", "health", "weight", "in flight", "requests", "failed", "5xx", "latency", "last check"],
        &rows,
    ));
    if pool.hedges > 0 {
        out.push_str(&format!("hedges: {} second attempts, {} of them won\n", pool.hedges, pool.hedges_won));
    }
    if let Some(queue) = pool.queue.as_ref().filter(|queue| queue.waited > 0) {
        out.push_str(&format!(
            "queue: {} of {} wait, {} have waited {:.2} ms on average\n",
            queue.waiting, queue.length, queue.waited, queue.mean_wait_ms
        ));
    }
    if let Some(limit) = &pool.adaptive {
        out.push_str(&format!(
            "adaptive limit: {} of {} at one time, {} refused, unhurried latency {:.2} ms\n",
            limit.in_flight, limit.limit, limit.refused, limit.base_ms
        ));
    }
    if let Some(sticky) = &pool.sticky {
        let remembered = sticky.remembered.map_or_else(String::new, |n| format!(", {n} remembered"));
        out.push_str(&format!("sessions: {} kept, {} begun, {} moved{remembered}\n", sticky.kept, sticky.begun, sticky.moved));
    }
    for (name, why) in &pool.unresolved {
        out.push_str(&format!("{name} has no address: {}\n", why.as_deref().unwrap_or("not resolved yet")));
    }
    for (name, why) in &pool.stale_names {
        out.push_str(&format!("{name} keeps its last addresses: {why}\n"));
    }
    out
}

fn row(backend: &BackendStatus) -> Vec<String> {
    vec![
        backend.name.clone(),
        backend.address.clone(),
        health(backend),
        if backend.share_percent < 100 {
            format!("{} ({} %)", backend.weight, backend.share_percent)
        } else {
            backend.weight.to_string()
        },
        backend.in_flight.to_string(),
        backend.attempts.to_string(),
        backend.failures.to_string(),
        backend.answers.c5.to_string(),
        if backend.latency_ms > 0.0 { format!("{:.2} ms", backend.latency_ms) } else { "-".to_owned() },
        if backend.reason.is_empty() { "none".to_owned() } else { backend.reason.clone() },
    ]
}

/// What keeps it from traffic goes before what its checks say.
fn health(backend: &BackendStatus) -> String {
    let breaker = backend.breaker.as_deref();
    let kept_out = [
        (backend.draining, "draining"),
        (backend.held_down, "held down"),
        (breaker == Some("open"), "breaker open"),
        (backend.ejected && backend.health != "down", "ejected"),
        (backend.suspected, "suspected"),
        (breaker == Some("half_open"), "breaker half-open"),
    ];
    let kept_out = kept_out.into_iter().find_map(|(holds, word)| holds.then(|| word.to_owned()));
    let served = if backend.degraded && backend.health == "up" { "degraded" } else { &backend.health };
    let health = kept_out.unwrap_or_else(|| served.to_owned());
    match backend.tier {
        0 => health,
        1 => format!("{health} (backup)"),
        tier => format!("{health} (tier {tier})"),
    }
}

/// "3 d 4 h", "4 h 5 min", "5 min 6 s", "6 s".
fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_two_largest_units() {
        let spans = [0.4, 59.9, 61.0, 3_600.0, 90_061.0].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}

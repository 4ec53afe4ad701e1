//! The same facts for Prometheus, in its text format 0.0.4.

use std::fmt::{self, Write};
use std::sync::Arc;

use policy::Nanos;
use policy::breaker::{Breaker, State};
use policy::measure::value_of;
use proxy::stats::BackendTotals;
use proxy::{Backend, Health, LimitState, Plan, Pool};

use crate::health::{Cause, Facts};
use crate::run::Shared;
use crate::status::{Answers, Phase};
use crate::text;

/// Upper bounds of the latency histogram. Unit: seconds.
const BOUNDS: [f64; 17] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Everything, ready to be sent.
pub(crate) fn render(control: &Shared) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    process(&mut page, control);
    traffic(&mut page, control);
    issuers(&mut page, control);
    if let Some(plan) = control.data.plan() {
        routes(&mut page, &plan);
        pools(&mut page, &plan.pools);
        limits(&mut page, control, &plan.limits);
        backends(&mut page, control, &plan.pools);
    }
    page.0
}

fn process(page: &mut Page, control: &Shared) {
    let facts = control.facts().clone();
    page.gauge("evenkeel_build_info", "The version that runs; always 1.").row(&[("version", control.version)], 1);
    page.gauge("evenkeel_start_time_seconds", "When the process started, in seconds since 1970.")
        .row(&[], text::unix(control.started.1));
    page.gauge("evenkeel_workers", "Number of worker threads.").row(&[], control.data.workers());
    let is_ready = *control.phase.borrow() == Phase::Running;
    page.gauge("evenkeel_ready", "1 while the listeners are open and the process is not draining.").row(&[], u8::from(is_ready));
    page.gauge("evenkeel_config_last_reload_successful", "0 if the last reload was refused.")
        .row(&[], u8::from(facts.last_error.is_none()));
    page.gauge("evenkeel_config_loaded_timestamp_seconds", "When the configuration in force was loaded, in seconds since 1970.")
        .row(&[], text::unix(facts.loaded_at));
    page.counter("evenkeel_config_reloads_total", "Reloads of the configuration, by their result.")
        .row(&[("result", "applied")], facts.reloads)
        .row(&[("result", "refused")], facts.refused);
    page.gauge("evenkeel_stale_names", "Names of backends whose last look-up failed; an older answer is used where there is one.")
        .row(&[], control.names.faults().len());
}

fn traffic(page: &mut Page, control: &Shared) {
    let totals = control.data.totals();
    page.gauge("evenkeel_connections", "Client connections open now.").row(&[], totals.open);
    page.counter("evenkeel_connections_accepted_total", "Client connections accepted.").row(&[], totals.accepted);
    page.counter("evenkeel_connections_handed_on_total", "Client connections given to a less busy worker.")
        .row(&[], totals.handed_on);
    page.counter("evenkeel_accept_pauses_total", "Times accepting paused because descriptors ran out.")
        .row(&[], totals.accept_pauses);
    page.counter("evenkeel_exchanges_total", "Exchanges ended.").row(&[], totals.exchanges);
    let mut answers = page.counter("evenkeel_answers_total", "Exchanges ended, by the class of their status.");
    for (class, n) in Answers::from(totals.answers).classes() {
        answers.row(&[("class", class)], n);
    }
    let mut errors = page.counter("evenkeel_errors_total", "Exchanges that did not end with a backend's answer, by reason.");
    for (reason, n) in &totals.reasons {
        errors.row(&[("reason", reason)], n);
    }
    page.counter("evenkeel_received_bytes_total", "Bytes of request bodies and tunnels read from clients.")
        .row(&[], totals.bytes_in);
    page.counter("evenkeel_sent_bytes_total", "Bytes of answer bodies and tunnels written to clients.").row(&[], totals.bytes_out);
    page.counter("evenkeel_panics_total", "Exchanges ended by a fault of ours.").row(&[], totals.panics);
    page.counter("evenkeel_access_log_lost_lines_total", "Access log lines that could not be written.")
        .row(&[], totals.log_lost + control.log.lost());
}

fn limits(page: &mut Page, control: &Shared, limits: &[Arc<LimitState>]) {
    let board = control.data.board();
    page.gauge("evenkeel_limit_memory_bytes", "Memory of what is known of the keys of all limits.")
        .row(&[], board.rates.bytes() + board.counts.bytes());
    page.counter(
        "evenkeel_limit_forgotten_keys_total",
        "Keys of rate limits forgotten in a flood of keys although they still owed something.",
    )
    .row(&[], board.rates.evicted());
    page.counter(
        "evenkeel_connections_refused_total",
        "Client connections closed at once because their address had as many as it may.",
    )
    .row(&[], control.data.totals().crowded);
    let totals = control.data.totals();
    page.gauge("evenkeel_store_connections", "Workers with a connection to the Redis of shared limits.").row(&[], totals.store_up);
    page.counter("evenkeel_store_failures_total", "Times a connection to Redis failed or did not answer in time.")
        .row(&[], totals.store_failures);
    if limits.is_empty() {
        return;
    }
    let rows: Vec<_> = limits.iter().map(|limit| (limit.route.as_str(), limit.totals())).collect();
    let mut family = page.counter(
        "evenkeel_rate_limit_total",
        "Requests to a route with rate limits, by what these said; `delayed` ones are in `passed` too.",
    );
    for (route, totals) in &rows {
        let results = [
            ("passed", totals.passed),
            ("delayed", totals.delayed),
            ("refused", totals.refused),
            ("would_refuse", totals.would_refuse),
        ];
        results.iter().for_each(|(result, n)| _ = family.row(&[("route", route), ("result", result)], n));
    }
    let mut family = page.counter("evenkeel_rate_limit_shared_total", "Requests under a shared rate limit, by who counted them: the store, or this process alone because the store did not answer.");
    for (route, totals) in &rows {
        family.row(&[("route", route), ("by", "store")], totals.shared).row(&[("route", route), ("by", "alone")], totals.alone);
    }
    let mut family = page.counter("evenkeel_concurrency_limit_total", "Requests beyond a limit of concurrent exchanges.");
    for (route, totals) in &rows {
        family
            .row(&[("route", route), ("result", "refused")], totals.crowded)
            .row(&[("route", route), ("result", "would_refuse")], totals.would_be_crowded);
    }
}

fn issuers(page: &mut Page, control: &Shared) {
    let sets: Vec<_> = control.issuers.sets().into_iter().map(|(url, set)| (url.to_string(), set)).collect();
    let mut family = page.gauge("evenkeel_jwks_keys", "Public keys of an issuer of tokens; 0 until they came for the first time.");
    for (url, set) in &sets {
        family.row(&[("url", url)], set.load().map_or(0, |keys| keys.len()));
    }
    let mut family = page.gauge("evenkeel_jwks_stale", "1 while an issuer's keys could not be fetched the last time.");
    for (url, set) in &sets {
        family.row(&[("url", url)], u8::from(set.fault().is_some()));
    }
}

fn routes(page: &mut Page, plan: &Plan) {
    let shown = || plan.routes().filter(|route| route.pools.len() > 1 || route.switched_to.is_some());
    let mut family = page.gauge("evenkeel_route_pool_share", "Share of a pool in a route with several, or switched to another.");
    for route in shown() {
        let sum: f64 = route.pools.iter().map(|(_, weight)| f64::from(*weight)).sum();
        match &route.switched_to {
            Some(pool) => _ = family.row(&[("route", &route.name), ("pool", pool)], 1),
            None => route.pools.iter().for_each(|(pool, weight)| {
                family.row(&[("route", &route.name), ("pool", pool)], f64::from(*weight) / sum);
            }),
        }
    }
    let mut family = page.gauge("evenkeel_route_switched", "1 while a route goes to another pool than the file says.");
    shown().for_each(|route| _ = family.row(&[("route", &route.name)], u8::from(route.switched_to.is_some())));
}

fn pools(page: &mut Page, pools: &[Arc<Pool>]) {
    let totals: Vec<_> = pools.iter().map(|pool| (pool, [("pool", pool.name.as_str())], pool.totals())).collect();
    let mut family = page.counter("evenkeel_pool_exchanges_total", "Exchanges sent to a pool.");
    totals.iter().for_each(|(_, labels, totals)| _ = family.row(labels, totals.exchanges));
    let mut family = page.counter("evenkeel_pool_errors_total", "Exchanges of a pool answered with an error of ours.");
    totals.iter().for_each(|(_, labels, totals)| _ = family.row(labels, totals.errors));
    let mut family = page.counter("evenkeel_pool_retries_total", "Attempts that a pool made again.");
    totals.iter().for_each(|(_, labels, totals)| _ = family.row(labels, totals.retries));
    let mut family = page.counter("evenkeel_pool_hedges_total", "Second attempts that a pool made beside a slow first one.");
    totals.iter().for_each(|(_, labels, totals)| _ = family.row(labels, totals.hedges));
    let mut family = page.counter("evenkeel_pool_hedges_won_total", "Second attempts that answered before the first.");
    totals.iter().for_each(|(_, labels, totals)| _ = family.row(labels, totals.hedges_won));
    let queues = || totals.iter().filter(|(pool, ..)| pool.queue_length().is_some());
    let mut family = page.gauge("evenkeel_pool_queue_length", "Exchanges that wait for a backend with room.");
    queues().for_each(|(pool, labels, _)| _ = family.row(labels, pool.state.waiting()));
    let mut family = page.counter("evenkeel_pool_queued_total", "Exchanges that had to wait for a backend with room.");
    queues().for_each(|(_, labels, totals)| _ = family.row(labels, totals.queued));
    let mut family = page.counter("evenkeel_pool_queue_wait_seconds_total", "How long exchanges waited for a backend with room.");
    queues().for_each(|(_, labels, totals)| _ = family.row(labels, totals.queue_wait as f64 / 1e9));
    let limits = || totals.iter().filter_map(|(pool, labels, _)| Some((pool.adaptive.as_ref()?, labels)));
    let mut family = page.gauge("evenkeel_pool_adaptive_limit", "Exchanges that a pool may have at one time, as its latency says.");
    limits().for_each(|(limit, labels)| _ = family.row(labels, limit.limit()));
    let mut family = page.gauge("evenkeel_pool_adaptive_in_flight", "Exchanges of a pool that count for its adaptive limit.");
    limits().for_each(|(limit, labels)| _ = family.row(labels, limit.running()));
    let mut family = page.counter("evenkeel_pool_adaptive_refused_total", "Exchanges that a pool's adaptive limit refused.");
    limits().for_each(|(limit, labels)| _ = family.row(labels, limit.refused()));
    let mut family =
        page.counter("evenkeel_pool_sessions_total", "Answers of a sticky pool, by what became of the client's session.");
    for (pool, _, totals) in totals.iter().filter(|(pool, ..)| pool.is_sticky()) {
        for (stay, n) in ["kept", "begun", "moved"].iter().zip(totals.sessions) {
            family.row(&[("pool", &pool.name), ("session", stay)], n);
        }
    }
    let mut family = page.gauge("evenkeel_pool_unresolved_names", "Names of a pool's backends that have no address yet.");
    totals.iter().for_each(|(pool, labels, _)| _ = family.row(labels, pool.unresolved.len()));
    let mut family = page.histogram("evenkeel_pool_latency_seconds", "Time from a request's head to the end of its answer.");
    for (pool, _, totals) in &totals {
        family.buckets(&pool.name, &totals.latency, totals.latency_sum as f64 / 1e9);
    }
}

/// One backend with all that is shown of it.
struct Row<'a> {
    pool: &'a str,
    of: &'a Pool,
    address: String,
    backend: &'a Backend,
    totals: BackendTotals,
    facts: Option<Facts>,
}

fn backends(page: &mut Page, control: &Shared, pools: &[Arc<Pool>]) {
    let all = pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
    let rows: Vec<Row<'_>> = all
        .map(|(pool, backend)| Row {
            pool: &pool.name,
            of: pool,
            address: backend.address.to_string(),
            backend,
            totals: backend.totals(),
            facts: control.checks.facts(&backend.state.identity),
        })
        .collect();
    let now = control.data.now();
    let up = |row: &Row<'_>| f64::from(row.backend.state.health() != Health::Down);
    page.gauge("evenkeel_backend_up", "0 if a backend's health checks say that it is down.").of(&rows, up);
    let held = |row: &Row<'_>| f64::from(row.facts.as_ref().is_some_and(|facts| facts.is_held_down));
    page.gauge("evenkeel_backend_held_down", "1 while a backend passes its checks but is down because it flapped.").of(&rows, held);
    let degraded = |row: &Row<'_>| f64::from(row.backend.state.is_degraded());
    page.gauge("evenkeel_backend_degraded", "1 while a backend's checks find that it serves badly; it keeps half its weight.")
        .of(&rows, degraded);
    let draining = |row: &Row<'_>| f64::from(row.backend.state.is_draining());
    page.gauge("evenkeel_backend_draining", "1 while a backend takes no new exchanges.").of(&rows, draining);
    let weight = |row: &Row<'_>| f64::from(row.backend.weight_now().get());
    page.gauge("evenkeel_backend_weight", "A backend's share.").of(&rows, weight);
    guards(page, &rows, pools, now);
    let in_flight = |row: &Row<'_>| f64::from(row.backend.state.in_flight());
    page.gauge("evenkeel_backend_in_flight", "Attempts that run now at a backend.").of(&rows, in_flight);
    let latency = |row: &Row<'_>| row.backend.state.latency(now) as f64 / 1e9;
    page.gauge("evenkeel_backend_latency_seconds", "Peak moving average of a backend's latency; 0 when nothing is known.")
        .of(&rows, latency);
    page.counter("evenkeel_backend_attempts_total", "Attempts made at a backend.").of(&rows, |row| row.totals.attempts);
    let failures = |row: &Row<'_>| row.totals.failures;
    page.counter("evenkeel_backend_failures_total", "Attempts at a backend that ended without an answer.").of(&rows, failures);
    let stale = |row: &Row<'_>| row.totals.stale;
    page.counter("evenkeel_backend_stale_connections_total", "Kept connections that a backend closed under a request.")
        .of(&rows, stale);
    let mut answers = page.counter("evenkeel_backend_answers_total", "Answers of a backend, by the class of their status.");
    for row in &rows {
        for (class, n) in Answers::from(row.totals.answers).classes() {
            answers.row(&row.labels("class", class), n);
        }
    }
    let mut checks = page.counter("evenkeel_health_checks_total", "Health checks of a backend, by their result.");
    for (row, facts) in rows.iter().filter_map(|row| Some((row, row.facts.as_ref()?))) {
        checks.row(&row.labels("result", "passed"), facts.passed).row(&row.labels("result", "failed"), facts.failed);
    }
    let mut failed = page.counter("evenkeel_health_checks_failed_total", "Health checks of a backend that failed, by their cause.");
    for (row, facts) in rows.iter().filter_map(|row| Some((row, row.facts.as_ref()?))) {
        for (cause, n) in Cause::WORDS.into_iter().zip(facts.causes) {
            failed.row(&row.labels("cause", cause), n);
        }
    }
}

/// What keeps backends out beside their health.
fn guards(page: &mut Page, rows: &[Row<'_>], pools: &[Arc<Pool>], now: Nanos) {
    let share = |row: &Row<'_>| f64::from(row.of.share_of(row.backend, now)) / 100.0;
    page.gauge(
        "evenkeel_backend_share_ratio",
        "What a backend gets of its weight: less than 1 while it is degraded or starts slowly.",
    )
    .of(rows, share);
    let ejected = |row: &Row<'_>| u8::from(row.backend.is_out(now));
    page.gauge("evenkeel_backend_ejected", "1 while a backend is kept out because exchanges with it failed.").of(rows, ejected);
    let ejections = |row: &Row<'_>| row.backend.state.outlier().ejections();
    page.counter("evenkeel_backend_ejections_total", "Times a backend was ejected because exchanges with it failed.")
        .of(rows, ejections);
    let level = |breaker: &Breaker| match breaker.state(now) {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open => 2,
    };
    let guarded = || rows.iter().filter(|row| row.of.backend_breaker().is_some());
    let whole = || pools.iter().filter(|pool| pool.pool_breaker().is_some());
    let mut states = page
        .gauge("evenkeel_breaker_state", "0 while a breaker is closed, 1 half-open, 2 open. Without a backend it is the pool's.");
    guarded().for_each(|row| _ = states.row(&row.labels("", "")[..3], level(row.backend.state.breaker())));
    whole().for_each(|pool| _ = states.row(&[("pool", &pool.name)], level(pool.state.breaker())));
    let mut opened = page.counter("evenkeel_breaker_opened_total", "Times a breaker has opened.");
    guarded().for_each(|row| _ = opened.row(&row.labels("", "")[..3], row.backend.state.breaker().times_opened()));
    whole().for_each(|pool| _ = opened.row(&[("pool", &pool.name)], pool.state.breaker().times_opened()));
    let mut open =
        page.gauge("evenkeel_pool_failing_open", "1 while so few of a pool's backends are healthy that their health is ignored.");
    pools.iter().for_each(|pool| _ = open.row(&[("pool", &pool.name)], u8::from(pool.is_failing_open(now))));
}

impl Row<'_> {
    fn labels<'a>(&'a self, more: &'a str, value: &'a str) -> [(&'a str, &'a str); 4] {
        [("pool", self.pool), ("backend", &self.address), ("name", &self.backend.name), (more, value)]
    }
}

/// A page under construction.
struct Page(String);

/// One metric, of which rows are added.
struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "gauge")
    }

    fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "counter")
    }

    fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "histogram")
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str) -> Family<'_> {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: &mut self.0, name }
    }
}

impl Family<'_> {
    /// A row for each backend.
    fn of<V: fmt::Display>(&mut self, rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> V) {
        rows.iter().for_each(|row| self.line("", &row.labels("", "")[..3], value(row)));
    }

    fn row(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) -> &mut Self {
        self.line("", labels, value);
        self
    }

    /// A histogram's rows. A latency counts where the middle of its bucket falls, at most 3.2 % from the truth.
    fn buckets(&mut self, pool: &str, counts: &[u64], sum: f64) {
        let mut seen = 0;
        let mut counted = 0;
        for bound in BOUNDS {
            let below = counts[seen..].iter().enumerate().take_while(|(i, _)| value_of(seen + i) as f64 <= bound * 1e9);
            let below: Vec<u64> = below.map(|(_, n)| *n).collect();
            seen += below.len();
            counted += below.iter().sum::<u64>();
            self.line("_bucket", &[("pool", pool), ("le", &bound.to_string())], counted);
        }
        let count: u64 = counts.iter().sum();
        self.line("_bucket", &[("pool", pool), ("le", "+Inf")], count);
        self.line("_sum", &[("pool", pool)], sum);
        self.line("_count", &[("pool", pool)], count);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let _ = write!(self.page, "{}{suffix}", self.name);
        for (i, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.page, "{}{label}=\"", if i == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.page.push_str("\\\\"),
                    '"' => self.page.push_str("\\\""),
                    '\n' => self.page.push_str("\\n"),
                    c => self.page.push(c),
                }
            }
            self.page.push('"');
        }
        let _ = writeln!(self.page, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

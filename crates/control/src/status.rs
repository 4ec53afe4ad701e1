//! Everything that is known of the running process, in one value: what `GET /status` sends and `evenkeel status` prints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::model::Service;
use policy::Nanos;
use policy::balance::Weight;
use proxy::stats::PoolTotals;
use proxy::{Backend, KeySet, LimitState, Pool, RouteShown};
use serde::{Deserialize, Serialize};

use crate::run::{Facts, Shared, Source};
use crate::text;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not listening yet.
    Starting,
    /// Serving.
    Running,
    /// Ending what runs, taking nothing new.
    Draining,
}

/// The running process at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// Since the process started.
    pub uptime_seconds: f64,
    /// Number of workers.
    pub workers: usize,
    /// Where the configuration comes from, and how the last reload went.
    pub config: ConfigStatus,
    /// Client connections.
    pub connections: Connections,
    /// Sums since the start.
    pub totals: Totals,
    /// How often each reason was given since the start; those never given are left out.
    pub reasons: BTreeMap<String, u64>,
    /// Where clients are listened for.
    pub listeners: Vec<ListenerStatus>,
    /// The admin listener.
    pub admin: Option<AdminStatus>,
    /// Routes with several pools, or switched to another.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    /// In the order of the file.
    pub pools: Vec<PoolStatus>,
    /// Routes with limits, in the order of the file.
    pub limits: Vec<LimitStatus>,
    /// Memory of what is known of the keys of all limits. Unit: bytes.
    pub limit_memory_bytes: u64,
    /// Keys of rate limits forgotten in a flood of keys although they still owed something.
    pub limit_forgotten_keys: u64,
    /// Workers with a connection to the Redis of shared limits.
    pub store_connections: u64,
    /// Times a connection to it failed or did not answer in time.
    pub store_failures: u64,
    /// Where the keys of tokens are fetched; empty without any.
    #[serde(default)]
    pub issuers: Vec<IssuerStatus>,
}

/// What the limits of one route have done since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LimitStatus {
    /// Its name.
    pub route: String,
    /// Requests that all its rate limits let pass.
    pub passed: u64,
    /// Of these, held back until they fitted.
    pub delayed: u64,
    /// Requests refused by a rate limit.
    pub refused: u64,
    /// Requests that a rate limit with `dry_run` would have refused.
    pub would_refuse: u64,
    /// Requests refused by a limit of concurrent exchanges.
    pub crowded: u64,
    /// Requests that such a limit with `dry_run` would have refused.
    pub would_be_crowded: u64,
    /// Requests counted in the shared store.
    pub shared: u64,
    /// Requests that should have been, and were counted here because the store did not answer.
    pub alone: u64,
}

/// The keys of an issuer of tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IssuerStatus {
    /// Where they are fetched, without the query.
    pub url: String,
    /// How many there are; 0 until they came for the first time.
    pub keys: usize,
    /// Why the last fetch failed; those before it are in use.
    pub fault: Option<String>,
}

/// A route with several pools, or switched to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// The shares of its pools, as the file has them.
    pub pools: BTreeMap<String, u16>,
    /// The pool the operator sends everything to.
    pub switched_to: Option<String>,
}

/// Where the configuration comes from, and how the last reload went.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfigStatus {
    /// The file; `None` for the command line.
    pub source: Option<String>,
    /// When what is in force was loaded. RFC 3339.
    pub loaded_at: String,
    /// Reloads that changed what is in force.
    pub reloads: u64,
    /// Reloads that were refused.
    pub refused: u64,
    /// Why the last reload was refused; `None` if it was not, or if there was none.
    pub last_reload_error: Option<ReloadFault>,
}

/// Why a reload was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReloadFault {
    /// When. RFC 3339.
    pub at: String,
    /// For a person; several lines.
    pub message: String,
}

/// Client connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Accepted since the start.
    pub accepted: u64,
    /// Of these, given to a less busy worker.
    pub handed_on: u64,
    /// Times accepting paused because descriptors ran out.
    pub accept_pauses: u64,
    /// Closed at once because their address had as many as it may.
    pub crowded: u64,
}

/// Sums since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Totals {
    /// Exchanges ended.
    pub exchanges: u64,
    /// Of these, by class of status.
    pub answers: Answers,
    /// Bytes of request bodies and tunnels read from clients.
    pub bytes_in: u64,
    /// Bytes of answer bodies and tunnels written to clients.
    pub bytes_out: u64,
    /// Access log lines lost, on the way to the log or because it could not be written.
    pub log_lost: u64,
    /// Exchanges ended by a fault of ours.
    pub panics: u64,
}

/// Answers by class of status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Interim, and switched protocols.
    #[serde(rename = "1xx")]
    pub c1: u64,
    /// Success.
    #[serde(rename = "2xx")]
    pub c2: u64,
    /// Elsewhere.
    #[serde(rename = "3xx")]
    pub c3: u64,
    /// The client's fault.
    #[serde(rename = "4xx")]
    pub c4: u64,
    /// The server's fault.
    #[serde(rename = "5xx")]
    pub c5: u64,
}

/// One address that clients are listened for on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// Its key in the file.
    pub name: String,
    /// As configured.
    pub configured: String,
    /// As it is: differs where the kernel chose the port. `None` before it is open.
    pub address: Option<String>,
}

/// The admin listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdminStatus {
    /// Where it is.
    pub address: String,
}

/// One pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Exchanges sent to it.
    pub exchanges: u64,
    /// Of these, answered with an error of ours.
    pub errors: u64,
    /// Attempts made again.
    pub retries: u64,
    /// Second attempts made beside a slow first one.
    #[serde(default)]
    pub hedges: u64,
    /// Of these, that answered first.
    #[serde(default)]
    pub hedges_won: u64,
    /// The line before its backends; `None` where nobody waits.
    #[serde(default)]
    pub queue: Option<QueueStatus>,
    /// The limit of exchanges at one time that finds itself; `None` without one.
    #[serde(default)]
    pub adaptive: Option<AdaptiveStatus>,
    /// The breaker of the pool as a whole: `closed`, `open` or `half_open`; `None` without one.
    pub breaker: Option<String>,
    /// So few backends are healthy that their health is ignored.
    pub failing_open: bool,
    /// How clients stay with their backends; `None` where they do not.
    #[serde(default)]
    pub sticky: Option<StickyStatus>,
    /// Attempts that run now.
    pub in_flight: u64,
    /// Of its exchanges since the start.
    pub latency_ms: Latency,
    /// Names that have no address yet, with why where that is known.
    pub unresolved: BTreeMap<String, Option<String>>,
    /// Names whose last look-up failed and whose last good answer is used.
    pub stale_names: BTreeMap<String, String>,
    /// In the order of the file.
    pub backends: Vec<BackendStatus>,
}

/// The line before backends that are all at their `max_connections`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Exchanges that wait now.
    pub waiting: u32,
    /// Most that may.
    pub length: usize,
    /// Exchanges that had to wait since the start.
    pub waited: u64,
    /// How long they did on average. Unit: milliseconds.
    pub mean_wait_ms: f64,
}

/// How a limit that finds itself stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdaptiveStatus {
    /// Most exchanges that may run now.
    pub limit: u32,
    /// Exchanges that run now.
    pub in_flight: u32,
    /// Exchanges refused since the limit began.
    pub refused: u64,
    /// The latency of the pool when it isn't hurried; 0 while it's unknown. Unit: milliseconds.
    pub base_ms: f64,
}

/// How clients of a sticky pool stayed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StickyStatus {
    /// Answers by the backend that the client was with before.
    pub kept: u64,
    /// Answers to clients that were with none, or whose cookie opened as nothing.
    pub begun: u64,
    /// Answers by another backend than before, which was down or had failed.
    pub moved: u64,
    /// Clients that the table knows; `None` where they carry a cookie.
    pub remembered: Option<usize>,
}

/// Latencies. Unit: milliseconds; 0 without any.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Latency {
    /// Of half of them at most this.
    pub p50: f64,
    /// Of 90 %.
    pub p90: f64,
    /// Of 99 %.
    pub p99: f64,
    /// Of 99.9 %.
    pub p999: f64,
}

/// One backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackendStatus {
    /// Its name, or its address as written.
    pub name: String,
    /// Its address.
    pub address: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// What the last check found, for a person; empty without checks.
    pub reason: String,
    /// Since when it is in this state. RFC 3339; `None` without checks.
    pub since: Option<String>,
    /// It passes its checks, and is down only because it flapped.
    pub held_down: bool,
    /// Its last check that passed found it to serve badly: it keeps half its weight.
    pub degraded: bool,
    /// A request could not connect, and no check has passed since: kept out of rotation.
    pub suspected: bool,
    /// Takes no new exchanges.
    pub draining: bool,
    /// Its share, as configured or as given at run time.
    pub weight: u16,
    /// Serves only when no backend of a lower tier can.
    pub tier: u8,
    /// Is of a tier above 0.
    pub backup: bool,
    /// Kept out of rotation because exchanges with it failed.
    pub ejected: bool,
    /// How often it was, since the start.
    pub ejections: u64,
    /// Its breaker: `closed`, `open` or `half_open`; `None` without one.
    pub breaker: Option<String>,
    /// The weight given at run time, where there is one.
    pub run_time_weight: Option<u16>,
    /// What it gets of its weight now, in percent: less while it is degraded or starts slowly.
    pub share_percent: u8,
    /// Attempts that run now.
    pub in_flight: u32,
    /// Attempts made.
    pub attempts: u64,
    /// Of these, ended without an answer.
    pub failures: u64,
    /// Answers by class of status.
    pub answers: Answers,
    /// Peak moving average of its latency; 0 when nothing is known.
    pub latency_ms: f64,
    /// Checks that passed.
    pub checks_passed: u64,
    /// Checks that failed.
    pub checks_failed: u64,
}

impl Answers {
    /// By class, with its name.
    pub fn classes(&self) -> [(&'static str, u64); 5] {
        [("1xx", self.c1), ("2xx", self.c2), ("3xx", self.c3), ("4xx", self.c4), ("5xx", self.c5)]
    }
}

impl From<[u64; 5]> for Answers {
    fn from([c1, c2, c3, c4, c5]: [u64; 5]) -> Self {
        Self { c1, c2, c3, c4, c5 }
    }
}

/// Reads everything. Cost: a few microseconds for each backend; nothing waits for it.
pub(crate) fn collect(control: &Shared) -> Status {
    let facts = control.facts().clone();
    let totals = control.data.totals();
    let now = control.data.now();
    let faults = control.names.faults();
    let plan = control.data.plan();
    let board = control.data.board();
    let pools = plan.iter().flat_map(|plan| &plan.pools).map(|pool| pool_status(control, pool, &faults, now));
    Status {
        version: control.version.to_owned(),
        pid: std::process::id(),
        phase: *control.phase.borrow(),
        uptime_seconds: control.started.0.elapsed().as_secs_f64(),
        workers: control.data.workers(),
        config: config_status(&control.source, &facts),
        connections: Connections {
            open: totals.open,
            accepted: totals.accepted,
            handed_on: totals.handed_on,
            accept_pauses: totals.accept_pauses,
            crowded: totals.crowded,
        },
        totals: Totals {
            exchanges: totals.exchanges,
            answers: totals.answers.into(),
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            log_lost: totals.log_lost + control.log.lost(),
            panics: totals.panics,
        },
        reasons: totals.reasons.iter().filter(|(_, n)| *n > 0).map(|(word, n)| ((*word).to_owned(), *n)).collect(),
        listeners: listeners(&facts),
        admin: facts.admin.map(|address| AdminStatus { address: address.to_string() }),
        routes: plan.iter().flat_map(|plan| plan.routes()).filter_map(route_status).collect(),
        pools: pools.collect(),
        limits: plan.iter().flat_map(|plan| &plan.limits).map(|limit| limit_status(limit)).collect(),
        limit_memory_bytes: (board.rates.bytes() + board.counts.bytes()) as u64,
        limit_forgotten_keys: board.rates.evicted(),
        store_connections: totals.store_up,
        store_failures: totals.store_failures,
        issuers: control.issuers.sets().into_iter().map(issuer_status).collect(),
    }
}

fn issuer_status((url, set): (Service, Arc<KeySet>)) -> IssuerStatus {
    IssuerStatus { url: url.to_string(), keys: set.load().map_or(0, |keys| keys.len()), fault: set.fault() }
}

fn route_status(route: &RouteShown) -> Option<RouteStatus> {
    let is_plain = route.pools.len() < 2 && route.switched_to.is_none();
    let pools = route.pools.iter().cloned().collect();
    (!is_plain).then(|| RouteStatus { name: route.name.clone(), pools, switched_to: route.switched_to.clone() })
}

fn config_status(source: &Source, facts: &Facts) -> ConfigStatus {
    ConfigStatus {
        source: match source {
            Source::File(path) => Some(path.display().to_string()),
            Source::Given(_) => None,
        },
        loaded_at: text::iso(facts.loaded_at),
        reloads: facts.reloads,
        refused: facts.refused,
        last_reload_error: facts
            .last_error
            .as_ref()
            .map(|(at, message)| ReloadFault { at: text::iso(*at), message: message.clone() }),
    }
}

fn listeners(facts: &Facts) -> Vec<ListenerStatus> {
    let Some(config) = &facts.config else { return Vec::new() };
    let addresses = config.listeners.iter().flat_map(|listener| listener.listen.iter().map(move |address| (listener, address)));
    let shown = addresses.map(|(listener, configured)| {
        let open = facts.listening.iter().find(|(asked, _)| asked == configured);
        ListenerStatus {
            name: listener.name.clone(),
            configured: configured.to_string(),
            address: open.map(|(_, address)| address.to_string()),
        }
    });
    shown.collect()
}

fn pool_status(control: &Shared, pool: &Pool, faults: &BTreeMap<String, String>, now: Nanos) -> PoolStatus {
    let totals = pool.totals();
    let fault_of = |name: &str| faults.get(name.rsplit_once(':').map_or(name, |(host, _)| host)).cloned();
    let backends: Vec<BackendStatus> = pool.backends.iter().map(|backend| backend_status(control, pool, backend, now)).collect();
    let authorities = pool.backends.iter().map(|backend| &backend.authority);
    PoolStatus {
        name: pool.name.clone(),
        exchanges: totals.exchanges,
        errors: totals.errors,
        retries: totals.retries,
        hedges: totals.hedges,
        hedges_won: totals.hedges_won,
        queue: pool.queue_length().map(|length| QueueStatus {
            waiting: pool.state.waiting(),
            length,
            waited: totals.queued,
            mean_wait_ms: totals.queue_wait as f64 / 1e6 / totals.queued.max(1) as f64,
        }),
        adaptive: pool.adaptive.as_ref().map(|limit| AdaptiveStatus {
            limit: limit.limit(),
            in_flight: limit.running(),
            refused: limit.refused(),
            base_ms: limit.base() as f64 / 1e6,
        }),
        breaker: pool.pool_breaker().map(|_| pool.state.breaker().state(now).word().to_owned()),
        failing_open: pool.is_failing_open(now),
        sticky: pool.is_sticky().then(|| {
            let [kept, begun, moved] = totals.sessions;
            StickyStatus { kept, begun, moved, remembered: pool.sessions(now) }
        }),
        in_flight: backends.iter().map(|backend| u64::from(backend.in_flight)).sum(),
        latency_ms: latency(&totals),
        unresolved: pool.unresolved.iter().map(|name| (name.clone(), fault_of(name))).collect(),
        stale_names: authorities.filter_map(|name| Some((name.clone(), fault_of(name)?))).collect(),
        backends,
    }
}

fn limit_status(limit: &LimitState) -> LimitStatus {
    let totals = limit.totals();
    LimitStatus {
        route: limit.route.clone(),
        passed: totals.passed,
        delayed: totals.delayed,
        refused: totals.refused,
        would_refuse: totals.would_refuse,
        crowded: totals.crowded,
        would_be_crowded: totals.would_be_crowded,
        shared: totals.shared,
        alone: totals.alone,
    }
}

fn backend_status(control: &Shared, pool: &Pool, backend: &Backend, now: Nanos) -> BackendStatus {
    let state = &backend.state;
    let totals = backend.totals();
    let facts = control.checks.facts(&state.identity);
    BackendStatus {
        name: backend.name.clone(),
        address: backend.address.to_string(),
        health: state.health().word().to_owned(),
        reason: facts.as_ref().map_or_else(String::new, |facts| facts.reason.clone()),
        since: facts.as_ref().map(|facts| text::iso(facts.since)),
        held_down: facts.as_ref().is_some_and(|facts| facts.is_held_down),
        degraded: state.is_degraded(),
        suspected: state.suspect_until() > now,
        draining: state.is_draining(),
        weight: backend.weight_now().get(),
        tier: backend.tier,
        backup: backend.tier > 0,
        ejected: backend.is_out(now),
        ejections: state.outlier().ejections(),
        breaker: pool.backend_breaker().map(|_| state.breaker().state(now).word().to_owned()),
        run_time_weight: state.weight().map(Weight::get),
        share_percent: pool.share_of(backend, now),
        in_flight: state.in_flight(),
        attempts: totals.attempts,
        failures: totals.failures,
        answers: totals.answers.into(),
        latency_ms: ms(state.latency(now)),
        checks_passed: facts.as_ref().map_or(0, |facts| facts.passed),
        checks_failed: facts.as_ref().map_or(0, |facts| facts.failed),
    }
}

fn latency(totals: &PoolTotals) -> Latency {
    let at = |q| ms(totals.quantile(q));
    Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999) }
}

/// To the microsecond: more digits would claim what the histogram does not know.
fn ms(nanos: Nanos) -> f64 {
    (Duration::from_nanos(nanos).as_secs_f64() * 1e6).round() / 1e3
}

//! The check of one backend: probes when `policy::health` says so, or at once when a worker suspects the backend.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use config::model;
use policy::Nanos;
use policy::health::{Checker, Params, State};
use proxy::{Backend, BackendState, Health, Pool};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::probe::{Cause, Finding, Prober};
use super::{Context, lock};
use crate::task::Task;

/// Not sooner than this after the last probe, so that a backend that fails requests but passes probes isn't probed without pause.
const BREATH: Duration = Duration::from_millis(50);

/// The running check of one backend. Ends when dropped.
#[derive(Debug)]
pub(super) struct Check {
    subject: Subject,
    facts: Arc<Mutex<Facts>>,
    /// Told to look at once, if there is reason to.
    look: Arc<Notify>,
    _task: Task,
}

/// What a check has found so far.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The backend's name; a reload may change it, which is no reason to begin anew.
    name: String,
    /// Since when the backend is in its present state.
    pub(crate) since: SystemTime,
    /// What the last probe found.
    pub(crate) reason: String,
    /// It passes its probes, and is down only because it flapped (F11).
    pub(crate) is_held_down: bool,
    /// Probes that passed.
    pub(crate) passed: u64,
    /// Probes that failed.
    pub(crate) failed: u64,
    /// Of these, by their cause.
    pub(crate) causes: [u64; Cause::WORDS.len()],
}

/// Who is checked, and how. A check is replaced when any of it but the name changes.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) state: Arc<BackendState>,
    pool: String,
    pub(super) name: String,
    address: SocketAddr,
    authority: String,
    how: model::Health,
}

impl Subject {
    pub(super) fn new(pool: &Pool, backend: &Backend) -> Self {
        Self {
            state: backend.state.clone(),
            pool: pool.name.clone(),
            name: backend.name.clone(),
            address: backend.address,
            authority: backend.authority.clone(),
            how: pool.health.clone(),
        }
    }
}

impl Check {
    /// The first probe is made at once. `since`: when the backend came into its present state, if it was checked before.
    pub(super) fn start(subject: Subject, context: Arc<Context>, since: Option<SystemTime>) -> Self {
        let facts = Facts {
            name: subject.name.clone(),
            since: since.unwrap_or_else(SystemTime::now),
            reason: "not checked yet".to_owned(),
            is_held_down: false,
            passed: 0,
            failed: 0,
            causes: [0; Cause::WORDS.len()],
        };
        let facts = Arc::new(Mutex::new(facts));
        let look = Arc::new(Notify::new());
        let params = subject.how.params;
        let seed = context.seed ^ policy::balance::hash_key(subject.state.identity.as_bytes());
        let prober = Prober::new(&subject.how, subject.address, &subject.authority, context.version);
        let round = Round {
            prober,
            checker: Checker::new(params),
            rng: fastrand::Rng::with_seed(seed),
            is_suspected: false,
            first: Some(Pending::new(&context.pending)),
            subject: subject.clone(),
            facts: facts.clone(),
            context,
        };
        let task = Task::spawn(round.run(look.clone()));
        Self { subject, facts, look, _task: task }
    }

    /// Whether this is the very check that `subject` asks for.
    pub(super) fn is_of(&self, subject: &Subject) -> bool {
        let own = &self.subject;
        Arc::ptr_eq(&own.state, &subject.state) && own.how == subject.how && own.authority == subject.authority
    }

    pub(super) fn is_in(&self, pool: &str) -> bool {
        self.subject.pool == pool
    }

    pub(super) fn facts(&self) -> Facts {
        lock(&self.facts).clone()
    }

    pub(super) fn rename(&self, name: String) {
        lock(&self.facts).name = name;
    }

    pub(super) fn may_be_picked(&self) -> bool {
        self.subject.state.health() != Health::Down && !self.subject.state.is_draining()
    }

    pub(super) fn wake_if_suspected(&self) {
        if self.subject.state.suspect_until() != 0 {
            self.look.notify_one();
        }
    }

    pub(super) fn wake_if_held_down(&self) {
        if lock(&self.facts).is_held_down {
            self.look.notify_one();
        }
    }
}

/// Counts a check as pending until its first probe has ended or it is gone.
#[derive(Debug)]
struct Pending(watch::Sender<usize>);

impl Pending {
    fn new(pending: &watch::Sender<usize>) -> Self {
        pending.send_modify(|pending| *pending += 1);
        Self(pending.clone())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.send_modify(|pending| *pending -= 1);
    }
}

/// A check from probe to probe.
struct Round {
    prober: Prober,
    checker: Checker,
    rng: fastrand::Rng,
    /// A request could not connect, and no probe has passed since.
    is_suspected: bool,
    first: Option<Pending>,
    subject: Subject,
    facts: Arc<Mutex<Facts>>,
    context: Arc<Context>,
}

impl Round {
    async fn run(mut self, look: Arc<Notify>) {
        loop {
            let now = self.now();
            let next = self.next_probe(now);
            let mut at = Instant::now() + Duration::from_nanos(next.saturating_sub(now));
            let soonest = Instant::now() + BREATH;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(at) => break,
                    () = look.notified() => {
                        if self.suspect() || self.checker.is_held_down(self.now()) {
                            at = at.min(soonest.max(Instant::now()));
                        }
                    }
                }
            }
            let finding = self.probe().await;
            self.judge(&finding);
            self.first = None;
        }
    }

    /// While a suspicion is open, probes follow each other so fast that the verdict falls within one interval.
    fn next_probe(&mut self, now: Nanos) -> Nanos {
        let next = self.checker.next_probe(now, &mut self.rng);
        if !self.is_suspected {
            return next;
        }
        next.min(now + nanos(recheck(&self.subject.how.params)))
    }

    /// A request could not connect. That counts as one failed probe, though never as the last one: only a probe takes a backend
    /// down. True if this is news.
    fn suspect(&mut self) -> bool {
        let is_news = !self.is_suspected && self.subject.state.suspect_until() != 0 && self.checker.state() == State::Up;
        if !is_news {
            return false;
        }
        self.is_suspected = true;
        let mut counted = self.checker.clone();
        if counted.observe(false, self.now()).is_none() {
            self.checker = counted;
        }
        true
    }

    async fn probe(&self) -> Finding {
        // The semaphore is never closed; without a permit the probe would still be right, only one too many.
        let _permit = self.context.probes.acquire().await;
        self.prober.probe().await
    }

    fn judge(&mut self, finding: &Finding) {
        let (passed, reason) = match finding {
            Ok(pass) => (true, pass.reason.as_str()),
            Err(failure) => (false, failure.reason.as_str()),
        };
        let now = self.now();
        let state = &self.subject.state;
        let before = state.health();
        self.checker.observe(passed, now);
        match self.checker.state() {
            State::Up if passed => {
                self.is_suspected = false;
                state.set_health(Health::Up, reason);
            }
            State::Up if self.is_suspected => state.suspect(now + suspicion(&self.subject.how.params)),
            State::Up | State::Unknown => {}
            State::Down => {
                self.is_suspected = false;
                state.set_health(if self.is_better_than_none(now) { Health::Up } else { Health::Down }, reason);
            }
        }
        if let Ok(pass) = finding {
            self.degrade(pass.degraded, reason);
        }
        self.note(finding, reason, before, now);
        if before != Health::Down && state.health() == Health::Down {
            self.context.wake_held_down(&self.subject.pool);
        }
    }

    /// It passes, is down only because it flapped, and nobody else of its pool is left.
    fn is_better_than_none(&self, now: Nanos) -> bool {
        self.checker.is_held_down(now) && !self.context.has_other(&self.subject.pool, &self.subject.state.identity)
    }

    /// Each probe that passes says anew whether its backend serves badly; one that fails says nothing of it.
    fn degrade(&self, degraded: bool, reason: &str) {
        let Subject { state, pool, address, .. } = &self.subject;
        if state.is_degraded() == degraded {
            return;
        }
        state.set_degraded(degraded);
        let name = lock(&self.facts).name.clone();
        if degraded {
            tracing::warn!(pool, backend = name, %address, reason, "backend is degraded and keeps half its weight");
        } else {
            tracing::info!(pool, backend = name, %address, reason, "backend is no longer degraded");
        }
    }

    /// For status and log.
    fn note(&self, finding: &Finding, reason: &str, before: Health, now: Nanos) {
        let after = self.subject.state.health();
        let is_held_down = self.checker.is_held_down(now);
        self.subject.state.set_held_down(is_held_down);
        let mut facts = lock(&self.facts);
        let began_holding = is_held_down && !facts.is_held_down;
        facts.is_held_down = is_held_down;
        reason.clone_into(&mut facts.reason);
        match finding {
            Ok(_) => facts.passed += 1,
            Err(failure) => {
                facts.failed += 1;
                facts.causes[failure.cause as usize] += 1;
            }
        }
        if before != after {
            facts.since = SystemTime::now();
        }
        let name = facts.name.clone();
        drop(facts);
        let Subject { pool, address, .. } = &self.subject;
        let cause = finding.as_ref().err().map(|failure| failure.cause.word());
        match (before, after) {
            (Health::Down, Health::Up) if is_held_down => {
                tracing::warn!(pool, backend = name, %address, reason, "backend has flapped, but serves: nobody else of the pool is up");
            }
            (Health::Up, Health::Down) if is_held_down => {
                tracing::info!(pool, backend = name, %address, reason, "backend is held down again, for others of the pool are up");
            }
            (Health::Unknown, Health::Up) => tracing::debug!(pool, backend = name, %address, reason, "backend is up"),
            (Health::Down, Health::Up) => tracing::info!(pool, backend = name, %address, reason, "backend is up again"),
            (Health::Unknown | Health::Up, Health::Down) => {
                tracing::warn!(pool, backend = name, %address, cause, reason, "backend is down")
            }
            _ if began_holding => {
                tracing::warn!(pool, backend = name, %address, "backend passes its checks again, but is held down because it flapped");
            }
            _ => {}
        }
    }

    fn now(&self) -> Nanos {
        self.context.data.now()
    }
}

/// From one probe to the next while a suspicion is open: with the suspicion itself and the probe that it starts, `fall` failures
/// are together within one interval.
fn recheck(params: &Params) -> Duration {
    params.edge_interval.min(params.interval / params.fall.max(3))
}

/// How long a backend that has failed a probe after a suspicion stays out of rotation without a further finding.
fn suspicion(params: &Params) -> Nanos {
    nanos(params.interval.saturating_add(params.timeout).saturating_mul(2))
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX).min(Nanos::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspected_backend_is_down_within_its_interval_whatever_fall_is() {
        for fall in 1..20 {
            for ms in [100, 1_000, 5_000, 60_000] {
                let params = Params { fall, interval: Duration::from_millis(ms), ..Params::default() };
                assert!(recheck(&params) * fall.saturating_sub(2) < params.interval, "{fall} {ms}");
            }
        }
    }
}

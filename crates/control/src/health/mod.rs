//! Which backends may be picked: one task probes each, and the Board is told what they find.

mod answer;
mod check;
mod grpc;
mod probe;
mod tls;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::model;
use proxy::{Handle, Health, Plan, Pool, PoolState};
use tokio::sync::{Semaphore, watch};

pub(crate) use check::Facts;
use check::{Check, Subject};
pub(crate) use probe::Cause;

use crate::task::Task;

/// All checks that run. They are found again by the backend's identity, so a reload that doesn't change them doesn't disturb them.
#[derive(Debug)]
pub(crate) struct Checks {
    context: Arc<Context>,
    roster: Arc<Mutex<Roster>>,
}

/// What every check needs.
#[derive(Debug)]
struct Context {
    data: Arc<Handle>,
    version: &'static str,
    seed: u64,
    /// Bounds the descriptors that probes hold at one time.
    probes: Semaphore,
    /// Checks that have not ended once.
    pending: watch::Sender<usize>,
    roster: Arc<Mutex<Roster>>,
}

impl Context {
    /// Whether a backend of the pool other than this one may be picked.
    fn has_other(&self, pool: &str, identity: &str) -> bool {
        let roster = lock(&self.roster);
        let others = roster.checks.iter().filter(|(other, check)| other.as_str() != identity && check.is_in(pool));
        others.map(|(_, check)| check).any(Check::may_be_picked)
    }

    /// Has those look at once that are down only because they flapped: they may be all that is left.
    fn wake_held_down(&self, pool: &str) {
        lock(&self.roster).checks.values().filter(|check| check.is_in(pool)).for_each(Check::wake_if_held_down);
    }
}

#[derive(Debug, Default)]
struct Roster {
    /// By the backend's identity.
    checks: HashMap<String, Check>,
    /// By the pool's name: who waits for its suspicions.
    watchers: HashMap<String, (Arc<PoolState>, Task)>,
}

impl Checks {
    /// None yet. At most `probes` of them probe at one time.
    pub(crate) fn new(data: Arc<Handle>, version: &'static str, seed: u64, probes: usize) -> Self {
        let roster: Arc<Mutex<Roster>> = Arc::default();
        let (probes, pending) = (Semaphore::new(probes), watch::Sender::new(0));
        let context = Context { data, version, seed, probes, pending, roster: roster.clone() };
        Self { context: Arc::new(context), roster }
    }

    /// Starts the checks of backends that have none yet, and leaves the others alone: the plan may still be refused.
    pub(crate) fn add(&self, plan: &Plan) {
        let mut roster = lock(&self.roster);
        for subject in subjects(plan) {
            let identity = subject.state.identity.clone();
            roster.checks.entry(identity).or_insert_with(|| Check::start(subject, self.context.clone(), None));
        }
    }

    /// Waits until every check has ended once, for at most `patience`.
    pub(crate) async fn settled(&self, patience: Duration) {
        let mut pending = self.context.pending.subscribe();
        let _ = tokio::time::timeout(patience, pending.wait_for(|pending| *pending == 0)).await;
    }

    /// Checks the backends of this plan as it says, and no others.
    pub(crate) fn keep(&self, plan: &Plan) {
        let mut roster = lock(&self.roster);
        let mut wanted = HashSet::new();
        for subject in subjects(plan) {
            wanted.insert(subject.state.identity.clone());
            match roster.checks.get(&subject.state.identity) {
                Some(check) if check.is_of(&subject) => check.rename(subject.name),
                before => {
                    let since = before.map(|check| check.facts().since);
                    let identity = subject.state.identity.clone();
                    roster.checks.insert(identity, Check::start(subject, self.context.clone(), since));
                }
            }
        }
        roster.checks.retain(|identity, _| wanted.contains(identity));
        for backend in plan.pools.iter().filter(|pool| pool.health.answer.degraded.is_none()).flat_map(|pool| &pool.backends) {
            backend.state.set_degraded(false);
        }
        for pool in plan.pools.iter().filter(|pool| pool.health.check == model::Check::Off) {
            for backend in pool.backends.iter().filter(|backend| backend.state.health() != Health::Unknown) {
                backend.state.set_health(Health::Unknown, "");
            }
        }
        self.watch(&mut roster, &plan.pools);
    }

    /// What the check of a backend has found; `None` if there is no check.
    pub(crate) fn facts(&self, identity: &str) -> Option<Facts> {
        lock(&self.roster).checks.get(identity).map(Check::facts)
    }

    /// Ends them all.
    pub(crate) fn stop(&self) {
        // Their ends are told to `pending`, not to the roster; still, nothing is dropped under the lock.
        let ended = std::mem::take(&mut *lock(&self.roster));
        drop(ended);
    }

    fn watch(&self, roster: &mut Roster, pools: &[Arc<Pool>]) {
        let is_watched = |pool: &&Arc<Pool>| pool.health.check != model::Check::Off;
        let mut before = std::mem::take(&mut roster.watchers);
        for pool in pools.iter().filter(is_watched) {
            let kept = before.remove(&pool.name).filter(|(state, _)| Arc::ptr_eq(state, &pool.state));
            let watcher = kept.unwrap_or_else(|| {
                let watching = wake_suspected(pool.state.clone(), self.roster.clone());
                (pool.state.clone(), Task::spawn(watching))
            });
            roster.watchers.insert(pool.name.clone(), watcher);
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        // The tasks know the roster, and the roster the tasks.
        self.stop();
    }
}

/// Has a pool's checks look at backends that workers suspect.
async fn wake_suspected(pool: Arc<PoolState>, roster: Arc<Mutex<Roster>>) {
    loop {
        pool.suspected().await;
        for check in lock(&roster).checks.values().filter(|check| check.is_in(&pool.name)) {
            check.wake_if_suspected();
        }
    }
}

fn subjects(plan: &Plan) -> impl Iterator<Item = Subject> + '_ {
    let pools = plan.pools.iter().filter(|pool| pool.health.check != model::Check::Off);
    pools.flat_map(|pool| pool.backends.iter().map(|backend| Subject::new(pool, backend)))
}

/// The mutexes here guard single inserts and copies, which leave a whole value behind whatever happens.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

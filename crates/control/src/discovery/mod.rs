//! Which addresses the backends' names stand for: asked again when an answer's time is up, and never forgotten because nobody
//! answers (F16).

mod hosts;
mod lookup;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::model::{Address, Config};
use tokio::sync::{Notify, watch};

pub(crate) use lookup::Lookup;

use crate::task::Task;

/// An answer is asked for again after its time to live, within these bounds.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// After a failure, from here doubling to there.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

/// What names stand for at one moment.
pub(crate) type Snapshot = BTreeMap<String, Vec<IpAddr>>;

/// All names in use, each kept up to date by a task.
#[derive(Debug)]
pub(crate) struct Names {
    lookup: Arc<Lookup>,
    tasks: Mutex<BTreeMap<String, Task>>,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Known {
    names: Mutex<BTreeMap<String, Name>>,
    /// Told when a name has come to stand for something else.
    changed: Notify,
    /// Names that have not been looked up once.
    pending: watch::Sender<usize>,
}

#[derive(Clone, Debug, Default)]
struct Name {
    addresses: Vec<IpAddr>,
    /// Why the last look-up failed.
    fault: Option<String>,
    looked_up: bool,
}

impl Names {
    /// Nothing is looked up until [`Names::keep`].
    pub(crate) fn new(lookup: Lookup) -> Self {
        let known = Known { names: Mutex::default(), changed: Notify::new(), pending: watch::Sender::new(0) };
        Self { lookup: Arc::new(lookup), tasks: Mutex::default(), known: Arc::new(known) }
    }

    /// Looks these names up from now on, and no others.
    pub(crate) fn keep(&self, names: &BTreeSet<String>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|name, _| names.contains(name));
        self.known.edit(|known| known.retain(|name, _| names.contains(name)));
        for name in names.iter().filter(|name| !tasks.contains_key(*name)).cloned().collect::<Vec<_>>() {
            self.known.edit(|known| _ = known.insert(name.clone(), Name::default()));
            tasks.insert(name.clone(), Task::spawn(follow(name, self.lookup.clone(), self.known.clone())));
        }
    }

    /// Waits until every name has been looked up once, for at most `patience`.
    pub(crate) async fn settled(&self, patience: Duration) {
        let mut pending = self.known.pending.subscribe();
        let _ = tokio::time::timeout(patience, pending.wait_for(|pending| *pending == 0)).await;
    }

    /// Waits until some name has come to stand for something else.
    pub(crate) async fn changed(&self) {
        self.known.changed.notified().await;
    }

    /// What the names stand for now. A name that has never been resolved stands for nothing.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.known.lock().iter().map(|(name, known)| (name.clone(), known.addresses.clone())).collect()
    }

    /// Why names could not be looked up last, whether they have an older answer or not.
    pub(crate) fn faults(&self) -> BTreeMap<String, String> {
        let known = self.known.lock();
        known.iter().filter_map(|(name, known)| Some((name.clone(), known.fault.clone()?))).collect()
    }
}

/// The names that a configuration's backends and services have.
pub(crate) fn names_of(config: &Config) -> BTreeSet<String> {
    let backends = config.pools.iter().flat_map(|pool| &pool.backends).map(|backend| &backend.address);
    let services = config.routes.iter().filter_map(|route| Some(&route.access.forward.as_ref()?.url.address));
    let store = config.redis.iter().map(|redis| &redis.address);
    let names = backends.chain(services).chain(store).filter_map(|address| match address {
        Address::Name { host, .. } => Some(host.clone()),
        Address::Socket(_) => None,
    });
    names.collect()
}

/// How a Plan reads a snapshot.
pub(crate) fn resolve<'a>(names: &'a Snapshot) -> impl Fn(&str, u16) -> Vec<SocketAddr> + 'a {
    |host, port| names.get(host).into_iter().flatten().map(|address| SocketAddr::new(*address, port)).collect()
}

/// Keeps one name up to date for as long as it is in use.
async fn follow(name: String, lookup: Arc<Lookup>, known: Arc<Known>) {
    let mut retry = *RETRY.start();
    loop {
        let wait = match lookup.look_up(&name).await {
            Ok(answer) => {
                retry = *RETRY.start();
                known.learn(&name, answer.addresses);
                answer.ttl.clamp(*TTL.start(), *TTL.end())
            }
            Err(fault) => {
                known.fail(&name, fault);
                let wait = retry;
                retry = (retry * 2).min(*RETRY.end());
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

impl Known {
    fn learn(&self, name: &str, mut addresses: Vec<IpAddr>) {
        // Servers rotate their answers; the same set in another order is no change.
        addresses.sort_unstable();
        addresses.dedup();
        let mut is_new = false;
        self.edit(|known| {
            let Some(known) = known.get_mut(name) else { return };
            if known.fault.is_some() && known.looked_up {
                tracing::info!(name, "the name is resolved again");
            }
            is_new = known.addresses != addresses;
            *known = Name { addresses: addresses.clone(), fault: None, looked_up: true };
        });
        if is_new {
            tracing::debug!(name, ?addresses, "the name stands for new addresses");
            self.changed.notify_one();
        }
    }

    /// The last good answer stays.
    fn fail(&self, name: &str, fault: String) {
        self.edit(|known| {
            let Some(known) = known.get_mut(name) else { return };
            if known.fault.is_none() {
                let kept = known.addresses.len();
                tracing::warn!(name, fault, kept, "can't resolve the name; what it stood for is kept");
            }
            known.fault = Some(fault);
            known.looked_up = true;
        });
    }

    fn edit(&self, change: impl FnOnce(&mut BTreeMap<String, Name>)) {
        let mut names = self.lock();
        change(&mut names);
        let pending = names.values().filter(|name| !name.looked_up).count();
        drop(names);
        self.pending.send_if_modified(|before| std::mem::replace(before, pending) != pending);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! From a configuration to a plan in force. A start and a reload are the same steps; what can fail comes before what changes anything.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use config::model::Config;
use proxy::Plan;

use crate::discovery::{self, Snapshot, names_of};
use crate::run::{Phase, Shared, Source};
use crate::switch::{NotSwitched, Switch};
use crate::{ReloadError, access_log, admin};

/// Longest wait for names that have never been looked up.
const NAMES: Duration = Duration::from_secs(2);
/// Longest wait for the first check of backends that have never been checked.
const CHECKS: Duration = Duration::from_secs(3);
/// Longest wait for the keys of tokens.
const ISSUERS: Duration = Duration::from_secs(2);

/// What a reload brought into force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reloaded {
    /// Number of pools.
    pub pools: usize,
    /// Number of routes.
    pub routes: usize,
    /// Number of backends; a name counts once for each of its addresses.
    pub backends: usize,
    /// From the checked file to all workers going by it.
    #[serde(rename = "took_ms", with = "milliseconds")]
    pub took: Duration,
    /// What is legal but hardly meant, and what only a restart changes.
    pub warnings: Vec<String>,
}

/// A duration as a number of milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Duration, D::Error> {
        let ms = f64::deserialize(text)?;
        Duration::try_from_secs_f64(ms / 1e3).map_err(serde::de::Error::custom)
    }
}

/// What is in force. Whoever changes it holds the lock from the first step to the last.
#[derive(Debug, Default)]
pub(crate) struct Force {
    config: Option<Arc<Config>>,
    names: Snapshot,
    pub(crate) admin: Option<admin::Server>,
}

impl Shared {
    /// Reads the source.
    pub(crate) async fn load(&self) -> Result<Config, ReloadError> {
        let path = match &self.source {
            Source::Given(config) => return Ok(config.clone()),
            Source::File(path) => path.clone(),
        };
        // Off this thread: it may be the only one, and probes time out while it reads.
        let loaded = tokio::task::spawn_blocking(move || crate::load(&path)).await;
        match loaded {
            Ok(config) => config.map_err(ReloadError::Report),
            Err(error) => Err(ReloadError::Io("can't read the configuration".to_owned(), std::io::Error::other(error))),
        }
    }

    /// Loads and applies, and notes everywhere how it went.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        if matches!(self.source, Source::Given(_)) {
            return Err(ReloadError::NoFile);
        }
        let mut force = self.force.lock().await;
        let outcome = match self.load().await {
            Ok(config) => self.apply(&mut force, config).await,
            Err(error) => Err(error),
        };
        let mut facts = self.facts();
        match &outcome {
            Ok(done) => {
                facts.reloads += 1;
                facts.last_error = None;
                let took = crate::text::duration(done.took);
                tracing::info!(routes = done.routes, pools = done.pools, backends = done.backends, took, "configuration reloaded");
            }
            Err(error) => {
                facts.refused += 1;
                facts.last_error = Some((SystemTime::now(), error.to_string()));
                tracing::error!("reload refused, the configuration before it stays in force:\n{error}");
            }
        }
        outcome
    }

    /// Brings a configuration into force as a whole, or changes nothing.
    pub(crate) async fn apply(self: &Arc<Self>, force: &mut Force, config: Config) -> Result<Reloaded, ReloadError> {
        let began = Instant::now();
        let config = Arc::new(config);
        let log = access_log::open(&config.log.access)?;
        let admin = admin::prepare(force.admin.as_ref(), config.admin.as_ref()).await?;
        let published = self.publish(force, &config).await;
        if published.is_ok() {
            self.log.switch(log);
        }
        // What the plan before still needs is kept, what only the refused one needed ends.
        let in_force = if published.is_ok() { Some(&config) } else { force.config.as_ref() };
        self.names.keep(&in_force.map(|config| names_of(config)).unwrap_or_default());
        if let Some(config) = in_force {
            self.issuers.keep(config);
        }
        if let Some(plan) = self.data.plan() {
            self.checks.keep(&plan);
        }
        let (plan, names) = published?;
        let mut warnings: Vec<String> = config.warnings.iter().map(|fault| fault.message.clone()).collect();
        force.admin = admin::commit(self, force.admin.take(), admin);
        warnings.extend(self.needs_restart(force.config.as_deref(), &config));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let listening = self.data.listening().await;
        let mut facts = self.facts();
        facts.config = Some(config.clone());
        facts.loaded_at = SystemTime::now();
        facts.listening = listening;
        facts.admin = force.admin.as_ref().map(admin::Server::address);
        drop(facts);
        let done = Reloaded {
            pools: config.pools.len(),
            routes: config.routes.len(),
            backends: backends(&plan),
            took: began.elapsed(),
            warnings,
        };
        force.names = names;
        force.config = Some(config);
        Ok(done)
    }

    /// Resolves, probes what has never been probed, and has the workers go by it.
    async fn publish(&self, force: &Force, config: &Config) -> Result<(Arc<Plan>, Snapshot), ReloadError> {
        let mut names = names_of(config);
        names.extend(force.names.keys().cloned());
        self.names.keep(&names);
        self.issuers.add(config, self.data.board());
        self.unless_ending(self.names.settled(NAMES)).await?;
        let names = self.names.snapshot();
        let plan = Plan::compile(config, &discovery::resolve(&names), self.data.board());
        self.checks.add(&plan);
        self.unless_ending(self.checks.settled(CHECKS)).await?;
        self.unless_ending(self.issuers.settled(ISSUERS)).await?;
        self.data.publish(plan).await.map_err(ReloadError::CantListen)?;
        let plan = self.data.plan().expect("a plan has just been published, and none is ever taken back");
        Ok((plan, names))
    }

    /// Notes the switch and publishes the same configuration with it.
    pub(crate) async fn bring_switch_into_force(self: &Arc<Self>, asked: &Switch) -> Result<(), NotSwitched> {
        let mut force = self.force.lock().await;
        let config = force.config.clone().ok_or(NotSwitched::NothingServed)?;
        self.data.board().switch(&config, &asked.route, asked.pool.as_deref()).map_err(NotSwitched::Cant)?;
        let (plan, names) = self.publish(&force, &config).await.map_err(NotSwitched::Reload)?;
        self.checks.keep(&plan);
        force.names = names;
        Ok(())
    }

    /// Goes by what names stand for now.
    pub(crate) async fn follow_names(self: &Arc<Self>) {
        let mut force = self.force.lock().await;
        let Some(config) = force.config.clone() else { return };
        let current = self.names.snapshot();
        if current == force.names {
            return;
        }
        match self.publish(&force, &config).await {
            Ok((plan, names)) => {
                self.checks.keep(&plan);
                tracing::info!(backends = backends(&plan), "names stand for other addresses; the pools follow");
                force.names = names;
            }
            Err(ReloadError::ShuttingDown) => {}
            Err(error) => tracing::error!("can't go by the names' new addresses: {error}"),
        }
    }

    async fn unless_ending(&self, work: impl Future<Output = ()>) -> Result<(), ReloadError> {
        let mut phase = self.phase.subscribe();
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => Err(ReloadError::ShuttingDown),
            () = work => Ok(()),
        }
    }

    /// What this configuration changes that a running process can't.
    fn needs_restart(&self, before: Option<&Config>, config: &Config) -> Vec<String> {
        let running = self.data.workers();
        let wanted = config.workers.map_or_else(default_workers, usize::from);
        let mut all = Vec::new();
        if wanted != running {
            all.push(format!("`workers` is {wanted} now, but {running} run: it needs a restart"));
        }
        if before.is_some_and(|before| before.log.level != config.log.level) {
            all.push("`log.level` has changed: it needs a restart".to_owned());
        }
        all
    }
}

/// One worker a core.
pub(crate) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn backends(plan: &Plan) -> usize {
    plan.pools.iter().map(|pool| pool.backends.len()).sum()
}

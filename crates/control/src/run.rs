//! The control plane from start to end, as the binary sees it.

use std::io::Read;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use config::model::{self, Config};
use proxy::Handle;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::discovery::{Lookup, Names};
use crate::health::Checks;
use crate::jwks::Issuers;
use crate::reload::{Force, default_workers};
use crate::status::{self, Status};
use crate::task::Task;
use crate::text;
use crate::watch::Watched;
use crate::{ReloadError, Reloaded, StartError};

pub(crate) use crate::status::Phase;

/// Longest wait for the access log to be written at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Source {
    /// A file, read again by every reload.
    File(PathBuf),
    /// The command line; there is nothing to reload.
    Given(Config),
}

/// How the control plane is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration comes from.
    pub source: Source,
    /// Reload when the file changes.
    pub watch: bool,
    /// The version of the program, for status and the `User-Agent` of probes.
    pub version: &'static str,
    /// Where the admin token is left for the other verbs of the same user; made with mode 0700 if it does not exist.
    pub runtime_dir: PathBuf,
}

/// The running process: data plane, checks, names, admin listener. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Control(Arc<Shared>);

/// What the tasks of the control plane share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) source: Source,
    pub(crate) version: &'static str,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) data: Arc<Handle>,
    pub(crate) names: Names,
    pub(crate) checks: Checks,
    pub(crate) issuers: Issuers,
    pub(crate) log: AccessLog,
    pub(crate) started: (Instant, SystemTime),
    pub(crate) phase: watch::Sender<Phase>,
    /// The token of an admin listener that is given none: 128 random bits.
    pub(crate) own_token: model::Secret,
    pub(crate) force: tokio::sync::Mutex<Force>,
    facts: Mutex<Facts>,
    tasks: Mutex<Vec<Task>>,
}

/// What status tells of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) config: Option<Arc<Config>>,
    pub(crate) loaded_at: SystemTime,
    pub(crate) reloads: u64,
    pub(crate) refused: u64,
    pub(crate) last_error: Option<(SystemTime, String)>,
    /// As configured, and as they are.
    pub(crate) listening: Vec<(SocketAddr, SocketAddr)>,
    pub(crate) admin: Option<SocketAddr>,
}

impl Control {
    /// Loads the configuration, starts the workers, resolves names (at most 2 s), probes all backends in parallel (at most 3 s), and
    /// then opens the listeners and the admin listener.
    ///
    /// Runs on the caller's tokio runtime, which needs its I/O and its timer and may be single-threaded.
    ///
    /// # Errors
    /// When the configuration is faulty, an address can't be listened on, or the system refuses a thread or a file.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        Self::start_with(options, Lookup::of_system()).await
    }

    pub(crate) async fn start_with(options: Options, lookup: Lookup) -> Result<Self, StartError> {
        let (config, watched) = match &options.source {
            Source::Given(config) => (config.clone(), None),
            Source::File(path) => {
                // Looked at before it is read, so that no change falls between the two.
                let watched = options.watch.then(|| Watched::new(path.clone()));
                (crate::load(path).map_err(StartError::Report)?, watched)
            }
        };
        let shared = Arc::new(shared(&options, lookup, &config)?);
        let done = shared.apply(&mut *shared.force.lock().await, config).await?;
        shared.phase.send_replace(Phase::Running);
        let addresses: Vec<String> = shared.facts().listening.iter().map(|(_, address)| address.to_string()).collect();
        let (listening, took) = (addresses.join(", "), text::duration(done.took));
        tracing::info!(listening, pools = done.pools, backends = done.backends, workers = shared.data.workers(), took, "serving");
        let following = shared.clone();
        let mut tasks = vec![Task::spawn(async move {
            loop {
                following.names.changed().await;
                following.follow_names().await;
            }
        })];
        if let Some(watched) = watched {
            tasks.push(Task::spawn(watched.run(shared.clone())));
        }
        *lock(&shared.tasks) = tasks;
        Ok(Self(shared))
    }

    /// Reads the file again and brings it into force, by the same steps as the start. Once begun it goes on to its end, even if the
    /// caller stops waiting.
    ///
    /// # Errors
    /// When the file is faulty or can't be brought into force; then everything stays as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let shared = self.0.clone();
        let reloading = tokio::spawn(async move { shared.reload().await });
        reloading
            .await
            .unwrap_or_else(|error| Err(ReloadError::Io("the reload broke off".to_owned(), std::io::Error::other(error))))
    }

    /// Ends the process's work: readiness fails at once, nothing new is accepted, and what runs may end within the configuration's
    /// `shutdown` time. True if all of it did.
    pub async fn shutdown(&self) -> bool {
        let shared = &self.0;
        shared.phase.send_replace(Phase::Draining);
        let patience = shared.facts().config.as_ref().map_or(Duration::ZERO, |config| config.shutdown);
        // A reload that runs breaks off where it waits; none may publish after the workers have been told to drain.
        let mut force = shared.force.lock().await;
        tracing::info!(connections = shared.data.open_connections(), "draining");
        let in_time = shared.data.drain(patience).await;
        lock(&shared.tasks).clear();
        shared.checks.stop();
        // The workers hand their last lines on within 50 ms.
        tokio::time::sleep(Duration::from_millis(60)).await;
        shared.log.flushed(LAST_LINES).await;
        force.admin = None;
        shared.facts().admin = None;
        in_time
    }

    /// The addresses listened on: as configured, and as they are where the kernel chose the port.
    pub fn listening(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.0.facts().listening.clone()
    }

    /// Where the admin listener is; `None` if there is none.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.0.facts().admin
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.0.facts().config.clone().expect("a started control plane has a configuration in force")
    }

    /// Everything that is known now: what `GET /status` sends.
    pub fn status(&self) -> Status {
        status::collect(&self.0)
    }
}

impl Shared {
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        lock(&self.facts)
    }
}

fn shared(options: &Options, lookup: Lookup, config: &Config) -> Result<Shared, StartError> {
    let no_thread = |error| StartError::Io("can't start a thread".to_owned(), error);
    let log = AccessLog::start().map_err(no_thread)?;
    let dice = dice().map_err(|error| StartError::Io("can't read /dev/urandom".to_owned(), error))?;
    let mut seed = [0; 8];
    seed.copy_from_slice(&dice[..8]);
    let seed = u64::from_le_bytes(seed);
    let descriptors = proxy::raise_descriptor_limit();
    let workers = config.workers.or(NonZeroUsize::new(default_workers())).unwrap_or(NonZeroUsize::MIN);
    let data = Handle::start(proxy::Options { workers, descriptors, log: log.sink(), seed }).map_err(no_thread)?;
    let data = Arc::new(data);
    let probes = usize::try_from(descriptors / 8).unwrap_or(usize::MAX).clamp(16, 1024);
    Ok(Shared {
        source: options.source.clone(),
        version: options.version,
        runtime_dir: options.runtime_dir.clone(),
        names: Names::new(lookup),
        checks: Checks::new(data.clone(), options.version, seed, probes),
        issuers: Issuers::new(options.version),
        data,
        log,
        started: (Instant::now(), SystemTime::now()),
        phase: watch::Sender::new(Phase::Starting),
        own_token: model::Secret::new(dice[8..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        force: tokio::sync::Mutex::default(),
        facts: Mutex::new(Facts {
            config: None,
            loaded_at: SystemTime::now(),
            reloads: 0,
            refused: 0,
            last_error: None,
            listening: Vec::new(),
            admin: None,
        }),
        tasks: Mutex::default(),
    })
}

/// 24 random bytes of the system.
fn dice() -> std::io::Result<[u8; 24]> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The mutexes here guard single copies, which leave a whole value behind whatever happens.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

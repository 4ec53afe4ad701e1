//! The Redis in which several processes count together: one connection a worker, and what waits goes in one batch.
//!
//! While one batch is on its way the next collects, so a round trip carries more the more there is to ask. Whoever has waited for the
//! configured time (20 ms) is answered by this process alone, and so is everybody until a new connection works (F17).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use config::model::{self, Address, Secret};
use policy::limit::{Account, Terms, Verdict};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, RedisConnectionInfo, RedisResult, Script};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::plan::Resolve;
use crate::stats::WorkerCells;

/// Longest wait for a connection that works.
const CONNECT: Duration = Duration::from_secs(1);
/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(250);
/// Most questions in one batch.
const BATCH: usize = 512;

/// GCRA as `policy::limit` does it, by the clock of Redis, in microseconds. Answers: refused or not, the wait, how far ahead the arrival
/// time is.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME') \
         local now = time[1] * 1000000 + time[2] \
         local interval, slack, delay = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]) \
         local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) \
         local wait = math.max(due - slack - now, 0) \
         if wait > delay then return {1, math.ceil(wait - delay), math.ceil(due - now)} end \
         due = due + interval \
         redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil((due - now) / 1000) + 1) \
         return {0, math.ceil(wait), math.ceil(due - now)}",
    )
});

/// Where it is and how it is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Tried in turn; empty while its name has no address.
    addresses: Vec<SocketAddr>,
    username: Option<String>,
    password: Option<Secret>,
    database: u16,
    timeout: Duration,
    prefix: String,
}

impl Settings {
    pub(crate) fn compile(redis: &model::Redis, resolve: Resolve<'_>) -> Self {
        Self {
            addresses: match &redis.address {
                Address::Socket(address) => vec![*address],
                Address::Name { host, port } => resolve(host, *port),
            },
            username: redis.username.clone(),
            password: redis.password.clone(),
            database: redis.database,
            timeout: redis.timeout,
            prefix: redis.prefix.clone(),
        }
    }
}

/// A worker's way to the store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) settings: Arc<Settings>,
    asks: mpsc::UnboundedSender<Ask>,
    is_up: Rc<Cell<bool>>,
}

#[derive(Debug)]
struct Ask {
    key: String,
    terms: Terms,
    answer: oneshot::Sender<Account>,
}

/// A question that has been asked.
#[derive(Debug)]
pub(crate) struct Asked {
    answer: oneshot::Receiver<Account>,
    patience: Duration,
}

impl Asked {
    /// The answer; `None` if it does not come in time.
    pub(crate) async fn answer(self) -> Option<Account> {
        timeout(self.patience, self.answer).await.ok()?.ok()
    }
}

impl Store {
    /// Begins to connect.
    pub(crate) fn start(settings: Arc<Settings>, cells: Arc<WorkerCells>) -> Self {
        let (asks, waiting) = mpsc::unbounded_channel();
        let is_up = Rc::new(Cell::new(false));
        tokio::task::spawn_local(run(settings.clone(), waiting, is_up.clone(), cells));
        Self { settings, asks, is_up }
    }

    /// Asks for one request of this key to be counted; `None` while the store is away.
    pub(crate) fn ask(&self, key: u64, terms: Terms) -> Option<Asked> {
        if !self.is_up.get() {
            return None;
        }
        let (answer, receiver) = oneshot::channel();
        let key = format!("{}{key:016x}", self.settings.prefix);
        self.asks.send(Ask { key, terms, answer }).ok()?;
        Some(Asked { answer: receiver, patience: self.settings.timeout })
    }
}

/// Connects, serves until something fails, and so on until nobody asks any more.
async fn run(settings: Arc<Settings>, mut waiting: mpsc::UnboundedReceiver<Ask>, is_up: Rc<Cell<bool>>, cells: Arc<WorkerCells>) {
    let mut told = false;
    for turn in 0.. {
        let connected = match settings.addresses.get(turn % settings.addresses.len().max(1)) {
            Some(address) => {
                timeout(CONNECT, connect(*address, &settings)).await.unwrap_or_else(|_| Err(away("no answer in a second")))
            }
            None => Err(away("its name has no address")),
        };
        let ended = match connected {
            Ok(connection) => {
                told = false;
                is_up.set(true);
                cells.store_up.store(1, Relaxed);
                let ended = serve(&settings, connection, &mut waiting).await;
                is_up.set(false);
                cells.store_up.store(0, Relaxed);
                ended
            }
            Err(error) => Some(error),
        };
        let Some(error) = ended else { return };
        if !told {
            told = true;
            tracing::warn!("redis does not answer, shared limits are held by this process alone: {error}");
        }
        cells.store_failures.add(1);
        // Whoever still waits goes on alone.
        while waiting.try_recv().is_ok() {}
        if waiting.is_closed() {
            return;
        }
        sleep(RETRY).await;
    }
}

async fn connect(address: SocketAddr, settings: &Settings) -> RedisResult<MultiplexedConnection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut about = RedisConnectionInfo::default().set_db(settings.database.into());
    if let Some(username) = &settings.username {
        about = about.set_username(username);
    }
    if let Some(password) = &settings.password {
        about = about.set_password(password.expose());
    }
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&about, stream, AsyncConnectionConfig::default()).await?;
    tokio::task::spawn_local(driver);
    TAKE.load_async(&mut connection).await?;
    Ok(connection)
}

/// Sends what waits, batch by batch. `None` once nobody can ask any more.
async fn serve(
    settings: &Settings,
    mut connection: MultiplexedConnection,
    waiting: &mut mpsc::UnboundedReceiver<Ask>,
) -> Option<redis::RedisError> {
    let mut batch = Vec::new();
    loop {
        if waiting.recv_many(&mut batch, BATCH).await == 0 {
            return None;
        }
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for ask in &batch {
            let micros = |nanos: u64| nanos as f64 / 1e3;
            let terms = &ask.terms;
            pipeline.cmd("EVALSHA").arg(TAKE.get_hash()).arg(1).arg(&ask.key);
            pipeline.arg(micros(terms.interval)).arg(micros(terms.most() - terms.interval)).arg(micros(terms.delay));
        }
        match timeout(settings.timeout, pipeline.query_async::<Vec<(u8, u64, u64)>>(&mut connection)).await {
            Ok(Ok(answers)) => {
                for (ask, (refused, wait, ahead)) in batch.drain(..).zip(answers) {
                    // Whoever gave up waiting was counted here and there.
                    let _ = ask.answer.send(account(&ask.terms, refused != 0, wait, ahead));
                }
            }
            Ok(Err(error)) => return Some(error),
            Err(_) => return Some(away("a batch was not answered in time")),
        }
    }
}

fn account(terms: &Terms, refused: bool, wait: u64, ahead: u64) -> Account {
    let nanos = |micros: u64| micros.saturating_mul(1_000);
    let verdict = match (refused, wait) {
        (true, wait) => Verdict::Refuse(nanos(wait)),
        (false, 0) => Verdict::Pass,
        (false, wait) => Verdict::Wait(nanos(wait)),
    };
    terms.account(verdict, nanos(ahead))
}

fn away(why: &'static str) -> redis::RedisError {
    (redis::ErrorKind::Io, why).into()
}

//! What is true now of pools and backends: one atomic a fact, the same for all workers, kept over reloads.
//!
//! Control writes health and drain, workers write in-flight and suspicion; a change that alters who may be picked moves the
//! pool's epoch, and workers that see a new epoch derive their pick tables anew.

mod guard;
mod keys;
mod limit;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::model::Service;
use policy::breaker::Breaker;
use policy::limit::{Adaptive, Counts, Params, Rates};

pub use keys::KeySet;
use policy::measure::{Ewma, Quantile};
use policy::retry::{Budget, BudgetParams};
use policy::sticky::Table;
use policy::{Key, Nanos};
use tokio::sync::Notify;

pub use limit::{LimitState, LimitTotals};

use crate::stats::{BackendCells, PoolCells};
use crate::upstream::queue::Line;
use guard::Guarded;

/// A value on cache lines of its own, for what several cores write.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the last health checks say of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not checked yet, or not checked at all: may be picked.
    Unknown,
    /// May be picked.
    Up,
    /// May not be picked.
    Down,
}

impl Health {
    /// The word for status, metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What a table of sessions was made for.
type SessionTerms = (Key, usize, Duration);

/// What is true of one pool, whatever configuration is in force.
#[derive(Debug)]
pub struct PoolState {
    /// The pool's name.
    pub name: String,
    epoch: AtomicU64,
    cursor: Padded<AtomicUsize>,
    budget: Mutex<Option<(BudgetParams, Arc<Budget>)>>,
    pub(crate) cells: Box<[PoolCells]>,
    breaker: Breaker,
    /// A Plan has gone by it: a backend that is new to it joins others that serve.
    serves: AtomicBool,
    /// Told when a worker suspects a backend, so that the health check looks at once.
    suspicion: Notify,
    sessions: Mutex<Option<(SessionTerms, Arc<Table>)>>,
    adaptive: Mutex<Option<Arc<Adaptive>>>,
    /// Who waits for one of its backends to have room.
    pub(crate) line: Line,
}

impl PoolState {
    fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            epoch: AtomicU64::new(0),
            cursor: Padded::default(),
            budget: Mutex::default(),
            cells: (0..workers).map(|_| PoolCells::default()).collect(),
            breaker: Breaker::default(),
            serves: AtomicBool::new(false),
            suspicion: Notify::new(),
            sessions: Mutex::default(),
            adaptive: Mutex::default(),
            line: Line::default(),
        }
    }

    /// The breaker of the pool as a whole; says nothing where it has none.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) fn set_serving(&self) {
        self.serves.store(true, SeqCst);
    }

    /// Moves whenever who may be picked has changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    pub(crate) fn changed(&self) {
        self.epoch.fetch_add(1, SeqCst);
        self.line.poke();
    }

    /// The next turn of the one order that all workers share.
    pub(crate) fn next_turn(&self) -> usize {
        self.cursor.fetch_add(1, Relaxed)
    }

    /// The turn that comes next, left where it is.
    pub(crate) fn turn(&self) -> usize {
        self.cursor.load(Relaxed)
    }

    /// The retry budget: the one before, unless its terms have changed.
    pub(crate) fn budget(&self, params: BudgetParams) -> Arc<Budget> {
        let mut known = lock(&self.budget);
        match &*known {
            Some((terms, budget)) if *terms == params => budget.clone(),
            _ => known.insert((params, Arc::new(Budget::new(params)))).1.clone(),
        }
    }

    /// Who was with which backend: the table before, unless its terms have changed.
    pub(crate) fn sessions(&self, key: &Key, clients: usize, ttl: Duration) -> Arc<Table> {
        let wanted = (key.clone(), clients, ttl);
        let mut known = lock(&self.sessions);
        match &*known {
            Some((terms, table)) if *terms == wanted => table.clone(),
            _ => known.insert((wanted, Arc::new(Table::new(clients, ttl)))).1.clone(),
        }
    }

    /// The limit that finds itself: the one before, unless its terms have changed.
    pub(crate) fn adaptive(&self, params: Params) -> Arc<Adaptive> {
        let mut known = lock(&self.adaptive);
        match &*known {
            Some(adaptive) if *adaptive.params() == params => adaptive.clone(),
            _ => known.insert(Arc::new(Adaptive::new(params))).clone(),
        }
    }

    /// Clients that such a table knows now; `None` without one.
    pub fn known_sessions(&self, now: Nanos) -> Option<usize> {
        let table = lock(&self.sessions).as_ref().map(|(_, table)| table.clone());
        table.map(|table| table.len(now))
    }

    /// How many exchanges wait for a backend with room.
    pub fn waiting(&self) -> u32 {
        self.line.waiting()
    }

    /// Waits until a worker suspects a backend of this pool.
    pub async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}

/// What is true of one backend, whatever configuration is in force.
#[derive(Debug)]
pub struct BackendState {
    /// `pool/address`: under this name it's found again after a reload.
    pub identity: String,
    /// A stable hash of the address, for the consistent hashes.
    pub(crate) id: u64,
    pool: Arc<PoolState>,
    health: AtomicU8,
    reason: Mutex<String>,
    /// Until when a failed connect keeps it out of rotation.
    suspect_until: AtomicU64,
    draining: AtomicBool,
    degraded: AtomicBool,
    /// Passes its checks, and is down only because it flapped.
    held_down: AtomicBool,
    guarded: Guarded,
    in_flight: Padded<AtomicU32>,
    latency: Padded<AtomicU64>,
    pub(crate) cells: Box<[BackendCells]>,
}

impl BackendState {
    fn new(pool: Arc<PoolState>, identity: String, address: &str, workers: usize) -> Self {
        Self {
            id: policy::balance::hash_key(address.as_bytes()),
            identity,
            pool,
            health: AtomicU8::new(0),
            reason: Mutex::default(),
            suspect_until: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            held_down: AtomicBool::new(false),
            guarded: Guarded::default(),
            in_flight: Padded::default(),
            latency: Padded::default(),
            cells: (0..workers).map(|_| BackendCells::default()).collect(),
        }
    }

    /// What the last checks say.
    pub fn health(&self) -> Health {
        match self.health.load(SeqCst) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// Publishes the verdict of the health checks with the reason a person reads. A verdict other than down ends a suspicion.
    pub fn set_health(&self, health: Health, reason: &str) {
        reason.clone_into(&mut lock(&self.reason));
        let word = match health {
            Health::Unknown => 0,
            Health::Up => 1,
            Health::Down => 2,
        };
        let before = self.health.swap(word, SeqCst);
        if before == 2 && health == Health::Up {
            self.come_back();
        }
        let suspected = health != Health::Down && self.suspect_until.swap(0, SeqCst) != 0;
        if before != word || suspected {
            self.pool.changed();
        }
    }

    /// Why it is in this state: the last check's finding.
    pub fn reason(&self) -> String {
        lock(&self.reason).clone()
    }

    /// Keeps it out of rotation until `until`, or longer if it is so already, unless nobody else is left, and has the health check look
    /// at once.
    pub fn suspect(&self, until: Nanos) {
        if self.suspect_until.fetch_max(until, SeqCst) == 0 {
            self.pool.changed();
            self.pool.suspicion.notify_one();
        }
    }

    /// Until when it's kept out of rotation; 0 when it is not.
    pub fn suspect_until(&self) -> Nanos {
        self.suspect_until.load(SeqCst)
    }

    pub(crate) fn is_suspect(&self, now: Nanos) -> bool {
        self.suspect_until() > now
    }

    /// Whether those who wait in line do not want it now.
    fn is_out_of_turn(&self, now: Nanos) -> bool {
        self.is_suspect(now) || self.outlier().is_ejected(now) || self.breaker().open_until() > now
    }

    /// Ends a suspicion whose time is over, so that the next one is news again.
    pub(crate) fn absolve(&self, now: Nanos) {
        let until = self.suspect_until();
        if until != 0 && until <= now {
            let _ = self.suspect_until.compare_exchange(until, 0, SeqCst, SeqCst);
        }
    }

    /// Takes it out of rotation for new exchanges, or back in.
    pub fn set_draining(&self, draining: bool) {
        if self.draining.swap(draining, SeqCst) != draining {
            self.pool.changed();
        }
    }

    /// Whether it takes no new exchanges.
    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Whether its checks say that it works, but not well: then it gets half its share.
    pub fn set_degraded(&self, degraded: bool) {
        if self.degraded.swap(degraded, SeqCst) != degraded {
            self.pool.changed();
        }
    }

    /// Whether it gets half its share.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(SeqCst)
    }

    /// Says whether it is down only because it flapped, and passes its checks (F11): it is tried where all others have failed.
    pub fn set_held_down(&self, held_down: bool) {
        if self.held_down.swap(held_down, SeqCst) != held_down {
            self.pool.changed();
        }
    }

    pub(crate) fn is_held_down(&self) -> bool {
        self.held_down.load(SeqCst)
    }

    /// Attempts that run now, of all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Counts one more attempt if that makes no more than `most`. Two workers that both see the last place don't both get it.
    pub(crate) fn begin_within(&self, most: u32) -> bool {
        if most == u32::MAX {
            self.begin();
            return true;
        }
        // Never more than `most`, not even for a moment in which another would find it full.
        self.in_flight.fetch_update(Relaxed, Relaxed, |n| (n < most).then(|| n + 1)).is_ok()
    }

    /// Ends an attempt at a backend that may have `most` of them: its place goes to the one whose turn it is, if somebody waits.
    pub(crate) fn leave(self: &Arc<Self>, most: u32, now: impl Fn() -> Nanos) {
        let line = &self.pool.line;
        loop {
            let joins = line.joins();
            let is_waited_for = line.waiting() > 0;
            let is_wanted =
                is_waited_for && self.in_flight() <= most && self.health() != Health::Down && !self.is_out_of_turn(now());
            if is_wanted && line.hand_on(self, most, now()) {
                return;
            }
            self.end();
            fence(SeqCst);
            if is_waited_for && !is_wanted {
                // It may be the last resort of those who look.
                line.poke();
            }
            // Who joined since looked before there was this place.
            if line.joins() == joins || !self.begin_within(most) {
                return;
            }
        }
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Peak EWMA of its latency, decayed to `now`; unit: nanoseconds, 0 when nothing is known.
    pub fn latency(&self, now: Nanos) -> u64 {
        Ewma::from_bits(self.latency.load(Relaxed)).at(now, Ewma::TAU)
    }

    /// Two workers may write at once; then one sample of the two is lost, which an average survives.
    pub(crate) fn observe_latency(&self, sample: Nanos, now: Nanos) {
        let known = Ewma::from_bits(self.latency.load(Relaxed));
        self.latency.store(known.observe(sample, now, Ewma::TAU).to_bits(), Relaxed);
    }
}

/// Never shown.
struct StickyKey([u8; 32]);

impl fmt::Debug for StickyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is true of one route, whatever configuration is in force.
#[derive(Debug, Default)]
pub(crate) struct RouteState {
    cursor: Padded<AtomicUsize>,
    /// The pool the operator sends everything to, and what the route was then.
    switched: Mutex<Option<Switched>>,
}

#[derive(Clone, Debug)]
struct Switched {
    pool: String,
    route: u64,
}

impl RouteState {
    /// The next turn among the route's pools, of all workers.
    pub(crate) fn next_turn(&self) -> usize {
        self.cursor.fetch_add(1, Relaxed)
    }

    /// The turn that comes next, left where it is.
    pub(crate) fn turn(&self) -> usize {
        self.cursor.load(Relaxed)
    }

    /// Where the operator sends everything, if the route is still what it was then. `route` is a hash of what the file says of it.
    pub(crate) fn switched(&self, route: u64) -> Option<String> {
        lock(&self.switched).as_ref().filter(|switched| switched.route == route).map(|switched| switched.pool.clone())
    }

    /// Forgets where everything was sent if the file has changed the route since.
    pub(crate) fn keep_switched(&self, route: u64) {
        lock(&self.switched).take_if(|switched| switched.route != route);
    }

    /// Sends everything to this pool from the next plan on, or where the file says.
    pub(crate) fn switch(&self, pool: Option<&str>, route: u64) {
        *lock(&self.switched) = pool.map(|pool| Switched { pool: pool.to_owned(), route });
    }
}

/// All pools and backends that the process has known since its start.
#[derive(Debug)]
pub struct Board {
    workers: usize,
    /// What sticky cookies are sealed with where the configuration has no key; `None` where the system gives no random numbers.
    sticky_key: Option<StickyKey>,
    pools: Mutex<HashMap<String, Arc<PoolState>>>,
    backends: Mutex<HashMap<String, Arc<BackendState>>>,
    listeners: Mutex<HashMap<String, Arc<AtomicU32>>>,
    latencies: Mutex<HashMap<(String, u16), Arc<Quantile>>>,
    limits: Mutex<HashMap<String, Arc<LimitState>>>,
    routes: Mutex<HashMap<String, Arc<RouteState>>>,
    /// What each key of each rate limit owes.
    pub rates: Arc<Rates>,
    /// What runs of each key of each limit of concurrent exchanges, and of each address's connections.
    pub counts: Arc<Counts>,
    key_sets: Mutex<HashMap<Service, Arc<KeySet>>>,
}

impl Board {
    /// For this many workers: each has cells of its own in every pool and backend.
    pub fn new(workers: usize) -> Self {
        let mut key = [0; 32];
        let sticky_key = aws_lc_rs::rand::fill(&mut key).is_ok().then_some(StickyKey(key));
        Self {
            workers,
            sticky_key,
            pools: Mutex::default(),
            backends: Mutex::default(),
            listeners: Mutex::default(),
            latencies: Mutex::default(),
            limits: Mutex::default(),
            routes: Mutex::default(),
            rates: Arc::default(),
            counts: Arc::default(),
            key_sets: Mutex::default(),
        }
    }

    /// The secret of this process, the same over all reloads.
    pub(crate) fn sticky_key(&self) -> Option<&[u8]> {
        self.sticky_key.as_ref().map(|key| &key.0[..])
    }

    /// The state of the pool of this name, new if there was none.
    pub fn pool(&self, name: &str) -> Arc<PoolState> {
        lock(&self.pools).entry(name.to_owned()).or_insert_with(|| Arc::new(PoolState::new(name, self.workers))).clone()
    }

    /// The count of open connections of the listener of this name.
    pub(crate) fn listener(&self, name: &str) -> Arc<AtomicU32> {
        lock(&self.listeners).entry(name.to_owned()).or_default().clone()
    }

    /// What so many in a thousand of the attempts of the route of this name take.
    pub(crate) fn latency_of(&self, route: &str, permille: u16) -> Arc<Quantile> {
        lock(&self.latencies).entry((route.to_owned(), permille)).or_default().clone()
    }

    /// What the limits of the route of this name have done.
    pub(crate) fn limit(&self, route: &str) -> Arc<LimitState> {
        lock(&self.limits).entry(route.to_owned()).or_insert_with(|| Arc::new(LimitState::new(route, self.workers))).clone()
    }

    /// The state of the route of this name, new if there was none.
    pub(crate) fn route(&self, name: &str) -> Arc<RouteState> {
        lock(&self.routes).entry(name.to_owned()).or_default().clone()
    }

    /// The state of this backend of the pool, new if there was none.
    pub fn backend(&self, pool: &Arc<PoolState>, address: &str) -> Arc<BackendState> {
        let identity = format!("{}/{address}", pool.name);
        lock(&self.backends)
            .entry(identity)
            .or_insert_with_key(|identity| {
                let state = BackendState::new(pool.clone(), identity.clone(), address, self.workers);
                if pool.serves.load(SeqCst) {
                    state.begin_slowly();
                }
                Arc::new(state)
            })
            .clone()
    }

    /// The keys of issuers of tokens that are fetched from there, none at first.
    pub fn key_set(&self, url: &Service) -> Arc<KeySet> {
        lock(&self.key_sets).entry(url.clone()).or_default().clone()
    }

    /// Forgets what no Plan uses any more, so that names that resolve to ever new addresses don't fill memory.
    pub(crate) fn forget_unused(&self) {
        lock(&self.backends).retain(|_, state| Arc::strong_count(state) > 1 || state.in_flight() > 0);
        lock(&self.pools).retain(|_, state| Arc::strong_count(state) > 1);
        lock(&self.routes).retain(|_, state| Arc::strong_count(state) > 1);
        lock(&self.limits).retain(|_, state| Arc::strong_count(state) > 1);
        lock(&self.key_sets).retain(|_, keys| Arc::strong_count(keys) > 1);
    }
}

/// The mutexes here guard single inserts and copies, which leave a whole value behind whatever happens.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_found_again_keeps_its_state() {
        let board = Board::new(2);
        let pool = board.pool("api");
        let backend = board.backend(&pool, "10.0.0.1:80");
        backend.set_health(Health::Down, "refused");
        backend.begin();
        let again = board.backend(&board.pool("api"), "10.0.0.1:80");
        assert_eq!((again.health(), again.reason().as_str(), again.in_flight()), (Health::Down, "refused", 1));
    }

    #[test]
    fn a_limit_that_finds_itself_is_kept_until_its_terms_change() {
        let board = Board::new(1);
        let params = Params::default();
        let limit = board.pool("api").adaptive(params);
        assert!(Arc::ptr_eq(&limit, &board.pool("api").adaptive(params)));
        assert!(!Arc::ptr_eq(&limit, &board.pool("api").adaptive(Params { max: 10, ..params })));
    }

    #[test]
    fn only_what_changes_who_may_be_picked_moves_the_epoch() {
        let board = Board::new(1);
        let pool = board.pool("api");
        let backend = board.backend(&pool, "10.0.0.1:80");
        let mut last = pool.epoch();
        let mut moved = || {
            let now = pool.epoch();
            std::mem::replace(&mut last, now) != now
        };
        backend.set_health(Health::Up, "200");
        assert!(moved());
        backend.set_health(Health::Up, "200 again");
        assert!(!moved());
        backend.suspect(5);
        assert!(moved());
        backend.suspect(6);
        assert!(!moved());
        backend.set_health(Health::Up, "200");
        assert!(moved() && !backend.is_suspect(0));
        backend.begin();
        assert!(!moved());
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let board = Board::new(1);
        let pool = board.pool("api");
        let kept = board.backend(&pool, "10.0.0.1:80");
        board.backend(&pool, "10.0.0.2:80");
        board.forget_unused();
        assert_eq!(lock(&board.backends).len(), 1);
        drop((kept, pool));
        board.forget_unused();
        assert!(lock(&board.backends).is_empty());
        board.forget_unused();
        assert!(lock(&board.pools).is_empty());
    }
}

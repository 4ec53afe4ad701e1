//! A worker: one core's thread, runtime, listeners, connections, idle connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use net::{Acceptor, Pipes};
use policy::limit::Claim;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::accept;
use crate::buffer::Buffers;
use crate::filter::kept::Kept;
use crate::http::h1::Scratch;
use crate::log::Lines;
use crate::plan::{Listener, Plan};
use crate::stats::WorkerCells;
use crate::store::{Settings, Store};
use crate::timer::Timers;
use crate::upstream::pick::LocalPool;

/// How many sets of parse state a worker keeps for connections that wake up.
const SCRATCH_KEPT: usize = 64;

/// So many connections that went quiet or away are worth giving memory back for.
const BURST: u32 = 256;

/// What control tells a worker.
pub(crate) enum Command {
    /// Work by this plan from now on.
    Publish { plan: Arc<Plan>, done: oneshot::Sender<()> },
    /// Listen on these addresses too, and no longer on those. Comes when all workers have the plan, so that none is handed a
    /// connection that it can't serve.
    Listen { open: Vec<(SocketAddr, TcpListener)>, close: Vec<SocketAddr>, done: oneshot::Sender<()> },
    /// A connection that another worker accepted and counted here, by the listener it came in by.
    Adopt { socket: TcpStream, peer: SocketAddr, address: SocketAddr, listener: Arc<Listener>, claim: Option<Claim> },
    /// Take nothing new, end what runs.
    Drain,
}

/// What all workers know of each other.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) commands: UnboundedSender<Command>,
    pub(crate) cells: Arc<WorkerCells>,
}

/// What a worker is started with.
pub(crate) struct Seat {
    pub(crate) id: usize,
    pub(crate) ports: Arc<[Port]>,
    pub(crate) commands: UnboundedReceiver<Command>,
    pub(crate) start: Instant,
    pub(crate) seed: u64,
    pub(crate) max_connections: u32,
    pub(crate) log: crate::log::Sink,
}

/// The plan as one worker uses it.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) plan: Arc<Plan>,
    pub(crate) pools: Vec<LocalPool>,
}

impl Local {
    fn new(plan: Arc<Plan>, before: Option<&Self>) -> Self {
        let pools = plan.pools.iter().map(|pool| {
            let before = before.and_then(|before| before.pools.iter().find(|local| local.pool.name == pool.name));
            LocalPool::new(pool.clone(), before)
        });
        Self { pools: pools.collect(), plan }
    }
}

/// One address this worker accepts on.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    listener: RefCell<Arc<Listener>>,
    pub(crate) close: Notify,
}

impl Gate {
    fn new(address: SocketAddr, listener: Arc<Listener>) -> Self {
        Self { address, listener: RefCell::new(listener), close: Notify::new() }
    }

    /// The listener's settings now. Connections keep those of a listener that is gone.
    pub(crate) fn listener(&self) -> Arc<Listener> {
        self.listener.borrow().clone()
    }

    /// Whether it has as many connections as it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.listener.borrow().is_full()
    }

    /// Whether `listener` is still what this gate goes by.
    pub(crate) fn is_current(&self, listener: &Arc<Listener>) -> bool {
        Arc::ptr_eq(&self.listener.borrow(), listener)
    }
}

/// What the tasks of a worker share.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) ports: Arc<[Port]>,
    pub(crate) cells: Arc<WorkerCells>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) buffers: Buffers,
    pub(crate) pipes: Pipes,
    pub(crate) rng: RefCell<fastrand::Rng>,
    pub(crate) max_connections: u32,
    pub(crate) lines: Lines,
    pub(crate) kept: Kept,
    draining: Cell<bool>,
    local: RefCell<Option<Rc<Local>>>,
    store: RefCell<Option<Rc<Store>>>,
    gates: RefCell<HashMap<SocketAddr, Rc<Gate>>>,
    /// Boxed, so that waking up and parking moves a pointer.
    #[expect(clippy::vec_box)]
    scratch: RefCell<Vec<Box<Scratch>>>,
    /// Connections that have given their buffers back since memory was last given back.
    parked: Cell<u32>,
}

impl Worker {
    /// The plan in force. A request takes it once and keeps it to its end.
    pub(crate) fn local(&self) -> Option<Rc<Local>> {
        self.local.borrow().clone()
    }

    /// The way to the store that the plan in force names.
    pub(crate) fn store(&self) -> Option<Rc<Store>> {
        self.store.borrow().clone()
    }

    /// Keeps the connection unless the plan names another store.
    fn follow_store(&self, settings: Option<&Arc<Settings>>) {
        let mut store = self.store.borrow_mut();
        if store.as_ref().map(|store| &store.settings) != settings {
            *store = settings.map(|settings| Rc::new(Store::start(settings.clone(), self.cells.clone())));
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Takes note of a connection that waits with nothing but its socket.
    pub(crate) fn count_parked(&self) {
        self.parked.set(self.parked.get() + 1);
    }

    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_scratch(&self, scratch: Box<Scratch>) {
        let mut kept = self.scratch.borrow_mut();
        if kept.len() < SCRATCH_KEPT {
            kept.push(scratch);
        }
    }

    fn publish(&self, plan: Arc<Plan>) {
        self.follow_store(plan.store.as_ref());
        let before = self.local.borrow().clone();
        *self.local.borrow_mut() = Some(Rc::new(Local::new(plan.clone(), before.as_deref())));
        for (address, gate) in &*self.gates.borrow() {
            if let Some(listener) = plan.listener(*address) {
                *gate.listener.borrow_mut() = listener.clone();
            }
        }
    }

    fn listen(self: &Rc<Self>, open: Vec<(SocketAddr, TcpListener)>, close: &[SocketAddr]) {
        let local = self.local();
        for (address, socket) in open {
            let listener = local.as_ref().and_then(|local| local.plan.listener(address));
            let Some(listener) = listener.cloned() else { continue };
            match Acceptor::new(socket) {
                Ok(acceptor) => {
                    let gate = Rc::new(Gate::new(address, listener));
                    self.gates.borrow_mut().insert(address, gate.clone());
                    tokio::task::spawn_local(accept::run(self.clone(), gate, acceptor));
                }
                Err(e) => tracing::error!("worker {} can't accept on {address}: {e}", self.id),
            }
        }
        for address in close {
            if let Some(gate) = self.gates.borrow_mut().remove(address) {
                gate.close.notify_one();
            }
        }
    }

    fn drain(&self) {
        self.draining.set(true);
        for (_, gate) in self.gates.borrow_mut().drain() {
            gate.close.notify_one();
        }
        self.timers.wake_all();
    }

    fn adopt(
        self: &Rc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        address: SocketAddr,
        listener: Arc<Listener>,
        claim: Option<Claim>,
    ) {
        // The gate may not be open here yet, or closed since; the connection was accepted all the same.
        let gate = self.gates.borrow().get(&address).cloned();
        let counted = Counted::handed(self, listener.open.clone(), claim);
        let gate = gate.unwrap_or_else(|| Rc::new(Gate::new(address, listener)));
        accept::begin(self, &gate, socket, peer, counted);
    }
}

/// Runs a worker on the calling thread until the process ends.
pub(crate) fn run(seat: Seat) {
    net::name_thread(&format!("worker-{}", seat.id));
    // Passwords are checked there, one at a time: more would take the cores away from the workers.
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .build_local(LocalOptions::default());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!("worker {} can't start: {e}", seat.id);
            return;
        }
    };
    runtime.block_on(work(seat));
}

pub(crate) async fn work(seat: Seat) {
    let Seat { id, ports, mut commands, start, seed, max_connections, log } = seat;
    let mut rng = fastrand::Rng::with_seed(seed);
    let worker = Rc::new(Worker {
        kept: Kept::new(&mut rng),
        id,
        cells: ports[id].cells.clone(),
        ports,
        timers: Timers::new(start),
        buffers: Buffers::default(),
        pipes: Pipes::default(),
        rng: RefCell::new(rng),
        max_connections,
        lines: Lines::new(log),
        draining: Cell::new(false),
        local: RefCell::default(),
        store: RefCell::default(),
        gates: RefCell::default(),
        scratch: RefCell::default(),
        parked: Cell::new(0),
    });
    tokio::task::spawn_local(worker.timers.clone().sweep());
    tokio::task::spawn_local(tidy(worker.clone()));
    tokio::task::spawn_local(flush(worker.clone()));
    while let Some(command) = commands.recv().await {
        match command {
            // Control may have given up waiting; what it said holds all the same.
            Command::Publish { plan, done } => {
                worker.publish(plan);
                let _ = done.send(());
            }
            Command::Listen { open, close, done } => {
                worker.listen(open, &close);
                let _ = done.send(());
            }
            Command::Adopt { socket, peer, address, listener, claim } => worker.adopt(socket, peer, address, listener, claim),
            Command::Drain => worker.drain(),
        }
    }
}

/// Closes idle upstream connections that are too old or were closed by the backend, and gives memory back after a burst.
async fn tidy(worker: Rc<Worker>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let mut most_open = 0;
    loop {
        every.tick().await;
        let open = worker.cells.open.load(Relaxed);
        most_open = open.max(most_open);
        if worker.parked.get() >= BURST || most_open - open >= open + BURST {
            worker.parked.set(0);
            most_open = open;
            worker.buffers.trim();
            net::give_memory_back();
        }
        let now = worker.timers.now();
        worker.kept.tidy(now);
        let Some(local) = worker.local() else { continue };
        for local in &local.pools {
            for idle in &local.idle {
                idle.tidy(local.pool.idle_timeout, local.pool.idle_connections, now);
            }
        }
    }
}

/// Sends on what has been logged, soon after it was.
async fn flush(worker: Rc<Worker>) {
    loop {
        worker.lines.written().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        worker.cells.log_lost.add(worker.lines.flush());
    }
}

/// Counts a connection as long as it lives, and notes a panic that ends it.
pub(crate) struct Counted {
    worker: Rc<Worker>,
    of_listener: Arc<AtomicU32>,
    _of_address: Option<Claim>,
}

impl Counted {
    pub(crate) fn new(worker: &Rc<Worker>, gate: &Gate, of_address: Option<Claim>) -> Self {
        worker.cells.open.fetch_add(1, Relaxed);
        let of_listener = gate.listener.borrow().open.clone();
        of_listener.fetch_add(1, Relaxed);
        Self::handed(worker, of_listener, of_address)
    }

    /// For a connection that the worker who handed it on has counted, here and for its listener.
    fn handed(worker: &Rc<Worker>, of_listener: Arc<AtomicU32>, of_address: Option<Claim>) -> Self {
        Self { worker: worker.clone(), of_listener, _of_address: of_address }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.cells.open.fetch_sub(1, Relaxed);
        self.of_listener.fetch_sub(1, Relaxed);
        if std::thread::panicking() {
            self.worker.cells.panics.add(1);
        }
    }
}

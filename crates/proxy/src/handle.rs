//! The data plane as control sees it: publish, drain, read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use policy::Nanos;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use crate::board::Board;
use crate::log::Sink;
use crate::plan::Plan;
use crate::stats::{Totals, WorkerCells};
use crate::worker::{Command, Port, Seat, run};

/// Descriptors left for what is not a connection: listeners, logs, probes, the reactors.
const RESERVED: u64 = 100;

/// How the data plane is started.
#[derive(Debug)]
pub struct Options {
    /// One thread each.
    pub workers: NonZeroUsize,
    /// The limit of open descriptors; it bounds the connections.
    pub descriptors: u64,
    /// Where access log lines go.
    pub log: Sink,
    /// Where the workers' dice start.
    pub seed: u64,
}

/// An address that could not be listened on. Nothing of the plan is in force.
#[derive(Debug)]
pub struct CantListen {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for CantListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen on {}: {}", self.address, self.error)
    }
}

impl std::error::Error for CantListen {}

/// The running data plane.
#[derive(Debug)]
pub struct Handle {
    ports: Arc<[Port]>,
    board: Board,
    plan: ArcSwapOption<Plan>,
    start: Instant,
    /// Addresses as configured, and as they are.
    open: Mutex<BTreeMap<SocketAddr, SocketAddr>>,
}

impl Handle {
    /// Starts the workers. They do nothing until the first [`Handle::publish`].
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn start(options: Options) -> io::Result<Self> {
        let start = Instant::now();
        let workers = options.workers.get();
        let (ports, receivers): (Vec<Port>, Vec<_>) = (0..workers)
            .map(|_| {
                let (commands, receiver) = mpsc::unbounded_channel();
                (Port { commands, cells: Arc::new(WorkerCells::default()) }, receiver)
            })
            .unzip();
        let ports: Arc<[Port]> = ports.into();
        let max_connections = u32::try_from(options.descriptors.saturating_sub(RESERVED)).unwrap_or(u32::MAX).max(1);
        for (id, commands) in receivers.into_iter().enumerate() {
            let seat = Seat {
                id,
                ports: ports.clone(),
                commands,
                start,
                seed: options.seed.wrapping_add(id as u64),
                max_connections,
                log: options.log.clone(),
            };
            std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || run(seat))?;
        }
        Ok(Self { ports, board: Board::new(workers), plan: ArcSwapOption::empty(), start, open: Mutex::default() })
    }

    /// What is true of pools and backends; plans are compiled against it.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The plan in force; `None` before the first.
    pub fn plan(&self) -> Option<Arc<Plan>> {
        self.plan.load_full()
    }

    /// The time by which workers go.
    pub fn now(&self) -> Nanos {
        self.start.elapsed().as_nanos() as Nanos
    }

    /// Has all workers work by this plan from the next request on. Returns when they do.
    ///
    /// Addresses that the plan before listened on too stay open throughout; on those that are gone nothing new is accepted, while
    /// connections that came in by them live on.
    ///
    /// # Errors
    /// When an address can't be listened on; then the plan before stays in force as a whole.
    pub async fn publish(&self, plan: Plan) -> Result<(), CantListen> {
        let mut open = self.open.lock().await;
        let wanted: Vec<SocketAddr> = plan.addresses().collect();
        let mut fresh = Vec::new();
        for address in wanted.iter().filter(|address| !open.contains_key(address)) {
            // Those of ours that this plan closes are still open.
            let is_beside = open.keys().any(|known| known.port() == address.port());
            let bind = if is_beside { net::bind_beside } else { net::bind };
            let bound = bind(*address, self.ports.len()).map_err(|error| CantListen { address: *address, error })?;
            fresh.push((*address, bound));
        }
        let close: Vec<SocketAddr> = open.keys().filter(|address| !wanted.contains(address)).copied().collect();
        let plan = Arc::new(plan);
        self.plan.store(Some(plan.clone()));
        plan.settle();
        open.retain(|address, _| !close.contains(address));
        let mut shares: Vec<Vec<(SocketAddr, TcpListener)>> = self.ports.iter().map(|_| Vec::new()).collect();
        for (address, bound) in fresh {
            open.insert(address, bound.address);
            for (share, socket) in shares.iter_mut().zip(bound.sockets) {
                share.push((address, socket));
            }
        }
        self.tell(|done, _| Command::Publish { plan: plan.clone(), done }).await;
        self.tell(|done, id| Command::Listen { open: std::mem::take(&mut shares[id]), close: close.clone(), done }).await;
        Ok(())
    }

    /// Tells every worker, and waits until each has done it.
    async fn tell(&self, mut command: impl FnMut(oneshot::Sender<()>, usize) -> Command) {
        let mut waiting = Vec::new();
        for (id, port) in self.ports.iter().enumerate() {
            let (done, is_done) = oneshot::channel();
            if port.commands.send(command(done, id)).is_ok() {
                waiting.push(is_done);
            }
        }
        for is_done in waiting {
            // A worker that is gone does nothing; its end is reported where it ended.
            let _ = is_done.await;
        }
    }

    /// The addresses listened on: as configured, and as they are where the kernel chose the port.
    pub async fn listening(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.open.lock().await.iter().map(|(asked, real)| (*asked, *real)).collect()
    }

    /// Takes nothing new and lets what runs end, for at most `patience`. True if everything ended in time.
    pub async fn drain(&self, patience: Duration) -> bool {
        for port in self.ports.iter() {
            let _ = port.commands.send(Command::Drain);
        }
        let until = Instant::now() + patience;
        // What the kernel had accepted for us comes in first; a worker that has not seen the command yet may look empty.
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.open_connections() == 0 {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    /// Client connections open now.
    pub fn open_connections(&self) -> u32 {
        self.ports.iter().map(|port| port.cells.open.load(Relaxed)).sum()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.ports.len()
    }

    /// What happened, summed over all workers.
    pub fn totals(&self) -> Totals {
        Totals::sum(self.ports.iter().map(|port| &*port.cells))
    }
}

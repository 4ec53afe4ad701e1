//! Backends that keep every byte they were sent and do exactly what they are told: answer, stall, refuse, reset or close at any byte.

mod connection;
mod script;

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

pub use script::{Answer, Script, Step, duration};

use crate::Checksum;

/// One exchange as a backend saw it: from the first byte that came when nothing was awaited to the end of its script.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The backend's name.
    pub backend: String,
    /// The number of the connection, from 1 in the order of the first byte. Connections without a byte (health checks) have none.
    pub connection: u64,
    /// Which exchange of its connection, from 1.
    pub turn: u64,
    /// Exactly what was sent, as far as it was read; of more than [`Exchange::KEPT`] bytes only the first.
    pub bytes: Vec<u8>,
    /// How many bytes came in all.
    pub total: u64,
    /// The body, decoded, as far as `bytes` goes.
    pub body: Vec<u8>,
    /// Bytes of the decoded body.
    pub body_length: u64,
    /// Over the whole decoded body.
    pub checksum: Checksum,
    /// A whole, strictly framed request was read.
    pub complete: bool,
    /// What was wrong with it, if something was.
    pub fault: Option<String>,
    /// The script has ended.
    pub over: bool,
}

impl Exchange {
    /// How many bytes of one exchange are kept.
    pub const KEPT: usize = 1 << 20;

    /// The head of the request, if a legal one was seen.
    pub fn head(&self) -> Option<crate::message::Head> {
        crate::message::Head::parse(&self.bytes).ok().flatten()
    }

    /// The request line, empty if none was seen.
    pub fn line(&self) -> String {
        self.head().map(|head| head.line).unwrap_or_default()
    }
}

/// What several backends are to do next, whichever of them is reached first.
///
/// The first exchange to begin takes the first script; when there is none the default is used. Sharing one among all backends of a pool
/// lets a test say "the first attempt is reset" without knowing where it will go.
#[derive(Debug)]
pub struct Agenda {
    next: Mutex<VecDeque<Script>>,
    default: Mutex<Script>,
}

impl Agenda {
    /// Nothing special to do; every exchange by `default`.
    pub fn new(default: Script) -> Arc<Self> {
        Arc::new(Self { next: Mutex::default(), default: Mutex::new(default) })
    }

    /// Adds a script for one exchange yet to begin.
    pub fn push(&self, script: Script) {
        lock(&self.next).push_back(script);
    }

    /// Forgets scripts nobody has taken; says how many there were.
    pub fn clear(&self) -> usize {
        lock(&self.next).drain(..).count()
    }

    /// What to do when nothing else is asked.
    pub fn set_default(&self, script: Script) {
        *lock(&self.default) = script;
    }

    fn take(&self) -> Script {
        lock(&self.next).pop_front().unwrap_or_else(|| lock(&self.default).clone())
    }
}

/// A backend on a port of its own.
#[derive(Debug)]
pub struct Recording {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Option<thread::JoinHandle<()>>,
    /// Holds the port while nobody listens on it.
    held: Option<Socket>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    agenda: Arc<Agenda>,
    exchanges: Mutex<Vec<Exchange>>,
    changed: Condvar,
    live: Mutex<HashMap<u64, Weak<TcpStream>>>,
    accepted: AtomicU64,
    spoken: AtomicU64,
    /// Goes up with each kill; a connection of an earlier life ends.
    life: AtomicU64,
    deaf: AtomicBool,
}

impl Recording {
    /// A backend that answers every request with what it was, as JSON.
    pub fn start(name: &str) -> Self {
        Self::with(name, Script::echo_json())
    }

    /// A backend that does this with every exchange.
    pub fn with(name: &str, default: Script) -> Self {
        Self::sharing(name, Agenda::new(default))
    }

    /// A backend that takes its scripts from an agenda it shares with others.
    pub fn sharing(name: &str, agenda: Arc<Agenda>) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            agenda,
            exchanges: Mutex::default(),
            changed: Condvar::new(),
            live: Mutex::default(),
            accepted: AtomicU64::new(0),
            spoken: AtomicU64::new(0),
            life: AtomicU64::new(0),
            deaf: AtomicBool::new(true),
        });
        let held = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = held.local_addr().ok().and_then(|a| a.as_socket()).expect("a bound socket has an address");
        let mut backend = Self { shared, address, listening: None, held: Some(held) };
        backend.restart();
        backend
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name, as in its answers.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its agenda.
    pub fn agenda(&self) -> &Arc<Agenda> {
        &self.shared.agenda
    }

    /// Adds a script for one exchange yet to begin.
    pub fn next(&self, script: Script) {
        self.shared.agenda.push(script);
    }

    /// Every exchange so far, in the order they began.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.exchanges).clone()
    }

    /// How many exchanges there were.
    pub fn count(&self) -> usize {
        lock(&self.shared.exchanges).len()
    }

    /// The exchanges that began after there were `mark` of them ([`Recording::count`]).
    pub fn since(&self, mark: usize) -> Vec<Exchange> {
        lock(&self.shared.exchanges).get(mark..).unwrap_or_default().to_vec()
    }

    /// Connections accepted so far, health checks included.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        lock(&self.shared.live).values().filter(|c| c.strong_count() > 0).count()
    }

    /// Waits until the exchanges satisfy `test`; false when they do not in time.
    pub fn wait_until(&self, within: Duration, test: impl Fn(&[Exchange]) -> bool) -> bool {
        let deadline = Instant::now() + within;
        let mut exchanges = lock(&self.shared.exchanges);
        while !test(&exchanges) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            exchanges = self.shared.changed.wait_timeout(exchanges, left).expect("no panic while held").0;
        }
        true
    }

    /// Dies as a killed process does: nobody listens any more, every connection is reset. The port stays bound, so it refuses.
    pub fn kill(&mut self) {
        self.refuse();
        self.reset_connections();
    }

    /// Stops listening but keeps its connections: new ones are refused.
    pub fn refuse(&mut self) {
        if self.stop_listening() {
            self.held = Some(bound(self.address));
        }
    }

    /// Gives the port back; false if it did not listen.
    fn stop_listening(&mut self) -> bool {
        let Some(listening) = self.listening.take() else {
            return false;
        };
        self.shared.deaf.store(true, Ordering::SeqCst);
        // The accepting thread is blocked in accept(); this is its wake-up.
        drop(TcpStream::connect(self.address));
        listening.join().expect("the accepting thread never panics");
        true
    }

    /// Listens again, on the same port.
    pub fn restart(&mut self) {
        let Some(socket) = self.held.take() else {
            return;
        };
        socket.listen(1024).expect("a bound socket can listen");
        self.shared.deaf.store(false, Ordering::SeqCst);
        let (listener, shared) = (TcpListener::from(socket), Arc::clone(&self.shared));
        self.listening = Some(thread::spawn(move || accept(&listener, &shared)));
    }

    /// Resets every open connection.
    pub fn reset_connections(&self) {
        self.shared.life.fetch_add(1, Ordering::SeqCst);
        for stream in lock(&self.shared.live).values().filter_map(Weak::upgrade) {
            // With no linger the last close sends RST; shutting down our reading side says nothing to the peer but wakes the thread.
            let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(std::net::Shutdown::Read);
        }
        self.wait_for_no_connection();
    }

    /// Closes every open connection with FIN.
    pub fn close_connections(&self) {
        for stream in lock(&self.shared.live).values().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    fn wait_for_no_connection(&self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.open_connections() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Not `refuse`: the port need not be held any more, and somebody else may have it by now.
        self.stop_listening();
        self.shared.life.fetch_add(1, Ordering::SeqCst);
        for stream in lock(&self.shared.live).values().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.deaf.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let id = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let stream = Arc::new(stream);
        let mut live = lock(&shared.live);
        live.retain(|_, c| c.strong_count() > 0);
        live.insert(id, Arc::downgrade(&stream));
        drop(live);
        let shared = Arc::clone(shared);
        let spawned = thread::Builder::new().stack_size(256 << 10).spawn(move || connection::serve(stream, &shared));
        drop(spawned.expect("a thread"));
    }
}

fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option of every TCP socket");
    socket.bind(&address.into()).unwrap_or_else(|e| panic!("no backend at {address}: {e}"));
    socket
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while held")
}

/// An address that refuses every connection and is held, so that nobody else answers there.
#[derive(Debug)]
pub struct Refusing(Socket);

impl Refusing {
    /// Bound, not listening.
    pub fn start() -> Self {
        Self(bound(SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().ok().and_then(|a| a.as_socket()).expect("a bound socket has an address")
    }
}

/// A backend that accepts (in the kernel) until it is clogged; then connecting to it takes for ever, as to a host that is gone.
#[derive(Debug)]
pub struct Clogging {
    listener: Socket,
    fillers: Mutex<Vec<TcpStream>>,
}

impl Clogging {
    /// Listens with room for a few connections nobody will ever accept: a TCP health check still passes.
    pub fn start() -> Self {
        let listener = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        listener.listen(8).expect("a bound socket can listen");
        Self { listener, fillers: Mutex::default() }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().ok().and_then(|a| a.as_socket()).expect("a bound socket has an address")
    }

    /// Takes up the room that is left: from now on connecting neither succeeds nor fails.
    pub fn clog(&self) {
        while let Ok(stream) = TcpStream::connect_timeout(&self.address(), Duration::from_millis(100)) {
            lock(&self.fillers).push(stream);
        }
    }
}

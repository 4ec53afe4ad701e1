//! Rows E3 and E6 of the safety contract, which need a look inside: a clock that can be moved, and an exchange that panics.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use crate::board::Board;
use crate::buffer::STEP;
use crate::handle::{Handle, Options};
use crate::http::exchange::PANICS;
use crate::plan::Plan;
use crate::stats::{Totals, WorkerCells};
use crate::worker::{Command, Port, Seat, work};

const SECOND: Duration = Duration::from_secs(1);

fn plan(backend: SocketAddr, board: &Board) -> Plan {
    let text = format!("listen = \"127.0.0.1:0\"\nbackends = [\"{backend}\"]\nhealth = false\nlog = {{ access = \"off\" }}\n");
    Plan::compile(&config::parse("test", &text).unwrap(), &|_, _| Vec::new(), board)
}

/// A backend that answers each request, all on threads of their own.
fn backend(answer: impl Fn(&mut TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut request = [0; 4096];
                while matches!(stream.read(&mut request), Ok(n) if n > 0) {
                    answer(&mut stream);
                }
            });
        }
    });
    address
}

fn status(client: &mut TcpStream, path: &str) -> String {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let n = client.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..n.min(12)]).into_owned()
}

/// Row E6.
#[test]
fn a_panic_in_one_exchange_ends_that_exchange_only() {
    let backend = backend(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap());
    let options = Options { workers: NonZeroUsize::MIN, descriptors: 1024, log: sync_channel(1).0, seed: 1 };
    let handle = Handle::start(options).unwrap();
    let front = Builder::new_current_thread().build().unwrap().block_on(async {
        handle.publish(plan(backend, handle.board())).await.unwrap();
        handle.listening().await[0].1
    });
    let connect = || TcpStream::connect(front).unwrap();
    let (mut other, mut victim) = (connect(), connect());
    assert_eq!(status(&mut other, "/"), "HTTP/1.1 200");
    assert_eq!(status(&mut victim, "/"), "HTTP/1.1 200");
    assert_eq!(status(&mut victim, PANICS), "", "its connection is closed without an answer");
    assert_eq!(status(&mut other, "/"), "HTTP/1.1 200", "another connection of the same worker goes on");
    assert_eq!(status(&mut connect(), "/"), "HTTP/1.1 200", "and new ones are taken");
    assert_eq!(handle.totals().panics, 1);
    drop((other, victim));
    let deadline = Instant::now() + SECOND * 5;
    // A client may have its answer a moment before the attempt is over.
    let plan = handle.plan().unwrap();
    while plan.pools[0].backends[0].state.in_flight() > 0 {
        assert!(Instant::now() < deadline, "an attempt is still counted");
        thread::sleep(SECOND / 100);
    }
    while handle.open_connections() > 0 {
        assert!(Instant::now() < deadline, "{} connections are still counted", handle.open_connections());
        thread::sleep(SECOND / 100);
    }
}

/// A worker on this thread's paused clock, before a backend whose answer never ends, and a client that has asked for it.
struct Slow {
    plan: Arc<Plan>,
    cells: Arc<WorkerCells>,
    client: TcpStream,
    /// Bytes the backend got rid of.
    written: Arc<AtomicU64>,
}

impl Slow {
    async fn start() -> Self {
        let written = Arc::<AtomicU64>::default();
        let counter = written.clone();
        let backend = backend(move |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while let Ok(n) = stream.write(&[b'x'; 65_536]) {
                counter.fetch_add(n as u64, SeqCst);
            }
        });
        let (commands, receiver) = mpsc::unbounded_channel();
        let cells = Arc::<WorkerCells>::default();
        let ports: Arc<[Port]> = Arc::new([Port { commands: commands.clone(), cells: cells.clone() }]);
        let start = tokio::time::Instant::now();
        let seat = Seat { id: 0, ports, commands: receiver, start, seed: 1, max_connections: 10, log: sync_channel(1).0 };
        tokio::task::spawn_local(work(seat));
        let plan = Arc::new(plan(backend, &Board::new(1)));
        let address = plan.addresses().next().unwrap();
        let bound = net::bind(address, 1).unwrap();
        let open = bound.sockets.into_iter().map(|socket| (address, socket)).collect();
        let (done, published) = oneshot::channel();
        assert!(commands.send(Command::Publish { plan: plan.clone(), done }).is_ok());
        published.await.unwrap();
        let (done, listening) = oneshot::channel();
        assert!(commands.send(Command::Listen { open, close: Vec::new(), done }).is_ok());
        listening.await.unwrap();
        let mut client = TcpStream::connect(bound.address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client.set_nonblocking(true).unwrap();
        Self { plan, cells, client, written }
    }

    /// Lets the worker run until nothing has moved for a tenth of a second.
    async fn settle(&self) {
        let (mut last, mut quiet) = (0, 0);
        while quiet < 10 {
            breathe().await;
            let now = self.written.load(SeqCst);
            quiet = if now == last && now > 0 { quiet + 1 } else { 0 };
            last = now;
        }
    }

    fn is_served(&self) -> bool {
        self.plan.pools[0].backends[0].state.in_flight() == 1
    }

    /// Takes what has come, which is never the end.
    fn take(&mut self) -> u64 {
        let mut space = vec![0; 1 << 20];
        let mut taken = 0;
        while let Ok(n) = self.client.read(&mut space) {
            assert!(n > 0, "the connection was closed");
            taken += n as u64;
        }
        taken
    }

    fn totals(&self) -> Totals {
        Totals::sum([&*self.cells].into_iter())
    }
}

/// Ten milliseconds of real time in which the worker runs; the paused clock stands still.
async fn breathe() {
    tokio::task::spawn_blocking(|| thread::sleep(SECOND / 100)).await.unwrap();
}

/// Row E3: a client that reads a little now and then is served, one that reads nothing is given up after 30 s, and no more than a
/// buffer of what it did not read is held.
#[test]
fn a_client_that_reads_nothing_is_given_up_after_30_s_and_one_that_reads_slowly_is_not() {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        // The clock goes on by itself when all tasks wait, unless blocking work runs.
        let (end, ended) = sync_channel::<()>(0);
        tokio::task::spawn_blocking(move || ended.recv());
        let mut slow = Slow::start().await;
        slow.settle().await;
        for _ in 0..3 {
            tokio::time::advance(SECOND * 29).await;
            breathe().await;
            assert!(slow.is_served(), "given up before 30 s");
            let (before, deadline) = (slow.written.load(SeqCst), Instant::now() + SECOND * 10);
            while slow.written.load(SeqCst) == before {
                slow.take();
                assert!(Instant::now() < deadline, "nothing flows");
                breathe().await;
            }
            slow.settle().await;
        }
        tokio::time::advance(SECOND * 31).await;
        let deadline = Instant::now() + SECOND * 5;
        while slow.is_served() {
            assert!(Instant::now() < deadline, "not given up after 31 s");
            breathe().await;
        }
        let gone = slow.totals().reasons.iter().find(|(word, _)| *word == "client_gone").map(|(_, n)| *n);
        assert_eq!((gone, slow.totals().open), (Some(1), 0));
        drop(end);
    });
    assert_eq!(STEP, 64 * 1024, "the buffer of each direction");
}

//! A backend that can be killed, stalled and brought back while it works, and a ledger of what was delivered to all of them.
//!
//! It keeps no bytes, so that it can take load for as long as anybody likes.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;
use testkit::message::{Body, Framing, Head};
use testkit::{Checksum, body_bytes};

/// How often each POST reached a backend, by its `X-Id`.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<HashMap<u64, u32>>);

impl Ledger {
    /// How often this one was delivered.
    pub(crate) fn delivered(&self, id: u64) -> u32 {
        self.0.lock().unwrap().get(&id).copied().unwrap_or(0)
    }

    /// Those that were delivered more than once.
    pub(crate) fn twice(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect()
    }
}

/// A backend on one address, dead or alive.
#[derive(Debug)]
pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    /// Goes up with each death; connections of an earlier life end.
    life: AtomicU64,
    stalled: AtomicBool,
    /// Answers with 500 so many times of a hundred.
    failing: AtomicU64,
    answered: AtomicU64,
    live: Mutex<Vec<Weak<TcpStream>>>,
}

impl Backend {
    pub(crate) fn start(address: SocketAddr, ledger: &Arc<Ledger>) -> Self {
        let shared = Shared {
            ledger: Arc::clone(ledger),
            life: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            failing: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            live: Mutex::default(),
        };
        let mut backend = Self { address, shared: Arc::new(shared), accepting: None };
        backend.revive();
        backend
    }

    /// Requests it has answered, health checks left out.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(SeqCst)
    }

    /// Answers with 500 so many times of a hundred, from now on.
    pub(crate) fn fail(&self, percent: u64) {
        self.shared.failing.store(percent, SeqCst);
    }

    /// Reads what comes and says nothing, health checks included, until it is revived.
    pub(crate) fn stall(&self) {
        self.shared.stalled.store(true, SeqCst);
    }

    /// Dies as a killed process does: connections are reset, new ones refused.
    pub(crate) fn kill(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.life.fetch_add(1, SeqCst);
        // The accepting thread is blocked in accept(); this wakes it.
        drop(TcpStream::connect(self.address));
        accepting.join().unwrap();
        for stream in self.shared.live.lock().unwrap().drain(..).filter_map(|it| it.upgrade()) {
            let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    /// Works again, whatever it had suffered.
    pub(crate) fn revive(&mut self) {
        self.shared.stalled.store(false, SeqCst);
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).unwrap_or_else(|e| panic!("{} is taken: {e}", self.address));
            let shared = Arc::clone(&self.shared);
            let life = shared.life.load(SeqCst);
            self.accepting = Some(thread::spawn(move || accept(&listener, &shared, life)));
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, life: u64) {
    for stream in listener.incoming().flatten() {
        if shared.life.load(SeqCst) != life {
            return;
        }
        let stream = Arc::new(stream);
        let mut live = shared.live.lock().unwrap();
        live.retain(|it| it.strong_count() > 0);
        live.push(Arc::downgrade(&stream));
        drop(live);
        let shared = Arc::clone(shared);
        let serve = move || {
            // An error is the end of the connection, as it should be for a backend in chaos.
            let _ = (Conn { stream, shared, life, pending: Vec::new() }).serve();
        };
        thread::Builder::new().stack_size(256 << 10).spawn(serve).unwrap();
    }
}

/// Why a connection ends.
struct Over;

struct Conn {
    stream: Arc<TcpStream>,
    shared: Arc<Shared>,
    life: u64,
    pending: Vec<u8>,
}

impl Conn {
    fn serve(&mut self) -> Result<(), Over> {
        let _ = self.stream.set_nodelay(true);
        loop {
            let head = loop {
                match Head::parse(&self.pending) {
                    Ok(Some(head)) => break head,
                    Ok(None) => self.receive()?,
                    Err(fault) => panic!("the proxy sent no request: {fault}"),
                }
            };
            self.pending.drain(..head.len);
            let id: Option<u64> = head.get("x-id").and_then(|id| id.parse().ok());
            if let Some(id) = id.filter(|_| head.line.starts_with("POST ")) {
                // With the head it has been delivered, whatever becomes of the body.
                *self.shared.ledger.0.lock().unwrap().entry(id).or_default() += 1;
            }
            let (length, sum) = self.body(&head)?;
            self.wait_while_stalled()?;
            self.answer(&head, id, length, sum)?;
        }
    }

    fn receive(&mut self) -> Result<(), Over> {
        let mut buffer = [0; 16 << 10];
        match (&*self.stream).read(&mut buffer) {
            Ok(n) if n > 0 && !self.is_over() => {
                self.pending.extend_from_slice(&buffer[..n]);
                Ok(())
            }
            _ => Err(Over),
        }
    }

    fn is_over(&self) -> bool {
        self.shared.life.load(SeqCst) != self.life
    }

    fn wait_while_stalled(&self) -> Result<(), Over> {
        while self.shared.stalled.load(SeqCst) {
            if self.is_over() {
                return Err(Over);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Length and checksum of the request's body.
    fn body(&mut self, head: &Head) -> Result<(u64, Checksum), Over> {
        let framing = head.framing().unwrap_or_else(|fault| panic!("the proxy sent no request: {fault}"));
        let mut body = Body::new(framing.unwrap_or(Framing::Empty));
        let (mut length, mut sum) = (0, Checksum::default());
        while !body.is_done() {
            if self.pending.is_empty() {
                self.receive()?;
            }
            let pending = std::mem::take(&mut self.pending);
            let mut take = |piece: &[u8]| {
                length += piece.len() as u64;
                sum.update(piece);
            };
            let taken = body.feed(&pending, &mut take).unwrap_or_else(|fault| panic!("the proxy sent no body: {fault}"));
            self.pending.extend_from_slice(&pending[taken..]);
        }
        Ok((length, sum))
    }

    /// `/bytes/LENGTH/SEED` gets a body that can be told from any other; everything else what was understood of it.
    fn answer(&mut self, head: &Head, id: Option<u64>, length: u64, sum: Checksum) -> Result<(), Over> {
        let mut words = head.line.split(' ').nth(1).unwrap_or_default().split('/').skip(1);
        let word = words.next().unwrap_or_default();
        if word == "health" {
            return self.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        self.shared.answered.fetch_add(1, SeqCst);
        if fastrand::u64(..100) < self.shared.failing.load(SeqCst) {
            return self.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
        }
        if word != "bytes" {
            let text = format!("{} {length} {}", id.unwrap_or_default(), sum.0);
            return self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        }
        let mut number = || words.next().and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
        let (length, seed) = (number(), number());
        let mut body = vec![0; usize::try_from(length).unwrap()];
        body_bytes(seed, &mut body);
        if seed % 2 == 0 {
            self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            // In two writes, so that a death may fall between them.
            let (first, second) = body.split_at(body.len() / 2);
            self.write(first)?;
            return self.write(second);
        }
        self.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for piece in body.chunks(5_000) {
            self.write(format!("{:x}\r\n", piece.len()).as_bytes())?;
            self.write(piece)?;
            self.write(b"\r\n")?;
        }
        self.write(b"0\r\n\r\n")
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Over> {
        if self.is_over() {
            return Err(Over);
        }
        (&*self.stream).write_all(bytes).map_err(|_| Over)
    }
}

//! Clients: one that sends what it is told in the pieces it is told, and one that makes a steady load.

mod load;
mod response;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

pub use load::{Load, Tally};
pub use response::{Parsed, Response, parse_all};

/// How long a client waits for something that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How the peer ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Closed,
    /// With RST.
    Reset,
}

/// A raw client connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// All bytes received and not yet taken.
    pub received: Vec<u8>,
    /// How the peer ended it, once it has.
    pub end: Option<End>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody accepts within [`PATIENCE`].
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&to, PATIENCE).and_then(Self::from_stream)
    }

    /// Connects from an address of ours; on Linux all of 127.0.0.0/8 is.
    ///
    /// # Errors
    /// When the address is not ours or nobody accepts.
    pub fn open_from(from: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Self::from_stream(socket.into())
    }

    /// Connects with a receive buffer of this size: a reader whose window fills soon.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open_with_small_window(to: SocketAddr, bytes: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_recv_buffer_size(bytes)?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Self::from_stream(socket.into())
    }

    fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), end: None })
    }

    /// The address we speak from.
    ///
    /// # Panics
    /// Never on a connected socket.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// The socket, for what is not done here.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes at once.
    ///
    /// # Errors
    /// When the peer has closed or does not read for [`PATIENCE`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes)
    }

    /// Sends bytes in pieces of `size` with a pause between, and stops early when the peer ends the connection, as a client would.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize, pause: Duration) {
        for piece in bytes.chunks(size.max(1)) {
            self.take_what_came();
            if self.end.is_some() || self.send(piece).is_err() {
                return;
            }
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }

    /// Sends FIN: we say no more, but still read.
    pub fn finish(&self) {
        // Fails when the peer has reset it, which the reading side will tell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Reads what is there without waiting.
    pub fn take_what_came(&mut self) {
        let _ = self.stream.set_nonblocking(true);
        while self.end.is_none() && self.read_once() {}
        let _ = self.stream.set_nonblocking(false);
    }

    /// Reads until `enough` says so, the peer ends it, or the time is over. True if `enough` did.
    pub fn read_until(&mut self, within: Duration, mut enough: impl FnMut(&[u8]) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            if enough(&self.received) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.end.is_some() || left.is_zero() {
                return false;
            }
            let _ = self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))));
            self.read_once();
        }
    }

    /// Reads until the peer ends the connection; `None` if it does not in time.
    pub fn read_to_end(&mut self, within: Duration) -> Option<End> {
        self.read_until(within, |_| false);
        self.end
    }

    /// Some bytes into `received`; false if there are none now.
    fn read_once(&mut self) -> bool {
        let mut buf = [0; 65_536];
        match (&self.stream).read(&mut buf) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(n) => self.received.extend_from_slice(&buf[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                return false;
            }
            Err(_) => self.end = Some(End::Reset),
        }
        true
    }

    /// Reads the next answer to a request of that method and takes it from `received`.
    ///
    /// # Errors
    /// Says what came instead: nothing in time, a close in the middle, or bytes that are no strict HTTP/1 answer.
    pub fn response(&mut self, method: &str) -> Result<Response, String> {
        self.response_within(method, PATIENCE)
    }

    /// As [`Connection::response`], waiting so long.
    ///
    /// # Errors
    /// As [`Connection::response`].
    pub fn response_within(&mut self, method: &str, within: Duration) -> Result<Response, String> {
        let deadline = Instant::now() + within;
        loop {
            let parsed = response::parse(&self.received, method, self.end)?;
            if let Some((response, len)) = parsed {
                self.received.drain(..len);
                return Ok(response);
            }
            let (had, left) = (self.received.len(), deadline.saturating_duration_since(Instant::now()));
            // Doubling what is awaited keeps the re-reading of a large answer linear.
            let wanted = if had > 65_536 { had * 2 } else { had + 1 };
            let step = if had > 65_536 { left.min(Duration::from_millis(50)) } else { left };
            self.read_until(step, |received| received.len() >= wanted);
            if self.received.len() == had && (self.end.is_some() || left.is_zero()) {
                // The end may itself complete the answer.
                if let Some((response, len)) = response::parse(&self.received, method, self.end)? {
                    self.received.drain(..len);
                    return Ok(response);
                }
                return Err(format!(
                    "no whole answer to {method} within {within:?}; ended: {:?}; came: {}",
                    self.end,
                    crate::show(&self.received)
                ));
            }
        }
    }

    /// Sends a request and reads its answer; the connection stays open.
    ///
    /// # Errors
    /// As [`Connection::response`].
    pub fn exchange(&mut self, request: &[u8]) -> Result<Response, String> {
        let method = crate::text(request.split(|&b| b == b' ').next().unwrap_or_default());
        // A peer that refuses early may have closed; what it said is still to be read.
        let _ = self.send(request);
        self.response(&method)
    }
}

/// One request on a new connection, and its answer.
///
/// # Panics
/// When there is no whole answer.
pub fn exchange(to: SocketAddr, request: &[u8]) -> Response {
    let mut connection = Connection::open(to).unwrap_or_else(|e| panic!("cannot connect to {to}: {e}"));
    connection.exchange(request).unwrap_or_else(|e| panic!("{e}\nrequest: {}", crate::show(request)))
}

/// A plain GET on a new connection.
///
/// # Panics
/// As [`exchange`].
pub fn get(to: SocketAddr, path: &str) -> Response {
    exchange(to, format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())
}

//! Open-loop load: requests leave at fixed moments, whether or not earlier ones were answered.
//!
//! A closed-loop tool waits for a slow answer and so never sees the queue behind it. Here latency counts from the moment
//! a request was due; one that finds every connection busy waits in line, and that wait counts too.

use crate::Result;
use crate::client;
use crate::poll::{Flags, Poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Not counted: connections are new and caches cold.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long answers may take after the last request is due.
const GRACE: Duration = Duration::from_secs(2);

/// Sends `rate` requests a second for `seconds` and prints one JSON line.
pub(crate) fn run(target: SocketAddr, rate: u32, connections: usize, seconds: u64) -> Result<()> {
    if rate == 0 || connections == 0 {
        return Err("a rate and connections of at least 1 are needed".into());
    }
    let mut load = Load::open(target, connections)?;
    load.send_all(rate, WARM_UP + Duration::from_secs(seconds))?;
    let mut took = load.took;
    took.sort_unstable();
    println!(
        "{}",
        serde_json::json!({
            "requests": took.len(), "failed": load.failed,
            "p50_us": quantile(&took, 0.5), "p99_us": quantile(&took, 0.99), "p999_us": quantile(&took, 0.999),
        })
    );
    Ok(())
}

struct Load {
    target: SocketAddr,
    request: Vec<u8>,
    poll: Poll,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// Due, but every connection was busy.
    waiting: VecDeque<Instant>,
    count_from: Instant,
    took: Vec<Duration>,
    failed: u64,
}

struct Connection {
    stream: TcpStream,
    held: Vec<u8>,
    due: Option<Instant>,
}

impl Load {
    fn open(target: SocketAddr, count: usize) -> Result<Load> {
        let poll = Poll::new()?;
        let connections = (0..count).map(|i| Connection::open(target, &poll, i)).collect::<Result<Vec<_>>>()?;
        Ok(Load {
            target,
            request: client::request(target, "/"),
            poll,
            connections,
            idle: (0..count).collect(),
            waiting: VecDeque::new(),
            count_from: Instant::now() + WARM_UP,
            took: Vec::new(),
            failed: 0,
        })
    }

    fn send_all(&mut self, rate: u32, length: Duration) -> Result<()> {
        let start = Instant::now();
        let total = (length.as_secs_f64() * f64::from(rate)) as u64;
        let due = |n: u64| start + Duration::from_secs_f64(n as f64 / f64::from(rate));
        let mut next = 0;
        while next < total || self.idle.len() < self.connections.len() {
            let now = Instant::now();
            if now > start + length + GRACE {
                break;
            }
            while next < total && due(next) <= now {
                self.waiting.push_back(due(next));
                next += 1;
            }
            while let Some(at) = self.idle.pop() {
                let Some(due) = self.waiting.pop_front() else {
                    self.idle.push(at);
                    break;
                };
                self.send(at, due)?;
            }
            let until = if next < total { due(next) } else { start + length + GRACE };
            for i in 0..self.poll.wait(Some(until.saturating_duration_since(Instant::now())))? {
                let (token, _) = self.poll.event(i);
                self.receive(token as usize)?;
            }
        }
        let unanswered = self.connections.len() - self.idle.len() + self.waiting.len();
        self.failed += unanswered as u64;
        Ok(())
    }

    fn send(&mut self, at: usize, due: Instant) -> Result<()> {
        let connection = &mut self.connections[at];
        connection.due = Some(due);
        match connection.stream.write_all(&self.request) {
            Ok(()) => Ok(()),
            Err(_) => self.renew(at),
        }
    }

    fn receive(&mut self, at: usize) -> Result<()> {
        let connection = &mut self.connections[at];
        let mut step = [0; 4096];
        match connection.stream.read(&mut step) {
            Ok(0) => return self.renew(at),
            Ok(n) => connection.held.extend_from_slice(&step[..n]),
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return self.renew(at),
        }
        let Some((length, good)) = client::answer(&connection.held)? else {
            return Ok(());
        };
        if connection.held.len() < length {
            return Ok(());
        }
        connection.held.clear();
        let Some(due) = connection.due.take() else {
            return Err("an answer nobody asked for".into());
        };
        if !good {
            self.failed += 1;
        } else if due >= self.count_from {
            self.took.push(due.elapsed());
        }
        self.idle.push(at);
        Ok(())
    }

    /// Replaces a connection the other side has closed; a request on it has failed.
    fn renew(&mut self, at: usize) -> Result<()> {
        let busy = self.connections[at].due.is_some();
        self.connections[at] = Connection::open(self.target, &self.poll, at)?;
        if busy {
            self.failed += 1;
            self.idle.push(at);
        }
        Ok(())
    }
}

impl Connection {
    fn open(target: SocketAddr, poll: &Poll, token: usize) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, token as u64, Flags::IN)?;
        Ok(Connection { stream, held: Vec::new(), due: None })
    }
}

/// In microseconds, of sorted values.
fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let at = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_value_that_many_stay_under() {
        let took: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(quantile(&took, 0.5).round(), 50.0);
        assert_eq!(quantile(&took, 0.99).round(), 99.0);
        assert!(quantile(&[], 0.99).is_nan());
    }
}

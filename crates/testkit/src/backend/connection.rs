//! One connection of a backend: takes a script when the first byte of an exchange comes, and carries it out.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Answer, Exchange, Shared, Step, lock};
use crate::message::{Body, Framing, Head, find};
use crate::{body_bytes, text};

/// Whether the connection goes on.
type Flow = ControlFlow<()>;
const END: Flow = ControlFlow::Break(());
const ON: Flow = ControlFlow::Continue(());

/// Serves exchanges until either side ends the connection.
pub(super) fn serve(stream: Arc<TcpStream>, shared: &Shared) {
    // A writer that is blocked must notice that the test is over.
    let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
    let _ = stream.set_nodelay(true);
    let life = shared.life.load(Ordering::SeqCst);
    let mut conn = Conn { stream, shared, life, pending: Vec::new(), number: 0, turn: 0, index: 0, read: Read_::default() };
    while conn.exchange().is_continue() {}
}

struct Conn<'a> {
    stream: Arc<TcpStream>,
    shared: &'a Shared,
    life: u64,
    /// Bytes read that no step has consumed yet; they are recorded already.
    pending: Vec<u8>,
    number: u64,
    turn: u64,
    index: usize,
    read: Read_,
}

/// How far the request of the running exchange was understood.
#[derive(Default)]
struct Read_ {
    head: Option<Head>,
    close: bool,
}

impl Conn<'_> {
    fn exchange(&mut self) -> Flow {
        if self.pending.is_empty() && !self.peer_speaks() {
            return END;
        }
        self.begin();
        let script = self.shared.agenda.take();
        let flow = script.0.iter().try_for_each(|step| self.step(step));
        self.note(|exchange| exchange.over = true);
        flow
    }

    /// Waits, without reading, for the first byte.
    fn peer_speaks(&self) -> bool {
        matches!(self.stream.peek(&mut [0]), Ok(1)) && !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.shared.life.load(Ordering::SeqCst) != self.life
    }

    fn begin(&mut self) {
        if self.number == 0 {
            self.number = self.shared.spoken.fetch_add(1, Ordering::SeqCst) + 1;
        }
        self.turn += 1;
        self.read = Read_::default();
        let exchange = Exchange {
            backend: self.shared.name.clone(),
            connection: self.number,
            turn: self.turn,
            bytes: self.pending.clone(),
            total: self.pending.len() as u64,
            ..Exchange::default()
        };
        let mut exchanges = lock(&self.shared.exchanges);
        self.index = exchanges.len();
        exchanges.push(exchange);
        self.shared.changed.notify_all();
    }

    fn note(&self, change: impl FnOnce(&mut Exchange)) {
        change(&mut lock(&self.shared.exchanges)[self.index]);
        self.shared.changed.notify_all();
    }

    fn step(&mut self, step: &Step) -> Flow {
        match step {
            Step::ReadHead => self.head(),
            Step::ReadRequest => self.request(),
            Step::ReadUpTo(n) => self.read_up_to(*n),
            Step::ReadToEnd => {
                while self.receive(65_536).is_continue() {
                    self.pending.clear();
                }
                END
            }
            Step::Write(bytes) => self.write(bytes),
            Step::WritePieces(size, pause, bytes) => bytes.chunks(*size).try_for_each(|piece| {
                self.write(piece)?;
                self.wait(*pause)
            }),
            Step::Respond(answer) => self.respond(answer),
            Step::Pause(time) => self.wait(*time),
            Step::Stall => {
                self.wait(Duration::from_secs(600))?;
                END
            }
            Step::Echo => self.echo(),
            Step::Close => self.close(),
            Step::Reset => self.reset(),
        }
    }

    /// Reads some bytes, records them, appends them to `pending`.
    fn receive(&mut self, most: usize) -> Flow {
        let mut buf = vec![0; most];
        let n = match (&*self.stream).read(&mut buf) {
            Ok(0) | Err(_) => return END,
            Ok(n) => n,
        };
        if self.is_over() {
            return END;
        }
        self.pending.extend_from_slice(&buf[..n]);
        self.note(|exchange| {
            exchange.total += n as u64;
            let room = Exchange::KEPT.saturating_sub(exchange.bytes.len());
            exchange.bytes.extend_from_slice(&buf[..n.min(room)]);
        });
        ON
    }

    fn read_up_to(&mut self, n: u64) -> Flow {
        loop {
            let have = lock(&self.shared.exchanges)[self.index].total;
            if have >= n {
                self.pending.clear();
                return ON;
            }
            self.receive(usize::try_from(n - have).unwrap_or(usize::MAX).min(65_536))?;
        }
    }

    fn head(&mut self) -> Flow {
        while find(&self.pending, b"\r\n\r\n").is_none() {
            self.receive(65_536)?;
        }
        match Head::parse(&self.pending) {
            Ok(Some(head)) => {
                self.pending.drain(..head.len);
                self.read.close = head.has_token("connection", "close");
                self.read.head = Some(head);
                ON
            }
            Ok(None) => ON,
            Err(fault) => self.faulty(fault),
        }
    }

    fn faulty(&mut self, fault: String) -> Flow {
        self.note(|exchange| exchange.fault = Some(fault));
        END
    }

    fn request(&mut self) -> Flow {
        if self.read.head.is_none() {
            self.head()?;
        }
        let Some(head) = self.read.head.clone() else {
            return END;
        };
        if head.has_token("expect", "100-continue") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = match head.framing() {
            Ok(framing) => Body::new(framing.unwrap_or(Framing::Empty)),
            Err(fault) => return self.faulty(fault),
        };
        while !body.is_done() {
            if self.pending.is_empty() {
                self.receive(65_536)?;
            }
            self.body_piece(&mut body)?;
        }
        // What came after the end belongs to the next exchange.
        let extra = self.pending.len();
        self.note(|exchange| {
            exchange.complete = true;
            exchange.total -= extra as u64;
            let kept = exchange.bytes.len().min(usize::try_from(exchange.total).unwrap_or(usize::MAX));
            exchange.bytes.truncate(kept);
        });
        ON
    }

    fn body_piece(&mut self, body: &mut Body) -> Flow {
        let mut data = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        let taken = match body.feed(&pending, &mut |piece| data.extend_from_slice(piece)) {
            Ok(taken) => taken,
            Err(fault) => return self.faulty(fault),
        };
        self.pending.extend_from_slice(&pending[taken..]);
        self.note(|exchange| {
            exchange.body_length += data.len() as u64;
            exchange.checksum.update(&data);
            let room = Exchange::KEPT.saturating_sub(exchange.body.len());
            exchange.body.extend_from_slice(&data[..data.len().min(room)]);
        });
        ON
    }

    fn write(&mut self, mut bytes: &[u8]) -> Flow {
        while !bytes.is_empty() {
            match (&*self.stream).write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && !self.is_over() => {}
                Err(_) => return END,
            }
        }
        ON
    }

    fn wait(&self, time: Duration) -> Flow {
        let end = Instant::now() + time;
        while !self.is_over() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return ON;
            }
            thread::sleep(left.min(Duration::from_millis(20)));
        }
        END
    }

    fn respond(&mut self, answer: &Answer) -> Flow {
        let Some(head) = self.read.head.take() else {
            return END;
        };
        let body_wanted = !head.line.starts_with("HEAD ");
        match answer {
            Answer::Stream { length, chunked } => self.stream_body(*length, *chunked, body_wanted)?,
            Answer::Json | Answer::Checksum => {
                let json = self.describe(&head, *answer == Answer::Checksum);
                let mut out =
                    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", json.len())
                        .into_bytes();
                out.extend_from_slice(if body_wanted { json.as_bytes() } else { b"" });
                self.write(&out)?;
            }
        }
        if self.read.close { self.close() } else { ON }
    }

    fn describe(&self, head: &Head, only_checksum: bool) -> String {
        let exchanges = lock(&self.shared.exchanges);
        let exchange = &exchanges[self.index];
        let mut words = head.line.split(' ');
        let name = &self.shared.name;
        let json = if only_checksum {
            serde_json::json!({ "backend": name, "length": exchange.body_length, "checksum": exchange.checksum.0 })
        } else {
            serde_json::json!({ "backend": name, "method": words.next(), "target": words.next(), "headers": head.fields, "body": text(&exchange.body) })
        };
        json.to_string()
    }

    fn stream_body(&mut self, length: u64, chunked: bool, wanted: bool) -> Flow {
        let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {length}") };
        self.write(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes())?;
        if !wanted {
            return ON;
        }
        let mut piece = vec![0; 32 << 10];
        let mut at = 0;
        while at < length {
            let n = usize::try_from(length - at).unwrap_or(usize::MAX).min(piece.len());
            body_bytes(at, &mut piece[..n]);
            if chunked {
                self.write(format!("{n:x}\r\n").as_bytes())?;
            }
            self.write(&piece[..n])?;
            if chunked {
                self.write(b"\r\n")?;
            }
            at += n as u64;
        }
        if chunked { self.write(b"0\r\n\r\n") } else { ON }
    }

    fn echo(&mut self) -> Flow {
        loop {
            let bytes = std::mem::take(&mut self.pending);
            self.write(&bytes)?;
            if self.receive(65_536).is_break() {
                return self.close();
            }
        }
    }

    fn close(&mut self) -> Flow {
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(500)));
        // Unread bytes would turn our close into a reset. They are not recorded: the script did not ask to read them.
        let mut rest = [0; 4096];
        while matches!((&*self.stream).read(&mut rest), Ok(n) if n > 0) {}
        END
    }

    fn reset(&mut self) -> Flow {
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
        END
    }
}

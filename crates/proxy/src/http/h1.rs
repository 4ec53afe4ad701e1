//! A client's HTTP/1 connection: heads in, exchanges one after the other, and as little memory as can be while it waits.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use net::Stream;
use policy::Nanos;
use wire::h1::{Progress, Reject, Request, Response, Status};

use super::exchange::{self, After};
use super::forward::Pump;
use super::head::Connection as Fate;
use super::look::Known;
use super::reply::{Form, Reply, error_fields};
use crate::buffer::Buffer;
use crate::error::Reason;
use crate::filter::Effects;
use crate::message::AddressText;
use crate::plan::Listener;
use crate::timer::Timer;
use crate::worker::{Counted, Gate, Worker};

const MS: Nanos = 1_000_000;
/// After this long without a request a connection gives its buffers back.
const PARK: Nanos = 1000 * MS;
/// How long a client that reads nothing is waited for.
pub(crate) const WRITE_STALL: Nanos = 30_000 * MS;
/// How long a client that is told to go may still send a request it had begun.
const LEAVE: Nanos = 250 * MS;
/// How long and how much is read after the last answer, so that the close doesn't take the answer away from the client.
const LINGER: Nanos = 2000 * MS;
const LINGER_BYTES: usize = 64 * 1024;

/// What one exchange parses and writes into; reused, so that a warm connection allocates nothing.
pub(crate) struct Scratch {
    pub(crate) head: Request,
    pub(crate) progress: Progress,
    pub(crate) answer: Response,
    pub(crate) known: Known,
    /// Towards the backend.
    pub(crate) up: Pump,
    /// Towards the client.
    pub(crate) down: Pump,
    pub(crate) tried: Vec<u16>,
    /// What the route's filters left for this exchange.
    pub(crate) effects: Effects,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            head: Request::new(),
            progress: Progress::default(),
            answer: Response::new(),
            known: Known::default(),
            up: Pump::new(),
            down: Pump::new(),
            tried: Vec::new(),
            effects: Effects::default(),
        }
    }
}

/// A connection while it does something.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) stream: Stream,
    pub(crate) timer: Timer,
    pub(crate) peer: SocketAddr,
    pub(crate) peer_text: AddressText,
    pub(crate) buffer: Buffer,
    pub(crate) scratch: Box<Scratch>,
    /// Since when the next request is waited for.
    pub(crate) waiting_since: Nanos,
}

/// A connection while it waits: just the socket and its deadline.
struct Parked {
    stream: Stream,
    timer: Timer,
    since: Nanos,
}

/// Serves a connection to its end.
pub(crate) async fn connection(worker: Rc<Worker>, gate: Rc<Gate>, stream: Stream, peer: SocketAddr, counted: Counted) {
    let _counted = counted;
    let mut patience = gate.listener().header;
    let mut parked = Parked { stream, timer: worker.timers.timer(), since: worker.timers.now() };
    loop {
        let awake = match Connection::wake(&worker, &gate, parked, peer) {
            Ok(awake) => awake,
            Err(e) => return tracing::error!("no memory for a connection: {e}"),
        };
        // Boxed, so that a waiting connection is small: the box is gone while it is parked.
        match Box::pin(serve(awake)).await {
            Some((waiting, served)) => {
                parked = waiting;
                if served {
                    patience = gate.listener().idle;
                }
            }
            None => return,
        }
        if !wait(&worker, &mut parked, patience).await {
            return;
        }
    }
}

/// Waits for bytes on a parked connection. False when it's over.
async fn wait(worker: &Worker, parked: &mut Parked, patience: Nanos) -> bool {
    parked.timer.set(parked.since + patience);
    let mut told = false;
    poll_fn(|cx| {
        if parked.stream.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if worker.is_draining() && !told {
            told = true;
            parked.timer.set(worker.timers.now() + LEAVE);
        }
        parked.timer.poll(cx).map(|()| false)
    })
    .await
}

/// What waiting for a head came to.
enum Came {
    Head,
    Refused(Reject),
    /// The header timeout, with part of a head there.
    Late,
    /// No byte of a request for a while.
    Nothing,
    /// The client closed.
    End,
}

/// Serves requests until none comes for a while (`Some`, with whether any was served) or the connection is over.
async fn serve(mut conn: Connection) -> Option<(Parked, bool)> {
    let mut served = false;
    loop {
        match conn.read_head().await {
            Came::Head => {}
            Came::Refused(reject) => {
                conn.refuse(of_reject(reject)).await;
                break;
            }
            Came::Late => {
                conn.refuse(Reason::HeaderTimeout).await;
                break;
            }
            Came::Nothing => return Some((conn.park(), served)),
            Came::End => break,
        }
        served = true;
        match exchange::run(&mut conn).await {
            After::Keep => {}
            After::Close if conn.is_all_read() => break,
            After::Close | After::Leave => {
                conn.linger().await;
                break;
            }
            After::Gone => break,
        }
    }
    conn.give_back();
    None
}

impl Connection {
    fn wake(worker: &Rc<Worker>, gate: &Rc<Gate>, parked: Parked, peer: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            worker: worker.clone(),
            gate: gate.clone(),
            listener: gate.listener(),
            stream: parked.stream,
            timer: parked.timer,
            peer,
            peer_text: AddressText::new(peer.ip().to_canonical()),
            buffer: worker.buffers.take()?,
            scratch: worker.take_scratch(),
            waiting_since: parked.since,
        })
    }

    fn park(self) -> Parked {
        self.worker.count_parked();
        self.worker.buffers.give(self.buffer);
        self.worker.give_scratch(self.scratch);
        Parked { stream: self.stream, timer: self.timer, since: self.waiting_since }
    }

    fn give_back(self) {
        self.worker.buffers.give(self.buffer);
        self.worker.give_scratch(self.scratch);
    }

    /// Reads until a whole head is there.
    async fn read_head(&mut self) -> Came {
        if !self.gate.is_current(&self.listener) {
            self.listener = self.gate.listener();
        }
        self.buffer.release();
        self.buffer.hold();
        self.scratch.progress = Progress::default();
        self.timer.set(self.waiting_since + PARK);
        let mut begun = false;
        loop {
            if !self.buffer.is_empty() {
                let scratch = &mut *self.scratch;
                match scratch.head.parse(self.buffer.held(), &mut scratch.progress, &self.listener.limits) {
                    Ok(Status::Complete) => return Came::Head,
                    Ok(Status::Partial) => {}
                    Err(reject) => return Came::Refused(reject),
                }
                if !begun {
                    begun = true;
                    self.timer.set(self.worker.timers.now() + self.listener.header);
                }
            }
            match poll_fn(|cx| self.poll_more(cx)).await {
                Some(Ok(0) | Err(_)) => return Came::End,
                Some(Ok(n)) => self.buffer.filled(n),
                None if !begun => return Came::Nothing,
                // An empty line between two requests is no request.
                None if self.buffer.held() == b"\r\n" => return Came::End,
                None => return Came::Late,
            }
        }
    }

    /// Bytes of a head, or `None` when the time is up or the worker drains and nothing was begun.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<usize>>> {
        // A head fits in the buffer: its limit is below the buffer's size, and the parser refuses what is over it.
        if let Poll::Ready(read) = self.stream.poll_read(cx, self.buffer.space_for_head()) {
            return Poll::Ready(Some(read));
        }
        if self.worker.is_draining() && self.buffer.is_empty() {
            return Poll::Ready(None);
        }
        self.timer.poll(cx).map(|()| None)
    }

    /// Answers a request that could not be read, and closes.
    async fn refuse(&mut self, reason: Reason) {
        let cells = self.worker.cells.clone();
        cells.reason(reason).add(1);
        cells.exchanges.add(1);
        cells.answers[usize::from(reason.status() / 100) - 1].add(1);
        let id = crate::message::new_id(&mut self.worker.rng.borrow_mut());
        let id = String::from_utf8_lossy(&id).into_owned();
        let body = Form::Json.body(reason, reason.status(), &id);
        let fields = error_fields(reason, id.as_bytes(), b"");
        let reply =
            Reply { status: reason.status(), content_type: Form::Json.content_type(), body: body.as_bytes(), fields: &fields };
        let down = &mut self.scratch.down;
        down.start(wire::h1::Body::Empty, false, 0);
        // The head was not read to its end, but its first word is the method.
        let to_head = self.buffer.held().trim_ascii_start().starts_with(b"HEAD ");
        reply.write(&mut down.out, to_head, Fate::Closes);
        crate::log::refused(self, reason, &id);
        if self.write_out().await {
            self.linger().await;
        }
    }

    /// Writes what stands in the pump towards the client. False when the client is gone.
    pub(crate) async fn write_out(&mut self) -> bool {
        self.timer.set(self.worker.timers.now() + WRITE_STALL);
        poll_fn(|cx| {
            let Self { scratch, stream, buffer, timer, .. } = self;
            if let Poll::Ready(written) = scratch.down.poll_out(cx, buffer, stream) {
                return Poll::Ready(written.is_ok());
            }
            timer.poll(cx).map(|()| false)
        })
        .await
    }

    /// Whether all that the client has sent was read. Then a close is a FIN, otherwise a reset, which can overtake the answer.
    fn is_all_read(&self) -> bool {
        self.buffer.is_empty() && !self.stream.has_news()
    }

    /// Says that no more comes and reads a little on, so that the close is no reset.
    pub(crate) async fn linger(&mut self) {
        self.stream.finish();
        self.timer.set(self.worker.timers.now() + LINGER);
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            loop {
                let unread = self.buffer.unread().len();
                self.buffer.consume(unread);
                self.buffer.release();
                match self.stream.poll_read(cx, self.buffer.space(0)) {
                    Poll::Ready(Ok(n)) if n > 0 && n <= left => left -= n,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll(cx),
                }
            }
        })
        .await;
    }
}

/// The reason for a head that was refused. Its finer word is in [`Reject::reason`].
pub(crate) fn of_reject(reject: Reject) -> Reason {
    match (reject, reject.status()) {
        (Reject::Framing(_) | Reject::Nominated, 400) => Reason::BadFraming,
        (_, 405) => Reason::MethodNotAllowed,
        (_, 414) => Reason::TargetTooLong,
        (_, 417) => Reason::ExpectationFailed,
        (_, 426) => Reason::UpgradeRequired,
        (_, 431) => Reason::HeadTooLarge,
        (_, 501) => Reason::NotImplemented,
        (_, 505) => Reason::VersionNotSupported,
        _ => Reason::Malformed,
    }
}

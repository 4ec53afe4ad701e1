//! Talking to one backend up to the head of its answer, while the request may still be on its way, and reading the request's body
//! where it goes nowhere.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use net::Stream;
use policy::Nanos;
use policy::retry::Failure;
use wire::h1::{Body, Limits, Method, Response, Status, Version};

use super::exchange::{Exchange, Trouble, Upstream};
use super::forward::{Broken, Waiting};
use super::head::{self, Changes, Ends};
use crate::buffer::STEP;
use crate::error::Reason;
use crate::plan::Backend;
use crate::plan::edits::Edits;

const SECOND: Nanos = 1_000_000_000;
/// How long a body may come at any pace before the listener's least pace is asked of it.
const ANY_PACE: Nanos = config::model::BODY_RATE_AFTER.as_nanos() as Nanos;
/// Interim answers passed on before the backend is taken for broken (B4).
const INTERIM: u8 = 16;
/// How long an answer may still take once the client has sent its FIN.
const CLOSING: Nanos = SECOND / 1000 * 80;
/// How long the rest of a body is waited for after an answer that did not need it (A9).
const DRAIN: Nanos = 5 * SECOND;

/// How fast a client's body comes, and until when more of it must have come.
pub(super) struct Pace {
    since: Nanos,
    from: u64,
    steps: u64,
}

impl Pace {
    pub(super) fn new(now: Nanos, moved: u64) -> Self {
        Self { since: now, from: moved, steps: u64::MAX }
    }

    /// Until when more must have come: within the idle time, and fast enough on the whole.
    fn deadline(&self, now: Nanos, moved: u64, idle: Nanos, rate: u64) -> Nanos {
        let earned = (moved - self.from).saturating_mul(SECOND).checked_div(rate).unwrap_or(Nanos::MAX / 2);
        (now + idle).min(self.since.saturating_add(ANY_PACE).saturating_add(earned))
    }
}

impl Exchange<'_> {
    /// Opens a connection to the backend, unless the client goes away meanwhile.
    pub(super) async fn dial(&mut self, backend: &Backend, patience: Nanos) -> Result<Stream, Trouble> {
        self.arm(self.now() + patience);
        let mut dial = pin!(net::dial(backend.address));
        poll_fn(|cx| {
            if let Poll::Ready(dialled) = dial.as_mut().poll(cx) {
                return Poll::Ready(dialled.map_err(|e| not_connected(&e, &backend.state.identity)));
            }
            if self.poll_client_gone(cx).is_ready() {
                return Poll::Ready(Err(Trouble::Final(Reason::ClientGone)));
            }
            self.conn.timer.poll(cx).map(|()| {
                if self.now() >= self.deadline {
                    Err(Trouble::Final(Reason::TotalTimeout))
                } else {
                    Err(Trouble::Upstream(Failure::ConnectTimeout, Reason::ConnectTimeout))
                }
            })
        })
        .await
    }

    /// Sends the request and reads the head of the final answer; interim ones are passed on.
    ///
    /// With `has_head` the first head is there already.
    pub(super) async fn hear(&mut self, up: &mut Upstream, mut has_head: bool) -> Result<(), Trouble> {
        let mut pace = Pace::new(up.begun, 0);
        self.arm(up.begun + self.response);
        loop {
            if !std::mem::take(&mut has_head) {
                poll_fn(|cx| self.poll_head(up, &mut pace, cx)).await?;
            }
            let answer = &self.conn.scratch.answer;
            if !(100..200).contains(&answer.status) || answer.status == 101 {
                return Ok(());
            }
            up.interim += 1;
            if up.interim > INTERIM {
                return Err(malformed());
            }
            let len = answer.len;
            let is_go = answer.status == 100;
            if self.conn.scratch.head.version == Version::Http11 {
                self.pass_interim(up).await?;
                self.arm(self.now() + self.response);
                if is_go && !up.told_to_continue {
                    up.told_to_continue = true;
                    pace = Pace::new(self.now(), self.conn.scratch.up.moved);
                }
            }
            up.buffer.consume(len);
            up.buffer.release();
            up.buffer.hold();
            up.unparsed = !up.buffer.is_empty();
        }
    }

    /// Moves the request on and reads the answer until its head is whole.
    pub(super) fn poll_head(&mut self, up: &mut Upstream, pace: &mut Pace, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        if !self.conn.scratch.up.is_done() && !up.deaf {
            self.send(up, pace, cx)?;
        }
        let scratch = &mut *self.conn.scratch;
        if let Poll::Ready(heard) = poll_answer(up, &mut scratch.answer, scratch.head.method, cx) {
            return Poll::Ready(heard);
        }
        // Before a byte is written the attempt may be repeated from the body as it stands in the buffer, which reading on would move.
        let pump = &self.conn.scratch.up;
        if pump.is_read() && pump.begun && self.poll_client_gone(cx).is_ready() {
            return Poll::Ready(Err(Trouble::Final(Reason::ClientGone)));
        }
        self.conn.timer.poll(cx).map(|()| Err(self.late(up)))
    }

    /// Moves the request towards the backend as far as it goes.
    pub(super) fn send(&mut self, up: &mut Upstream, pace: &mut Pace, cx: &mut Context<'_>) -> Result<(), Trouble> {
        let conn = &mut *self.conn;
        let pump = &mut conn.scratch.up;
        match pump.poll(cx, &mut conn.stream, &mut conn.buffer, &mut up.stream) {
            Poll::Ready(Ok(())) => {
                // A body took its time; the answer has its own from here on.
                if pump.moved > 0 {
                    self.arm(self.now() + self.response);
                }
            }
            // It takes no more. What it has to say about that may have come already.
            Poll::Ready(Err(Broken::Sink)) => up.deaf = true,
            Poll::Ready(Err(Broken::Malformed)) => return Err(Trouble::Final(Reason::BadFraming)),
            Poll::Ready(Err(Broken::TooLarge)) => return Err(Trouble::Final(Reason::BodyTooLarge)),
            Poll::Ready(Err(Broken::Truncated | Broken::Source)) => return Err(Trouble::Final(Reason::ClientGone)),
            Poll::Pending => self.arm_sending(up, pace),
        }
        Ok(())
    }

    /// The deadline of a body on its way: the client's where more must come, the backend's where more must be taken.
    fn arm_sending(&mut self, up: &Upstream, pace: &mut Pace) {
        let pump = &self.conn.scratch.up;
        if pump.steps == pace.steps {
            return;
        }
        pace.steps = pump.steps;
        let (now, moved, listener) = (self.now(), pump.moved, &self.conn.listener);
        match pump.waiting {
            Waiting::Source if self.waits_for_go(up) => self.arm(now + self.response),
            Waiting::Source => self.arm(pace.deadline(now, moved, listener.body, listener.body_rate)),
            Waiting::Sink => {
                (pace.since, pace.from) = (now, moved);
                self.arm(now + self.response);
            }
        }
    }

    /// Sets the deadline, the exchange's own if that is earlier.
    pub(super) fn arm(&self, deadline: Nanos) {
        let gone = self.closing.map_or(Nanos::MAX, |since| since + CLOSING);
        self.conn.timer.set(deadline.min(self.deadline).min(gone));
    }

    /// Whether the client sends no body because it waits for the backend's 100.
    fn waits_for_go(&self, up: &Upstream) -> bool {
        let scratch = &self.conn.scratch;
        scratch.head.expect_continue && scratch.up.moved == 0 && !up.told_to_continue
    }

    /// What a deadline that has passed means.
    fn late(&self, up: &Upstream) -> Trouble {
        let pump = &self.conn.scratch.up;
        let waits_for_client = !pump.is_done() && !up.deaf && pump.waiting == Waiting::Source;
        if self.now() >= self.deadline {
            Trouble::Final(Reason::TotalTimeout)
        } else if waits_for_client && !self.waits_for_go(up) {
            Trouble::Final(Reason::BodyTimeout)
        } else {
            Trouble::Upstream(Failure::ResponseTimeout, Reason::ResponseTimeout)
        }
    }

    /// Ready when the client is gone. What it sends meanwhile, the next request perhaps, is kept.
    ///
    /// A FIN alone may come from a client that has sent all it wanted and waits for the answer, so a quick answer is still sent (F9).
    pub(super) fn poll_client_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(since) = self.closing {
            return if self.now() >= since + CLOSING { Poll::Ready(()) } else { Poll::Pending };
        }
        let conn = &mut *self.conn;
        loop {
            let space = conn.buffer.space(self.keep);
            if space.is_empty() {
                return Poll::Pending;
            }
            match conn.stream.poll_read(cx, space) {
                Poll::Ready(Ok(0)) => {
                    let now = conn.worker.timers.now();
                    self.closing = Some(now);
                    self.arm(now + CLOSING);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(n)) => conn.buffer.filled(n),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    async fn pass_interim(&mut self, up: &Upstream) -> Result<(), Trouble> {
        let conn = &mut *self.conn;
        let scratch = &mut *conn.scratch;
        scratch.down.start(Body::Empty, false, 0);
        let asked = scratch.known.asked(&scratch.head, conn.buffer.held(), &conn.peer_text);
        let fate = head::Connection::Stays(Version::Http11);
        head::downstream(
            &mut scratch.down.out,
            &scratch.answer,
            up.buffer.held(),
            Changes { edits: &Edits::default(), added: b"" },
            &asked,
            Ends::Nobody(None),
            fate,
        );
        if conn.write_out().await { Ok(()) } else { Err(Trouble::Final(Reason::ClientGone)) }
    }

    /// Reads `length` bytes of body into the buffer, in the client's time.
    pub(super) async fn read_body(&mut self, length: usize) -> Result<(), Reason> {
        let keep = self.keep;
        let mut pace = Pace::new(self.started, 0);
        poll_fn(|cx| {
            loop {
                let unread = self.conn.buffer.unread().len();
                if unread >= length {
                    return Poll::Ready(Ok(()));
                }
                let conn = &mut *self.conn;
                match conn.stream.poll_read(cx, conn.buffer.space(keep)) {
                    Poll::Ready(Ok(n)) if n > 0 => conn.buffer.filled(n),
                    Poll::Ready(_) => return Poll::Ready(Err(Reason::ClientGone)),
                    Poll::Pending => {
                        if pace.steps != unread as u64 {
                            pace.steps = unread as u64;
                            let listener = &self.conn.listener;
                            self.arm(pace.deadline(self.now(), unread as u64, listener.body, listener.body_rate));
                        }
                        return self.conn.timer.poll(cx).map(|()| Err(Reason::BodyTimeout));
                    }
                }
            }
        })
        .await
    }

    /// Reads what is left of a body that nobody needs, at most 64 KiB and 5 s (A9). False when there is more.
    pub(super) async fn drain(&mut self, mut body: Body) -> bool {
        let mut left = STEP;
        // The head stays where it is: the log still shows it.
        let keep = self.conn.scratch.head.len;
        self.conn.timer.set(self.now() + DRAIN);
        poll_fn(|cx| {
            let conn = &mut *self.conn;
            loop {
                loop {
                    let Ok(piece) = body.decode(conn.buffer.unread()) else { return Poll::Ready(false) };
                    let n = piece.skip + piece.data;
                    if n > left {
                        return Poll::Ready(false);
                    }
                    left -= n;
                    conn.buffer.consume(n);
                    if body.is_done() {
                        return Poll::Ready(true);
                    }
                    if n == 0 {
                        break;
                    }
                }
                let space = conn.buffer.space(keep);
                if space.is_empty() {
                    return Poll::Ready(false);
                }
                match conn.stream.poll_read(cx, space) {
                    Poll::Ready(Ok(n)) if n > 0 => conn.buffer.filled(n),
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => return conn.timer.poll(cx).map(|()| false),
                }
            }
        })
        .await
    }
}

/// Reads until the head of an answer is whole.
pub(super) fn poll_answer(
    up: &mut Upstream,
    answer: &mut Response,
    method: Method,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Trouble>> {
    loop {
        if up.unparsed {
            up.unparsed = false;
            match answer.parse(up.buffer.held(), &mut up.progress, &Limits::DEFAULT, method) {
                Ok(Status::Complete) => return Poll::Ready(Ok(())),
                Ok(Status::Partial) => {}
                Err(_) => return Poll::Ready(Err(malformed())),
            }
        }
        match up.stream.poll_read(cx, up.buffer.space_for_head()) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(closed(up))),
            Poll::Ready(Ok(n)) => {
                up.buffer.filled(n);
                up.unparsed = true;
            }
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// What a connect that failed means. Having no descriptor left for it says nothing about the backend, so no backend is suspected.
pub(super) fn not_connected(e: &io::Error, backend: &str) -> Trouble {
    if net::is_out_of_descriptors(e) {
        tracing::warn!("can't connect to {backend}: {e}");
        return Trouble::Final(Reason::Internal);
    }
    tracing::debug!("{backend}: {e}");
    Trouble::Upstream(Failure::Connect, Reason::ConnectFailed)
}

fn malformed() -> Trouble {
    Trouble::Upstream(Failure::Malformed, Reason::UpstreamMalformed)
}

/// What a close or reset before the end of the head means: nothing for the backend if the connection had just grown stale.
fn closed(up: &Upstream) -> Trouble {
    if up.interim > 0 || !up.buffer.is_empty() {
        Trouble::Upstream(Failure::Malformed, Reason::UpstreamReset)
    } else if up.reused {
        Trouble::Upstream(Failure::StaleIdle, Reason::UpstreamReset)
    } else {
        Trouble::Upstream(Failure::Reset, Reason::UpstreamReset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_not_blamed_for_descriptors_that_have_run_out_here() {
        // EMFILE and ENFILE of every system this runs on.
        for number in [24, 23] {
            let trouble = not_connected(&io::Error::from_raw_os_error(number), "app/b");
            assert!(matches!(trouble, Trouble::Final(Reason::Internal)));
        }
        let refused = not_connected(&io::ErrorKind::ConnectionRefused.into(), "app/b");
        assert!(matches!(refused, Trouble::Upstream(Failure::Connect, Reason::ConnectFailed)));
    }
}

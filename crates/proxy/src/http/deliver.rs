//! Passing a backend's answer on to the client.

use std::future::poll_fn;
use std::task::{Context, Poll};

use config::model::ErrorPage;
use policy::Nanos;
use policy::balance::Balance;
use policy::retry::Failure;
use wire::h1::{Body, Method, Name, ResponseFraming, Upgrade, Version, encode};

use super::attempt::Pace;
use super::claim::Said;
use super::exchange::{After, Exchange, Place, Trouble, Upstream};
use super::forward::{Broken, Waiting};
use super::h1::WRITE_STALL;
use super::head::{self, Changes, Ends};
use super::reply::Reply;
use super::tunnel;
use crate::error::Reason;
use crate::filter::Held;
use crate::plan::Route;

/// How passing on an answer ended.
enum Cut {
    /// The client has all of it.
    None,
    Client,
    /// The backend's fault; the client must not take what it has for the whole.
    Upstream(Reason),
}

impl Exchange<'_> {
    /// Passes on the answer whose head has been read, and keeps both connections if both messages ended cleanly.
    pub(super) async fn deliver(&mut self, mut up: Upstream, at: Place, route: &Route) -> After {
        let heard = self.now();
        self.observe(&up, at, heard);
        self.remember(at);
        if self.conn.scratch.answer.status == 101 {
            // A tunnel lasts for as long as people talk, which says nothing of the load.
            self.conn.scratch.effects.held.retain(|held| !matches!(held, Held::Running(_)));
            return self.upgrade(up, route).await;
        }
        if let Some(page) = route.pages.upstream(self.status) {
            return self.deliver_page(up, at, page, heard).await;
        }
        // An early refusal ends the sending (F8); an early success may be a conversation.
        let stopped = !self.conn.scratch.up.is_done() && (up.deaf || self.conn.scratch.answer.status >= 300);
        let (ends, body) = self.framing();
        let keep = self.start_answer(&mut up, route, ends, body);
        let mut pace = Pace::new(heard, self.conn.scratch.up.moved);
        let mut steps = u64::MAX;
        let cut = poll_fn(|cx| self.poll_deliver(&mut up, route, stopped, &mut pace, &mut steps, cx)).await;
        self.bytes = self.conn.scratch.down.moved;
        self.conn.worker.cells.bytes_out.add(self.bytes);
        self.conn.worker.cells.bytes_in.add(self.conn.scratch.up.moved);
        match cut {
            Cut::None => up.in_flight.ended_well(|| self.now()),
            Cut::Client => {
                self.reason = Some(Reason::ClientGone);
                self.conn.worker.buffers.give(up.buffer);
                return After::Gone;
            }
            Cut::Upstream(reason) => {
                self.reason = Some(reason);
                let failure = if reason == Reason::UpstreamTruncated { Failure::Reset } else { Failure::ResponseTimeout };
                up.in_flight.broke_off(failure, self.now());
                self.conn.worker.buffers.give(up.buffer);
                if ends == Ends::Close {
                    // Only a reset tells an HTTP/1.0 client that this was not the end.
                    self.conn.stream.reset_on_close();
                }
                return After::Gone;
            }
        }
        let whole = self.conn.scratch.up.is_done();
        self.part(up, at, whole, heard);
        let conn = &mut *self.conn;
        let left = if whole { Body::Empty } else { conn.scratch.up.abandon(&mut conn.buffer) };
        self.after(keep, left).await
    }

    /// Answers with a page of ours in place of the backend's answer. The connection is kept if that answer has come whole.
    async fn deliver_page(&mut self, mut up: Upstream, at: Place, page: &ErrorPage, heard: Nanos) -> After {
        let answer = &self.conn.scratch.answer;
        let mut fields = Vec::new();
        for field in answer.fields.iter().filter(|field| stays_with_status(field.name.of(up.buffer.held()))) {
            encode::field(&mut fields, field.name.of(up.buffer.held()), field.value.of(up.buffer.held()));
        }
        up.buffer.consume(answer.len);
        let mut body = Body::of_response(answer.framing);
        while let Ok(piece) = body.decode(up.buffer.unread()) {
            if piece.skip + piece.data == 0 {
                break;
            }
            up.buffer.consume(piece.skip + piece.data);
        }
        if body.is_done() && self.conn.scratch.up.is_done() && !up.deaf {
            self.part(up, at, true, heard);
        } else {
            self.conn.worker.buffers.give(up.buffer);
        }
        self.answer(Reply { status: self.status, content_type: &page.content_type, body: page.body.as_bytes(), fields: &fields })
            .await
    }

    /// Statistics of an attempt that was answered.
    fn observe(&mut self, up: &Upstream, at: Place, now: Nanos) {
        let status = self.conn.scratch.answer.status;
        self.status = status;
        let pool = &self.local.pools[at.pool].pool;
        let state = &pool.backends[at.backend].state;
        if let Some(class) = state.cells[self.conn.worker.id].answers.get(usize::from(status / 100).wrapping_sub(1)) {
            class.add(1);
        }
        up.in_flight.note(Said::Answer(status), now.saturating_sub(up.begun), || now);
        // An error may be quick because nothing was done.
        if let Some(limit) = pool.adaptive.as_ref().filter(|_| status < 500) {
            limit.sample(now.saturating_sub(up.begun), now);
        }
        if pool.balance == Balance::LeastResponseTime {
            state.observe_latency(now.saturating_sub(up.begun), now);
        }
    }

    /// Has the client come back to the backend that answered, where the pool is sticky.
    fn remember(&mut self, at: Place) {
        let pool = &self.local.pools[at.pool].pool;
        let Some(sticky) = &pool.sticky else { return };
        let scratch = &mut *self.conn.scratch;
        let asked = scratch.known.asked(&scratch.head, self.conn.buffer.held(), &self.conn.peer_text);
        let mut rng = self.conn.worker.rng.borrow_mut();
        let backend = &pool.backends[at.backend].state;
        sticky.remember(self.session, at.backend, backend, &asked, &mut rng, &mut scratch.effects.response);
        pool.state.cells[self.conn.worker.id].sessions[self.session.stay(at.backend) as usize].add(1);
    }

    /// How the answer ends towards the client, and how from the backend.
    fn framing(&self) -> (Ends, Body) {
        let scratch = &self.conn.scratch;
        let answer = &scratch.answer;
        let ends = match answer.framing {
            ResponseFraming::Empty if scratch.head.method == Method::Head || answer.status == 304 => Ends::Nobody(answer.declared),
            ResponseFraming::Empty => Ends::Nobody(None),
            ResponseFraming::Length(n) => Ends::Length(n),
            ResponseFraming::Chunked | ResponseFraming::UntilClose if scratch.head.version == Version::Http11 => Ends::Chunked,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => Ends::Close,
        };
        (ends, Body::of_response(answer.framing))
    }

    /// Writes the head into the pump towards the client. True if the client's connection stays.
    fn start_answer(&mut self, up: &mut Upstream, route: &Route, ends: Ends, body: Body) -> bool {
        let keep = self.may_keep() && ends != Ends::Close;
        self.deadline = if route.total_is_whole && !self.is_stream(up) { self.deadline } else { policy::Nanos::MAX };
        let conn = &mut *self.conn;
        let scratch = &mut *conn.scratch;
        scratch.down.start(body, ends == Ends::Chunked, 0);
        scratch.down.take_pipe(&conn.worker.pipes);
        let asked = scratch.known.asked(&scratch.head, conn.buffer.held(), &conn.peer_text);
        let changes = Changes { edits: &route.response_edits, added: &scratch.effects.response };
        let fate = if keep { head::Connection::Stays(scratch.head.version) } else { head::Connection::Closes };
        head::downstream(&mut scratch.down.out, &scratch.answer, up.buffer.held(), changes, &asked, ends, fate);
        up.buffer.consume(scratch.answer.len);
        up.buffer.release();
        keep
    }

    /// Answers that are meant to run on: the time for the whole exchange does not bound them.
    fn is_stream(&self, up: &Upstream) -> bool {
        let content_type = self.conn.scratch.answer.find(Name::ContentType).map(|field| field.value.of(up.buffer.held()));
        content_type.is_some_and(|value| {
            let starts = |kind: &[u8]| value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
            starts(b"text/event-stream") || starts(b"application/grpc")
        })
    }

    fn poll_deliver(
        &mut self,
        up: &mut Upstream,
        route: &Route,
        stopped: bool,
        pace: &mut Pace,
        steps: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Cut> {
        if !stopped
            && !up.deaf
            && !self.conn.scratch.up.is_done()
            && self.send(up, pace, cx).is_err_and(|trouble| matches!(trouble, Trouble::Final(_)))
        {
            // The request broke off, so there is no telling what the answer is an answer to.
            return Poll::Ready(Cut::Client);
        }
        let conn = &mut *self.conn;
        let down = &mut conn.scratch.down;
        match down.poll(cx, &mut up.stream, &mut up.buffer, &mut conn.stream) {
            Poll::Ready(Ok(())) => return Poll::Ready(Cut::None),
            Poll::Ready(Err(Broken::Sink)) => return Poll::Ready(Cut::Client),
            Poll::Ready(Err(_)) => return Poll::Ready(Cut::Upstream(Reason::UpstreamTruncated)),
            Poll::Pending => {}
        }
        let (waiting, progress) = (down.waiting, down.steps.wrapping_add(conn.scratch.up.steps));
        if *steps != progress {
            *steps = progress;
            self.closing = self.closing.map(|_| self.now());
            if waiting == Waiting::Sink {
                // A client that has said that it sends no more may read slowly all the same; one that is gone resets what is written.
                self.conn.timer.set(self.deadline.min(self.now() + WRITE_STALL));
            } else {
                self.arm(self.now() + route.idle);
            }
        }
        let request_read = stopped || self.conn.scratch.up.is_read();
        if waiting == Waiting::Source && request_read && self.poll_client_gone(cx).is_ready() {
            return Poll::Ready(Cut::Client);
        }
        self.conn.timer.poll(cx).map(|()| match waiting {
            _ if self.now() >= self.deadline => Cut::Upstream(Reason::TotalTimeout),
            Waiting::Sink => Cut::Client,
            Waiting::Source => Cut::Upstream(Reason::UpstreamIdle),
        })
    }

    /// Keeps the connection to the backend if nothing is under way on it; more bytes than asked for are never delivered (B6).
    fn part(&mut self, up: Upstream, at: Place, request_whole: bool, heard: Nanos) {
        let answer = &self.conn.scratch.answer;
        let pool = &self.local.pools[at.pool];
        let excess = !up.buffer.is_empty();
        if excess {
            pool.pool.backends[at.backend].state.cells[self.conn.worker.id].unasked.add(1);
        }
        let reusable = request_whole && answer.keep_alive && !excess && answer.framing != ResponseFraming::UntilClose;
        let Upstream { stream, buffer, .. } = up;
        if reusable {
            // The head and a small body came together; a body that took its time ended later.
            let now = if self.conn.scratch.down.steps > 1 { self.now() } else { heard };
            pool.idle[at.backend].give(stream, pool.pool.idle_connections, now);
        }
        self.conn.worker.buffers.give(buffer);
    }

    /// Opens the tunnel, if the client asked for a WebSocket and the backend's 101 is the answer to that (B3).
    async fn upgrade(&mut self, mut up: Upstream, route: &Route) -> After {
        if !self.is_asked_for(&up) {
            up.in_flight.broke_off(Failure::Malformed, self.now());
            self.conn.worker.buffers.give(up.buffer);
            return self.fail(Reason::UpstreamMalformed).await;
        }
        up.in_flight.ended_well(|| self.now());
        let conn = &mut *self.conn;
        let scratch = &mut *conn.scratch;
        scratch.down.start(Body::Empty, false, 0);
        let asked = scratch.known.asked(&scratch.head, conn.buffer.held(), &conn.peer_text);
        let changes = Changes { edits: &route.response_edits, added: &scratch.effects.response };
        let out = &mut scratch.down.out;
        head::downstream(out, &scratch.answer, up.buffer.held(), changes, &asked, Ends::Nobody(None), head::Connection::Upgrades);
        up.buffer.consume(scratch.answer.len);
        up.buffer.release();
        let (sent, received) = tunnel::run(conn, &mut up, self.keep, route.idle).await;
        self.bytes = received;
        self.conn.worker.cells.bytes_in.add(sent);
        self.conn.worker.cells.bytes_out.add(received);
        self.conn.worker.buffers.give(up.buffer);
        // The client may not know yet that nobody listens any more.
        After::Leave
    }

    fn is_asked_for(&self, up: &Upstream) -> bool {
        let scratch = &self.conn.scratch;
        if scratch.head.upgrade != Upgrade::WebSocket || scratch.answer.upgrade != Upgrade::WebSocket {
            return false;
        }
        let asked = self.asked();
        let key = asked.value(b"sec-websocket-key").unwrap_or_default();
        let text = up.buffer.held();
        let accept = scratch.answer.find(Name::SecWebsocketAccept).map(|field| field.value.of(text));
        accept == Some(&wire::websocket::accept_key(key)[..])
    }
}

/// Fields that belong to the status and not to the page: without them the client can't do what the status asks of it.
fn stays_with_status(name: &[u8]) -> bool {
    ["WWW-Authenticate", "Retry-After", "Allow"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

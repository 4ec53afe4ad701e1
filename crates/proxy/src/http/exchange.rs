//! One exchange, from a request's head to the end of its answer. A request's way is read here, top to bottom:
//! route → filters on the request → pick a backend → idle connection or dial → forward both ways → filters on the answer →
//! retry as the policy says → statistics and log.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use net::Stream;
use policy::Nanos;
use policy::balance::{Balance, hash_key};
use policy::retry::{Attempted, Failure, Verdict};
use wire::h1::{Body, Framing, Progress, Version};

use super::claim::{InFlight, Said};
use super::h1::Connection;
use super::head::Connection as Fate;
use super::pause::retry_after;
use super::reply::{ALLOW, Form, Reply, error_fields};
use crate::buffer::{Buffer, STEP};
use crate::error::Reason;
use crate::filter::{Ending, Held, Here, Step};
use crate::log;
use crate::message::{AddressText, Asked};
use crate::plan::edits::fill;
use crate::plan::{Action, Backend, Route};
use crate::upstream::pick::{LocalPool, Nobody};
use crate::upstream::sticky::Session;
use crate::worker::Local;

/// The path whose exchange panics, in tests of row E6.
#[cfg(test)]
pub(crate) const PANICS: &str = "/panic";

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes the next request.
    Keep,
    /// It closes, once the client has the answer.
    Close,
    /// It closes as well, but part of the request has not been read: a close at once would be a reset to a client that still sends it.
    Leave,
    /// There is nobody to tell.
    Gone,
}

/// A connection to a backend during one attempt, counted as in flight for as long as it lives.
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    pub(crate) buffer: Buffer,
    pub(super) progress: Progress,
    /// Bytes have come that were not parsed yet.
    pub(super) unparsed: bool,
    /// Interim answers passed on.
    pub(super) interim: u8,
    /// The client has been told to send its body (A14).
    pub(super) told_to_continue: bool,
    pub(super) reused: bool,
    /// It takes nothing more of the request; an answer may still come.
    pub(super) deaf: bool,
    pub(super) begun: Nanos,
    pub(super) in_flight: InFlight,
}

impl Upstream {
    pub(super) fn new(stream: Stream, buffer: Buffer, reused: bool, begun: Nanos, in_flight: InFlight) -> Self {
        Self {
            stream,
            buffer,
            progress: Progress::default(),
            unparsed: false,
            interim: 0,
            told_to_continue: false,
            reused,
            deaf: false,
            begun,
            in_flight,
        }
    }
}

impl Upstream {
    pub(super) fn at(&self) -> Place {
        self.in_flight.at()
    }
}

/// Where a backend stands in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) pool: usize,
    pub(crate) backend: usize,
}

impl Local {
    pub(crate) fn backend(&self, at: Place) -> &Backend {
        &self.pools[at.pool].pool.backends[at.backend]
    }
}

/// Why an attempt brought no answer.
pub(super) enum Trouble {
    /// The backend's: the policy says whether another one is tried; if not, the client gets the reason.
    Upstream(Failure, Reason),
    /// Not to be tried again: the client's fault, or the time for the whole exchange is up.
    Final(Reason),
}

/// What a consistent hash goes by; 0 for algorithms without a key.
pub(crate) fn balance_key(balance: &Balance, asked: &Asked<'_>, route: &str) -> u64 {
    let Balance::Hash(hash) = balance else { return 0 };
    // Without the key there is nothing to be consistent about; the client's address spreads better than one fixed value.
    asked.key_hash(&hash.key, route).unwrap_or_else(|| hash_key(AddressText::new(asked.client).as_bytes()))
}

/// Runs the exchange whose request head has been read.
pub(crate) async fn run(conn: &mut Connection) -> After {
    let Some(local) = conn.worker.local() else { return After::Gone };
    let started = conn.worker.timers.now();
    let mut exchange = Exchange::new(conn, local, started);
    let after = exchange.decide_and_answer().await;
    exchange.conclude();
    after
}

/// The state of one exchange.
pub(super) struct Exchange<'c> {
    pub(super) conn: &'c mut Connection,
    pub(super) local: Rc<Local>,
    pub(super) started: Nanos,
    /// When the first attempt could begin.
    ready: Nanos,
    pub(super) route: Option<usize>,
    /// When the exchange must be over.
    pub(super) deadline: Nanos,
    /// Bytes from the start of the head that stay in the buffer: the head's, and the body's while it's held for another attempt.
    pub(super) keep: usize,
    /// When the client said that it sends nothing more: it may be gone, or wait for the answer.
    pub(super) closing: Option<Nanos>,
    /// Part of the body may be with the pump and no longer in the buffer.
    body_pumped: bool,
    /// The pool that was asked.
    pool: Option<usize>,
    pub(super) at: Option<Place>,
    /// Where the client was before, in a pool that is sticky.
    pub(super) session: Session,
    /// Seconds after which a client that had to be turned away may find a place.
    pub(super) retry_after: Option<u32>,
    /// The request may be sent again: idempotent, and all of it held.
    pub(super) repeatable: bool,
    /// How long a backend may take for the head of its answer.
    pub(super) response: Nanos,
    pub(super) attempts: u8,
    /// What the client was told, 0 if nothing.
    pub(super) status: u16,
    pub(super) reason: Option<Reason>,
    pub(super) bytes: u64,
}

impl<'c> Exchange<'c> {
    fn new(conn: &'c mut Connection, local: Rc<Local>, started: Nanos) -> Self {
        let keep = conn.scratch.head.len;
        conn.buffer.consume(keep);
        conn.scratch.effects.clear();
        Self {
            conn,
            local,
            started,
            ready: started,
            route: None,
            deadline: Nanos::MAX,
            keep,
            closing: None,
            body_pumped: false,
            pool: None,
            at: None,
            session: Session::default(),
            retry_after: None,
            repeatable: false,
            response: 0,
            attempts: 0,
            status: 0,
            reason: None,
            bytes: 0,
        }
    }

    pub(super) fn now(&self) -> Nanos {
        self.conn.worker.timers.now()
    }

    async fn decide_and_answer(&mut self) -> After {
        if let Err(reason) = self.look() {
            return self.fail(reason).await;
        }
        if self.conn.listener.redirect.is_some() {
            return self.send_elsewhere().await;
        }
        if self.conn.scratch.head.asterisk {
            return self.answer_options().await;
        }
        let local = self.local.clone();
        let found = local.plan.router.find(&self.asked());
        let Some(i) = found else { return self.fail(Reason::NoRoute).await };
        self.route = Some(i);
        let route = &local.plan.routes[i];
        self.deadline = self.started + route.total;
        if !route.filters.is_empty()
            && let Some(after) = self.filter(route).await
        {
            return after;
        }
        match &route.action {
            Action::Pool(pool) => self.forward(*pool, route).await,
            Action::Pools(pools) => {
                let pool = pools.pick(&self.asked(), &route.name);
                self.forward(pool, route).await
            }
            Action::Respond { status, body, content_type, headers } => {
                let mut fields = Vec::new();
                headers.write(&self.asked(), &mut fields);
                self.answer(Reply { status: *status, content_type, body, fields: &fields }).await
            }
            Action::Redirect { to, status } => {
                let mut fields = b"Location: ".to_vec();
                fill(to, &self.asked(), &mut fields);
                fields.extend_from_slice(b"\r\n");
                self.answer(Reply { status: *status, content_type: "", body: b"", fields: &fields }).await
            }
        }
    }

    /// Answers as a listener that sends everybody elsewhere.
    async fn send_elsewhere(&mut self) -> After {
        let listener = self.conn.listener.clone();
        let asked = self.asked();
        let (Some(to), false) = (&listener.redirect, asked.host().is_empty()) else { return self.fail(Reason::Malformed).await };
        let mut fields = b"Location: ".to_vec();
        fill(to, &asked, &mut fields);
        fields.extend_from_slice(b"\r\n");
        // 308 keeps the method, which 301 may turn into GET.
        let status = if matches!(asked.method(), b"GET" | b"HEAD") { 301 } else { 308 };
        self.answer(Reply { status, content_type: "", body: b"", fields: &fields }).await
    }

    /// Runs the route's filters; what follows if one of them ended the exchange.
    async fn filter(&mut self, route: &Route) -> Option<After> {
        for filter in &route.filters {
            let mut effects = std::mem::take(&mut self.conn.scratch.effects);
            let here = Here { asked: self.asked(), route: &route.name, now: self.now(), worker: &self.conn.worker };
            let step = filter.request(&here, &mut effects);
            self.conn.scratch.effects = effects;
            let ending = match step {
                Step::Next => None,
                Step::End(ending) => Some(ending),
                Step::Wait(late) => match self.unless_gone(late).await {
                    Ok(late) => {
                        self.conn.scratch.effects.join(late.effects);
                        late.ending
                    }
                    Err(reason) => return Some(self.fail(reason).await),
                },
            };
            if let Some(ending) = ending {
                return Some(self.end(ending).await);
            }
        }
        self.ready = self.now();
        None
    }

    /// Waits for something that is ours, unless the client goes away or the time for the exchange is up.
    async fn unless_gone<T>(&mut self, mut what: Pin<Box<dyn Future<Output = T>>>) -> Result<T, Reason> {
        self.arm(self.deadline);
        poll_fn(|cx| {
            if let Poll::Ready(done) = what.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if self.poll_client_gone(cx).is_ready() {
                return Poll::Ready(Err(Reason::ClientGone));
            }
            self.conn.timer.poll(cx).map(|()| Err(Reason::TotalTimeout))
        })
        .await
    }

    /// Answers as a filter says.
    async fn end(&mut self, ending: Ending) -> After {
        let Some((content_type, body)) = ending.body else {
            return self.fail_with(ending.reason.unwrap_or(Reason::Internal), ending.status, &ending.fields).await;
        };
        self.reason = ending.reason;
        self.answer(Reply { status: ending.status, content_type: &content_type, body: &body, fields: &ending.fields }).await
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        let scratch = &self.conn.scratch;
        scratch.known.asked(&scratch.head, self.conn.buffer.held(), &self.conn.peer_text)
    }

    /// Finds out what routing and forwarding need to know.
    fn look(&mut self) -> Result<(), Reason> {
        let conn = &mut *self.conn;
        let scratch = &mut *conn.scratch;
        scratch.known.look(&scratch.head, conn.buffer.held(), conn.peer, &conn.listener, &mut conn.worker.rng.borrow_mut())
    }

    /// Sends the request to the pool's backends, one after the other if need be, and passes the answer on.
    async fn forward(&mut self, pool: usize, route: &Route) -> After {
        let local = self.local.clone();
        self.pool = Some(pool);
        let local_pool = &local.pools[pool];
        let target = &local_pool.pool;
        target.state.cells[self.conn.worker.id].exchanges.add(1);
        if let Some(limit) = &target.adaptive {
            match limit.claim(self.ready) {
                Some(running) => self.conn.scratch.effects.held.push(Held::Running(running)),
                None => return self.fail(Reason::Overloaded).await,
            }
        }
        target.budget.deposit(self.started);
        let key = self.key(&target.balance, route);
        if let Some(sticky) = &target.sticky {
            self.session = sticky.session(&self.asked(), &route.name, self.started);
        }
        let idempotent = self.conn.scratch.head.method.is_idempotent();
        let body_held = match self.hold_body(idempotent).await {
            Ok(held) => held,
            Err(reason) => return self.fail(reason).await,
        };
        self.repeatable = idempotent && body_held;
        self.response = match target.attempt_timeout {
            Some(limit) if self.repeatable => limit.min(route.response),
            _ => route.response,
        };
        self.conn.scratch.tried.clear();
        let mut so_far = Attempted { idempotent, body_held, deadline: Some(self.deadline), ..Attempted::default() };
        let mut last = None;
        loop {
            let mut in_flight = match self.place(pool, route, key, last).await {
                Ok(in_flight) => in_flight,
                Err(reason) => return self.fail(reason).await,
            };
            let at = in_flight.at();
            self.at = Some(at);
            self.conn.scratch.tried.push(at.backend as u16);
            let mut fresh = false;
            let failed;
            loop {
                let trouble = match self.attempt(local_pool, at, route, fresh, in_flight).await {
                    Ok(up) if self.is_to_repeat(local_pool, &up, &mut so_far) => {
                        failed = Failure::Status(self.conn.scratch.answer.status);
                        self.conn.worker.buffers.give(up.buffer);
                        last = None;
                        break;
                    }
                    Ok(up) => {
                        let at = up.at();
                        return self.deliver(up, at, route).await;
                    }
                    Err(trouble) => trouble,
                };
                let (failure, reason) = match trouble {
                    Trouble::Final(reason) => return self.fail(reason).await,
                    Trouble::Upstream(failure, reason) => (failure, reason),
                };
                so_far.retry_after = None;
                match self.judge(local_pool, failure, &mut so_far) {
                    Verdict::SameBackendFresh => {
                        fresh = true;
                        in_flight = InFlight::again(&local, at, || self.now());
                    }
                    Verdict::OtherBackend => {
                        (failed, last) = (failure, Some(reason));
                        break;
                    }
                    Verdict::GiveUp(_) => return self.fail(reason).await,
                }
                self.rewind();
            }
            self.rewind();
            target.state.cells[self.conn.worker.id].retries.add(1);
            if let Err(reason) = self.pause(local_pool, failed, &so_far).await {
                return self.fail(reason).await;
            }
        }
    }

    /// The next backend; where all have been tried after an answer that failed, any of them again.
    pub(super) fn pick(&mut self, pool: &LocalPool, key: u64, last: Option<Reason>) -> Result<usize, Nobody> {
        let now = self.now();
        let mut rng = self.conn.worker.rng.borrow_mut();
        let tried = &mut self.conn.scratch.tried;
        if let Some(stuck) = self.session.backend.and_then(|at| pool.stuck(at, tried, now)) {
            return stuck;
        }
        pool.pick(key, tried, now, &mut rng).or_else(|nobody| {
            if nobody == Nobody::Untried && !matches!(last, Some(Reason::ConnectFailed | Reason::ConnectTimeout)) {
                tried.clear();
                return pool.pick(key, tried, now, &mut rng);
            }
            Err(nobody)
        })
    }

    /// What a consistent hash goes by; 0 for algorithms without a key.
    pub(super) fn key(&self, balance: &Balance, route: &Route) -> u64 {
        balance_key(balance, &self.asked(), &route.name)
    }

    /// Whether the answer's status is one that the policy has another backend try for.
    fn is_to_repeat(&mut self, pool: &LocalPool, up: &Upstream, so_far: &mut Attempted) -> bool {
        let status = self.conn.scratch.answer.status;
        if !pool.pool.retry.on.statuses.iter().any(|range| range.contains(&status)) {
            return false;
        }
        so_far.answer_started = up.interim > 0;
        so_far.retry_after = retry_after(&self.conn.scratch.answer, up.buffer.held());
        let repeats = self.judge(pool, Failure::Status(status), so_far) == Verdict::OtherBackend;
        if repeats {
            let now = self.now();
            up.in_flight.note(Said::Answer(status), now.saturating_sub(up.begun), || now);
        }
        repeats
    }

    /// Asks the policy what follows a failure, and tells the board what it means for the backend.
    fn judge(&mut self, pool: &LocalPool, failure: Failure, so_far: &mut Attempted) -> Verdict {
        let now = self.now();
        let at = self.at.expect("a failure is judged only after an attempt at a backend");
        let backend = &pool.pool.backends[at.backend];
        let cells = &backend.state.cells[self.conn.worker.id];
        match failure {
            Failure::Connect | Failure::ConnectTimeout => backend.state.suspect(now + pool.pool.suspicion),
            Failure::StaleIdle if !so_far.stale_replayed => cells.stale.add(1),
            Failure::Reset | Failure::StaleIdle => {
                so_far.tries += 1;
                so_far.resets += 1;
            }
            _ => so_far.tries += 1,
        }
        so_far.bytes_written = self.conn.scratch.up.begun;
        so_far.untried = pool.has_untried(&self.conn.scratch.tried, now);
        let verdict = pool.pool.retry.judge(failure, so_far, &pool.pool.budget, now);
        if verdict == Verdict::SameBackendFresh {
            so_far.stale_replayed = true;
        } else {
            cells.failures.add(1);
        }
        verdict
    }

    /// Takes the body back to its start for another attempt. Only judged possible where nothing of it is gone.
    fn rewind(&mut self) {
        self.conn.buffer.rewind(self.conn.scratch.head.len);
        self.body_pumped = false;
    }

    /// Reads the body of a request that may be repeated, so that it can be. True if there is none or all of it is held.
    ///
    /// Only where that is sure to fit: a declared length of at most 64 KiB, and room for it behind the head. A client that waits for 100 is not made to send first.
    async fn hold_body(&mut self, idempotent: bool) -> Result<bool, Reason> {
        let head = &self.conn.scratch.head;
        let length = match head.framing {
            Framing::Empty | Framing::Length(0) => return Ok(true),
            Framing::Length(n) if idempotent && !head.expect_continue && n <= STEP as u64 => n as usize,
            _ => return Ok(false),
        };
        if !Buffer::can_hold(head.len + length) {
            return Ok(false);
        }
        self.read_body(length).await?;
        self.ready = self.now();
        self.keep += length;
        Ok(true)
    }

    /// One attempt at one backend, up to the head of its final answer.
    async fn attempt(
        &mut self,
        pool: &LocalPool,
        at: Place,
        route: &Route,
        fresh: bool,
        in_flight: InFlight,
    ) -> Result<Upstream, Trouble> {
        let backend = &pool.pool.backends[at.backend];
        backend.state.cells[self.conn.worker.id].attempts.add(1);
        self.attempts = self.attempts.saturating_add(1);
        // The clock is read three times an exchange, not at every step: it costs as much as parsing a field.
        let begun = if self.attempts == 1 { self.ready } else { self.now() };
        let sure = !self.conn.scratch.head.method.is_idempotent();
        let kept = if fresh { None } else { pool.idle[at.backend].take(pool.pool.idle_timeout, begun, sure) };
        let reused = kept.is_some();
        // Nothing of this attempt has been written, whatever became of the one before.
        self.conn.scratch.up.begun = false;
        let stream = match kept {
            Some(stream) => stream,
            None => match self.dial(backend, route.connect.min(self.response)).await {
                Ok(stream) => stream,
                Err(trouble) => {
                    self.note(&in_flight, &trouble, begun);
                    return Err(trouble);
                }
            },
        };
        let buffer = self.conn.worker.buffers.take().map_err(|e| {
            tracing::error!("no memory for an exchange: {e}");
            Trouble::Final(Reason::Internal)
        })?;
        let mut up = Upstream::new(stream, buffer, reused, begun, in_flight);
        up.buffer.hold();
        self.start_request(backend, route);
        #[cfg(test)]
        assert!(self.asked().path != PANICS.as_bytes(), "a panic that was asked for");
        let heard = match self.hedge_due(pool, route, up.begun) {
            None => {
                let heard = self.hear(&mut up, false).await;
                // Until enough is known to hedge by.
                if route.hedge.is_some() && heard.is_ok() {
                    route.note_latency(self.now().saturating_sub(up.begun));
                }
                heard
            }
            Some(due) => {
                let (won, raced) = self.race(pool, route, up, due).await;
                up = won;
                match raced {
                    Ok(()) => self.hear(&mut up, true).await,
                    Err(trouble) => Err(trouble),
                }
            }
        };
        match heard {
            Ok(()) => Ok(up),
            Err(trouble) => {
                self.conn.worker.buffers.give(up.buffer);
                self.note(&up.in_flight, &trouble, begun);
                match trouble {
                    // What the client was told stands: the answer of another backend must not follow it.
                    Trouble::Upstream(_, reason) if up.interim > 0 => {
                        backend.state.cells[self.conn.worker.id].failures.add(1);
                        Err(Trouble::Final(reason))
                    }
                    trouble => Err(trouble),
                }
            }
        }
    }

    /// Tells the guards of an attempt that brought no answer.
    fn note(&self, in_flight: &InFlight, trouble: &Trouble, begun: Nanos) {
        let now = self.now();
        let said = match trouble {
            Trouble::Upstream(failure, _) => Said::Nothing(*failure),
            // Whoever sets `total` alone means the backend with it, as long as one had all of that time.
            Trouble::Final(Reason::TotalTimeout) if self.attempts == 1 && self.conn.scratch.up.is_done() => {
                Said::Nothing(Failure::ResponseTimeout)
            }
            Trouble::Final(Reason::ClientGone | Reason::TotalTimeout) => Said::TooLate,
            Trouble::Final(_) => return,
        };
        if let (Said::Nothing(Failure::ResponseTimeout), Some(limit)) =
            (&said, &self.local.pools[in_flight.at().pool].pool.adaptive)
        {
            limit.sample(now.saturating_sub(begun), now);
        }
        in_flight.note(said, now.saturating_sub(begun), || now);
    }

    /// Writes the head into the pump towards the backend.
    fn start_request(&mut self, backend: &Backend, route: &Route) {
        let conn = &mut *self.conn;
        let scratch = &mut *conn.scratch;
        let framing = scratch.head.framing;
        scratch.up.give_pipe(&conn.worker.pipes);
        scratch.up.start(Body::of_request(framing), framing == Framing::Chunked, self.keep);
        scratch.up.take_pipe(&conn.worker.pipes);
        scratch.up.most = conn.listener.max_body.min(route.max_body);
        let asked = scratch.known.asked(&scratch.head, conn.buffer.held(), &conn.peer_text);
        super::head::upstream(
            &mut scratch.up.out,
            &asked,
            &route.request,
            &scratch.effects,
            &backend.authority,
            conn.listener.underscores,
        );
        self.body_pumped = true;
    }

    /// `OPTIONS *` asks about the server as a whole, which is us (A11).
    async fn answer_options(&mut self) -> After {
        let mut fields = b"Allow: ".to_vec();
        fields.extend_from_slice(ALLOW);
        fields.extend_from_slice(b"\r\n");
        self.answer(Reply { status: 200, content_type: "", body: b"", fields: &fields }).await
    }

    /// Answers with an error of ours, in the form the client reads best.
    pub(super) async fn fail(&mut self, reason: Reason) -> After {
        if reason == Reason::ClientGone {
            self.reason = Some(reason);
            self.status = reason.status();
            return After::Gone;
        }
        match self.retry_after {
            Some(seconds) => self.fail_with(reason, reason.status(), format!("Retry-After: {seconds}\r\n").as_bytes()).await,
            None => self.fail_with(reason, reason.status(), b"").await,
        }
    }

    /// As [`Self::fail`], with a status and fields of its own. A `Retry-After` among them stands in place of the reason's.
    async fn fail_with(&mut self, reason: Reason, status: u16, added: &[u8]) -> After {
        self.reason = Some(reason);
        let asked = self.asked();
        let form = Form::accepted(&asked);
        let id = String::from_utf8_lossy(asked.id).into_owned();
        let fields = error_fields(reason, id.as_bytes(), added);
        let local = self.local.clone();
        if let Some(page) = self.route.and_then(|i| local.plan.routes[i].pages.own(status)) {
            let (content_type, body) = (&page.content_type, page.body.as_bytes());
            return self.answer(Reply { status, content_type, body, fields: &fields }).await;
        }
        let body = form.body(reason, status, &id);
        self.answer(Reply { status, content_type: form.content_type(), body: body.as_bytes(), fields: &fields }).await
    }

    /// Sends an answer of ours, then reads what is left of the request's body if that's little (A9).
    pub(super) async fn answer(&mut self, reply: Reply<'_>) -> After {
        self.status = reply.status;
        let keep = self.may_keep();
        let route = self.route.map(|i| &self.local.plan.routes[i]);
        let mut fields = Vec::new();
        if let Some(route) = route {
            route.response_edits.write(&self.asked(), &mut fields);
        }
        fields.extend_from_slice(&self.conn.scratch.effects.response);
        fields.extend_from_slice(reply.fields);
        if let Some(route) = route.filter(|route| route.response_edits.has_defaults()) {
            let lines = fields.clone();
            let has = |name: &[u8]| lines.split(|b| *b == b'\n').any(|line| names(line, name));
            route.response_edits.write_defaults(has, &self.asked(), &mut fields);
        }
        let conn = &mut *self.conn;
        let scratch = &mut *conn.scratch;
        let left = if self.body_pumped { scratch.up.abandon(&mut conn.buffer) } else { Body::of_request(scratch.head.framing) };
        let version = scratch.head.version;
        scratch.down.start(Body::Empty, false, 0);
        let fate = if keep { Fate::Stays(version) } else { Fate::Closes };
        Reply { fields: &fields, ..reply }.write(&mut scratch.down.out, scratch.head.method == wire::h1::Method::Head, fate);
        self.bytes = if scratch.head.method == wire::h1::Method::Head { 0 } else { reply.body.len() as u64 };
        if !conn.write_out().await {
            return After::Gone;
        }
        self.after(keep, left).await
    }

    /// What follows an answer when `left` of the request's body has not been read (A9).
    pub(super) async fn after(&mut self, keep: bool, left: Body) -> After {
        let is_read = left.is_done();
        match keep {
            true if is_read || self.drain(left).await => After::Keep,
            false if is_read => After::Close,
            _ => After::Leave,
        }
    }

    /// Whether the connection can take another request after this one: wanted, and what is left of the body is worth reading.
    pub(super) fn may_keep(&self) -> bool {
        let scratch = &self.conn.scratch;
        let little = match scratch.head.framing {
            Framing::Length(n) => n <= STEP as u64 || self.body_pumped && scratch.up.is_read(),
            Framing::Empty | Framing::Chunked => true,
        };
        let waits = scratch.head.expect_continue && scratch.up.moved == 0;
        let faulty = matches!(self.reason, Some(Reason::BadFraming | Reason::BodyTimeout | Reason::BodyTooLarge | Reason::BadPath));
        scratch.head.keep_alive && !self.conn.worker.is_draining() && little && !waits && !faulty
    }

    /// Statistics and log.
    fn conclude(&mut self) {
        let worker = &self.conn.worker;
        self.conn.scratch.up.give_pipe(&worker.pipes);
        self.conn.scratch.down.give_pipe(&worker.pipes);
        let now = self.now();
        self.conn.waiting_since = now;
        self.conn.scratch.effects.held.clear();
        let took = now.saturating_sub(self.started);
        let cells = &self.conn.worker.cells;
        cells.exchanges.add(1);
        if let Some(class) = cells.answers.get(usize::from(self.status / 100).wrapping_sub(1)) {
            class.add(1);
        }
        if let Some(reason) = self.reason {
            cells.reason(reason).add(1);
        }
        if let Some(pool) = self.pool {
            let cells = &self.local.pools[pool].pool.state.cells[self.conn.worker.id];
            cells.latency.record(took);
            if self.reason.is_some_and(|reason| reason != Reason::ClientGone) {
                cells.errors.add(1);
            }
        }
        if let Some(format) = self.local.plan.access
            && self.route.is_none_or(|i| self.local.plan.routes[i].log)
        {
            self.log(format, took);
        }
    }

    fn log(&self, format: config::model::AccessFormat, took: Nanos) {
        let asked = self.asked();
        let line = log::Line {
            client: asked.client,
            method: asked.method(),
            host: asked.head.authority.of(asked.text),
            path: asked.path,
            version: if asked.head.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" },
            status: self.status,
            bytes: self.bytes,
            took,
            route: self.route.map(|i| self.local.plan.routes[i].name.as_str()),
            pool: self.at.map(|at| self.local.pools[at.pool].pool.name.as_str()),
            backend: self.at.map(|at| self.local.backend(at).name.as_str()),
            attempts: self.attempts,
            reason: self.reason,
            id: asked.id,
        };
        let lost = self.conn.worker.lines.push(format, &line);
        self.conn.worker.cells.log_lost.add(lost);
    }
}

/// Whether a line of a head is a field of this name.
fn names(line: &[u8], name: &[u8]) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
}

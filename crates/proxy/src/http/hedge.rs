//! Hedging: where the answer's head takes longer than it usually does, a second attempt at another backend, and the first head wins.
//!
//! Only for requests that may be sent twice, idempotent and held whole, once an exchange, and within the retry budget. What loses is
//! dropped, which closes its connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use policy::Nanos;
use policy::retry::Failure;
use wire::h1::{Response, Upgrade};

use super::attempt::{Pace, not_connected, poll_answer};
use super::claim::{InFlight, Said};
use super::exchange::{Exchange, Place, Trouble, Upstream};
use crate::error::Reason;
use crate::plan::Route;
use crate::upstream::pick::LocalPool;

/// What came of the second attempt, with the head of its answer; boxed, as it is large and rare.
type Heard = Result<Box<(Upstream, Response)>, Trouble>;

/// The second attempt: it has what it needs with it, so that it can be dropped at any moment.
struct Second {
    at: Place,
    heard: Pin<Box<dyn Future<Output = Heard>>>,
}

enum Event {
    First(Result<(), Trouble>),
    Second(Heard),
    /// The second attempt is due, or has taken too long.
    Time,
}

impl Exchange<'_> {
    /// When a second attempt is due beside this one; `None` where there is to be none.
    pub(super) fn hedge_due(&self, pool: &LocalPool, route: &Route, begun: Nanos) -> Option<Nanos> {
        let hedge = route.hedge.as_ref()?;
        let head = &self.conn.scratch.head;
        // A session stays where it is, and a conversation can't be had twice.
        let may = self.repeatable && !head.expect_continue && head.upgrade == Upgrade::None && pool.pool.sticky.is_none();
        // One second attempt an exchange: not beside a retry.
        (may && self.attempts == 1).then(|| Some(begun + hedge.after()?)).flatten()
    }

    /// Hears `first` until the head of its answer is whole or, from `due` on, that of a second attempt at another backend. Gives the one that
    /// won, or the one that failed last.
    pub(super) async fn race(
        &mut self,
        pool: &LocalPool,
        route: &Route,
        mut first: Upstream,
        due: Nanos,
    ) -> (Upstream, Result<(), Trouble>) {
        let timer = self.conn.worker.timers.timer();
        timer.set(due);
        let mut pace = Pace::new(first.begun, 0);
        self.arm(first.begun + self.response);
        let mut second: Option<Second> = None;
        let mut first_trouble = None;
        let mut is_due = false;
        loop {
            let event = poll_fn(|cx| {
                if first_trouble.is_none() {
                    if let Poll::Ready(heard) = self.poll_head(&mut first, &mut pace, cx) {
                        return Poll::Ready(Event::First(heard));
                    }
                } else if self.poll_client_gone(cx).is_ready() {
                    return Poll::Ready(Event::First(Err(Trouble::Final(Reason::ClientGone))));
                } else if self.conn.timer.poll(cx).is_ready() {
                    return Poll::Ready(Event::First(Err(Trouble::Final(Reason::TotalTimeout))));
                }
                if let Some(second) = &mut second
                    && let Poll::Ready(heard) = second.heard.as_mut().poll(cx)
                {
                    return Poll::Ready(Event::Second(heard));
                }
                timer.poll(cx).map(|()| Event::Time)
            })
            .await;
            match event {
                Event::First(Ok(())) => {
                    if !is_due {
                        route.note_latency(self.now().saturating_sub(first.begun));
                    }
                    return (first, Ok(()));
                }
                Event::First(Err(trouble)) if second.is_none() || matches!(trouble, Trouble::Final(_)) => {
                    return (first, Err(trouble));
                }
                Event::First(Err(trouble)) => {
                    // The second goes on alone.
                    first_trouble = Some(trouble);
                    self.arm(self.deadline);
                }
                Event::Time if !is_due => {
                    is_due = true;
                    route.note_late();
                    second = self.second(pool, route);
                    timer.set(if second.is_some() { self.now() + self.response } else { Nanos::MAX });
                }
                Event::Second(Ok(heard)) => {
                    let (up, answer) = *heard;
                    let now = self.now();
                    first.in_flight.note(Said::TooLate, now.saturating_sub(first.begun), || now);
                    self.conn.worker.buffers.give(first.buffer);
                    self.request_is_whole();
                    self.conn.scratch.answer = answer;
                    self.at = second.map(|second| second.at);
                    pool.pool.state.cells[self.conn.worker.id].hedges_won.add(1);
                    return (up, Ok(()));
                }
                Event::Second(Err(_)) | Event::Time => {
                    if let Some(second) = second.take() {
                        pool.pool.backends[second.at.backend].state.cells[self.conn.worker.id].failures.add(1);
                    }
                    timer.set(Nanos::MAX);
                    if let Some(trouble) = first_trouble {
                        return (first, Err(trouble));
                    }
                }
            }
        }
    }

    /// Begins the second attempt, if there is another backend with room for it and the budget allows.
    fn second(&mut self, pool: &LocalPool, route: &Route) -> Option<Second> {
        let now = self.now();
        if pool.pool.queue.is_some() && pool.pool.state.line.waiting() > 0 {
            return None;
        }
        let key = self.key(&pool.pool.balance, route);
        let backend = pool.pick(key, &self.conn.scratch.tried, now, &mut self.conn.worker.rng.borrow_mut()).ok()?;
        let at = Place { pool: self.at?.pool, backend };
        let in_flight = InFlight::claim(&self.local, at, || now)?;
        let buffer = self.conn.worker.buffers.take().ok()?;
        if !pool.pool.budget.withdraw(now) {
            self.conn.worker.buffers.give(buffer);
            return None;
        }
        self.conn.scratch.tried.push(backend as u16);
        self.attempts = self.attempts.saturating_add(1);
        pool.pool.state.cells[self.conn.worker.id].hedges.add(1);
        let target = &pool.pool.backends[backend];
        target.state.cells[self.conn.worker.id].attempts.add(1);
        let request = self.whole_request(target, route);
        let kept = pool.idle[backend].take(pool.pool.idle_timeout, now, false);
        let (address, identity) = (target.address, target.state.identity.clone());
        let method = self.conn.scratch.head.method;
        let heard = async move {
            let reused = kept.is_some();
            let stream = match kept {
                Some(stream) => stream,
                None => net::dial(address).await.map_err(|e| not_connected(&e, &identity))?,
            };
            let mut up = Upstream::new(stream, buffer, reused, now, in_flight);
            up.buffer.hold();
            let (mut answer, mut written) = (Response::new(), 0);
            poll_fn(|cx| {
                while written < request.len() {
                    match up.stream.poll_write_both(cx, &request[written..], &[]) {
                        Poll::Ready(Ok(n)) if n > 0 => written += n,
                        Poll::Ready(_) => return Poll::Ready(Err(broken())),
                        Poll::Pending => break,
                    }
                }
                poll_answer(&mut up, &mut answer, method, cx)
            })
            .await?;
            // An answer to half of a request is none to this one.
            if written < request.len() { Err(broken()) } else { Ok(Box::new((up, answer))) }
        };
        Some(Second { at, heard: Box::pin(heard) })
    }

    /// The head as it goes to this backend, and the body that is held.
    fn whole_request(&self, backend: &crate::plan::Backend, route: &Route) -> Vec<u8> {
        let conn = &*self.conn;
        let scratch = &*conn.scratch;
        let mut request = Vec::new();
        let asked = scratch.known.asked(&scratch.head, conn.buffer.held(), &conn.peer_text);
        super::head::upstream(
            &mut request,
            &asked,
            &route.request,
            &scratch.effects,
            &backend.authority,
            conn.listener.underscores,
        );
        request.extend_from_slice(&conn.buffer.held()[scratch.head.len..self.keep]);
        request
    }

    /// All of the request has been sent: to the second, whatever of it the first took.
    fn request_is_whole(&mut self) {
        let conn = &mut *self.conn;
        conn.scratch.up.finish();
        conn.buffer.rewind(conn.scratch.head.len);
        conn.buffer.consume(self.keep - conn.scratch.head.len);
    }
}

fn broken() -> Trouble {
    Trouble::Upstream(Failure::Reset, Reason::UpstreamReset)
}

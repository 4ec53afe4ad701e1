//! A place at a backend for the next attempt, waited for in line where the pool is full.

use std::future::poll_fn;
use std::task::Poll;

use policy::Nanos;

use super::claim::InFlight;
use super::exchange::{Exchange, Place};
use crate::error::Reason;
use crate::plan::{Queue, Route};
use crate::upstream::pick::{LocalPool, Nobody};
use crate::upstream::queue::{News, Standing};

impl Exchange<'_> {
    /// The place at which the next attempt is made. `last` is why the one before failed, which is what the client is told where there is
    /// no other.
    pub(super) async fn place(&mut self, pool: usize, route: &Route, key: u64, last: Option<Reason>) -> Result<InFlight, Reason> {
        let local = self.local.clone();
        let target = &local.pools[pool].pool;
        // Nobody goes before those who wait.
        if (target.queue.is_none() || target.state.line.waiting() == 0)
            && let Some(done) = self.try_place(pool, key, last)
        {
            return done;
        }
        match &target.queue {
            Some(queue) => self.stand_in_line(pool, queue, route, key, last).await,
            None => Err(last.unwrap_or(Reason::QueueFull)),
        }
    }

    /// `None` while those that could take the attempt have no room.
    fn try_place(&mut self, pool: usize, key: u64, last: Option<Reason>) -> Option<Result<InFlight, Reason>> {
        let local = self.local.clone();
        loop {
            match self.pick(&local.pools[pool], key, last) {
                // Where another worker took the last place since, the next pick sees that.
                Ok(backend) => {
                    if let Some(in_flight) = InFlight::claim(&local, Place { pool, backend }, || self.now()) {
                        return Some(Ok(in_flight));
                    }
                }
                Err(Nobody::Free) => return None,
                Err(nobody) => return Some(Err(last.unwrap_or(reason(nobody)))),
            }
        }
    }

    /// Waits for its turn, which is over when the client leaves (F9).
    async fn stand_in_line(
        &mut self,
        pool: usize,
        queue: &Queue,
        route: &Route,
        key: u64,
        last: Option<Reason>,
    ) -> Result<InFlight, Reason> {
        let local = self.local.clone();
        let local_pool = &local.pools[pool];
        let state = &local_pool.pool.state;
        let cells = &state.cells[self.conn.worker.id];
        let since = self.now();
        let until = since + queue.timeout;
        let who = queue.who(&self.asked(), &route.name);
        cells.queued.add(1);
        let end = 'join: loop {
            let only = self.waits_for(local_pool);
            let not = self.conn.scratch.tried.iter().map(|i| local_pool.pool.backends[usize::from(*i)].state.id).collect();
            let standing = match state.line.join(who, only, not, self.now()) {
                Ok(standing) => standing,
                Err(after) => {
                    self.retry_after = Some(after);
                    break Err(Reason::QueueFull);
                }
            };
            loop {
                if let Some(done) = self.try_place(pool, key, last) {
                    if done.is_ok() {
                        standing.serve(self.now());
                    }
                    break 'join done;
                }
                match self.news(&standing, until.min(local_pool.valid_until()), until).await {
                    Err(Reason::QueueTimeout) => {
                        self.retry_after = Some(state.line.retry_after(self.now()));
                        break 'join Err(Reason::QueueTimeout);
                    }
                    Err(reason) => break 'join Err(reason),
                    Ok(News::Place(place)) => match InFlight::take(&local, pool, place, || self.now()) {
                        Some(in_flight) => break 'join Ok(in_flight),
                        None => continue 'join,
                    },
                    Ok(News::Evicted) => {
                        self.retry_after = Some(state.line.retry_after(self.now()));
                        break 'join Err(Reason::QueueFull);
                    }
                    Ok(News::Look) if self.waits_for(local_pool) != only => continue 'join,
                    Ok(News::Look) => {}
                }
            }
        };
        cells.queue_wait.add(self.now().saturating_sub(since));
        end.map_err(|reason| match (reason, last) {
            (Reason::QueueFull | Reason::QueueTimeout, Some(last)) => last,
            (reason, _) => reason,
        })
    }

    /// The one backend that will do: that of its session, which is full.
    fn waits_for(&self, pool: &LocalPool) -> Option<u64> {
        let at = self.session.backend?;
        pool.stuck(at, &self.conn.scratch.tried, self.now()).map(|_| pool.pool.backends[at].state.id)
    }

    /// What one who stands in line hears, at `look` that it should look again.
    async fn news(&mut self, standing: &Standing<'_>, look: Nanos, until: Nanos) -> Result<News, Reason> {
        self.arm(look);
        poll_fn(|cx| {
            if let Poll::Ready(news) = standing.poll(cx) {
                return Poll::Ready(Ok(news));
            }
            if self.poll_client_gone(cx).is_ready() {
                return Poll::Ready(Err(Reason::ClientGone));
            }
            self.conn.timer.poll(cx).map(|()| match self.now() {
                now if now >= self.deadline => Err(Reason::TotalTimeout),
                now if now >= until => Err(Reason::QueueTimeout),
                _ => Ok(News::Look),
            })
        })
        .await
    }
}

/// What a client is told where there is nobody to try.
fn reason(nobody: Nobody) -> Reason {
    match nobody {
        Nobody::Healthy => Reason::NoHealthyBackend,
        Nobody::Admitted => Reason::BreakerOpen,
        Nobody::Free => Reason::QueueFull,
        Nobody::Untried => Reason::ConnectFailed,
    }
}

//! The line before a pool whose backends are all at their `max_connections`: one for all workers, so that turns are kept whoever serves.
//!
//! A place that comes free is handed to the one whose turn it is before anybody else can take it. Only exchanges that wait, and those that
//! end while somebody waits, come to the lock in here; where nobody does, an ending exchange looks at one number.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use policy::Nanos;
use policy::queue::{Joined, Queue, Terms, Ticket, Who};

use crate::board::BackendState;

/// The line of one pool.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: AtomicU32,
    joins: AtomicU64,
    queue: Mutex<Option<Queue<Arc<Waiter>>>>,
}

/// One that stands in it.
#[derive(Debug)]
struct Waiter {
    /// It wants this backend alone, its session's.
    only: Option<u64>,
    /// It has tried these.
    not: Box<[u64]>,
    news: Mutex<(Option<News>, Option<Waker>)>,
}

/// What one who waits is told.
#[derive(Debug)]
pub(crate) enum News {
    /// This place is yours.
    Place(Place),
    /// Look again: who may be picked has changed.
    Look,
    /// Another had more right to stand here.
    Evicted,
}

/// A place at a backend on its way to the one whose turn it is; nobody else's until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// `None` once it was taken.
    state: Option<Arc<BackendState>>,
    most: u32,
    now: Nanos,
}

impl Place {
    /// Whose it is.
    pub(crate) fn is_at(&self, state: &Arc<BackendState>) -> bool {
        self.state.as_ref().is_some_and(|own| Arc::ptr_eq(own, state))
    }

    /// Takes it: whoever does counts as in flight, and ends that.
    pub(crate) fn take(mut self) {
        self.state = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            let now = self.now;
            state.leave(self.most, || now);
        }
    }
}

impl Waiter {
    fn accepts(&self, backend: &BackendState) -> bool {
        match self.only {
            // One that drains keeps its sessions.
            Some(only) => only == backend.id,
            None => !backend.is_draining() && !self.not.contains(&backend.id),
        }
    }

    fn tell(&self, news: News) {
        let waker = {
            let mut known = lock(&self.news);
            // That there is something to see is less than anything it has not heard yet.
            if !(matches!(news, News::Look) && known.0.is_some()) {
                known.0 = Some(news);
            }
            known.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One's stand in the line, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    line: &'a Line,
    waiter: Arc<Waiter>,
    ticket: Ticket,
    since: Nanos,
}

impl Standing<'_> {
    /// Ready when there is news.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<News> {
        let mut known = lock(&self.waiter.news);
        if let Some(news) = known.0.take() {
            return Poll::Ready(news);
        }
        if !known.1.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            known.1 = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// It found a place by itself.
    pub(crate) fn serve(self, now: Nanos) {
        self.line.leave(self.ticket, now, true);
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.line.leave(self.ticket, self.since, false);
        // A place that was given meanwhile goes on to the next with it.
        let news = lock(&self.waiter.news).0.take();
        drop(news);
    }
}

impl Line {
    /// Goes by these terms from now on.
    pub(crate) fn set_terms(&self, terms: Terms) {
        lock(&self.queue).get_or_insert_with(|| Queue::new(terms)).set_terms(terms);
    }

    /// How many stand in it now.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Moves with everyone who joins.
    pub(crate) fn joins(&self) -> u64 {
        self.joins.load(SeqCst)
    }

    /// Stands in the line. Whoever does looks for a place once more after that: one that came free before was offered to nobody.
    ///
    /// # Errors
    /// When it is full: seconds after which to try again.
    pub(crate) fn join(&self, who: Who, only: Option<u64>, not: Box<[u64]>, now: Nanos) -> Result<Standing<'_>, u32> {
        let waiter = Arc::new(Waiter { only, not, news: Mutex::default() });
        let mut known = lock(&self.queue);
        let queue = known.get_or_insert_with(|| Queue::new(Terms::default()));
        match queue.join(who, now, waiter.clone()) {
            Joined::Full(_) => Err(queue.retry_after(now)),
            Joined::Stands(ticket, evicted) => {
                self.joins.fetch_add(1, SeqCst);
                self.count(queue);
                drop(known);
                if let Some(evicted) = evicted {
                    evicted.tell(News::Evicted);
                }
                // A place that comes free from here on is seen by the look that follows, or handed on by who leaves it.
                fence(SeqCst);
                Ok(Standing { line: self, waiter, ticket, since: now })
            }
        }
    }

    /// Hands a place at this backend to the one whose turn it is. False if nobody wants it.
    pub(crate) fn hand_on(&self, state: &Arc<BackendState>, most: u32, now: Nanos) -> bool {
        let next = {
            let mut known = lock(&self.queue);
            let Some(queue) = &mut *known else { return false };
            let next = queue.pop(now, |waiter| waiter.accepts(state));
            self.count(queue);
            next
        };
        let is_wanted = next.is_some();
        if let Some(waiter) = next {
            waiter.tell(News::Place(Place { state: Some(state.clone()), most, now }));
        }
        is_wanted
    }

    /// Has everybody look again.
    pub(crate) fn poke(&self) {
        if self.waiting() == 0 {
            return;
        }
        let all: Vec<Arc<Waiter>> = lock(&self.queue).iter().flat_map(Queue::iter).cloned().collect();
        all.iter().for_each(|waiter| waiter.tell(News::Look));
    }

    /// Seconds after which one that comes then may find a place.
    pub(crate) fn retry_after(&self, now: Nanos) -> u32 {
        lock(&self.queue).as_ref().map_or(1, |queue| queue.retry_after(now))
    }

    fn leave(&self, ticket: Ticket, now: Nanos, is_served: bool) {
        let mut known = lock(&self.queue);
        if let Some(queue) = &mut *known {
            queue.leave(ticket, now, is_served);
            self.count(queue);
        }
    }

    fn count(&self, queue: &Queue<Arc<Waiter>>) {
        self.waiting.store(queue.len() as u32, SeqCst);
    }
}

/// What the mutexes here guard is whole between any two steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Idle connections to one backend, kept by one worker for the next attempt.

use std::cell::RefCell;
use std::collections::VecDeque;

use net::Stream;
use policy::Nanos;

/// How long more than the limit may stay: one second.
const BATCH: Nanos = 1_000_000_000;

/// Last in, first out: the warmest is used again, the rest can grow old and go.
#[derive(Debug)]
pub(crate) struct Idle {
    kept: RefCell<VecDeque<(Stream, Nanos)>>,
}

impl Idle {
    pub(crate) fn new() -> Self {
        Self { kept: RefCell::default() }
    }

    /// A connection that was alive when the event loop last looked; `sure` asks the kernel as well.
    ///
    /// A request that can't be sent twice wants to be sure: the answer to a stale connection would be an error to the client.
    pub(crate) fn take(&self, timeout: Nanos, now: Nanos, sure: bool) -> Option<Stream> {
        let mut kept = self.kept.borrow_mut();
        while let Some((stream, since)) = kept.pop_back() {
            if now.saturating_sub(since) >= timeout {
                // Everything below has been kept even longer.
                kept.clear();
                return None;
            }
            if !(stream.has_news() || sure && stream.is_stale()) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection on which a whole answer was read and nothing more. More than `limit` are kept only until they have been
    /// idle for a second: answers come in batches, and what one batch gives the next one takes.
    pub(crate) fn give(&self, stream: Stream, limit: usize, now: Nanos) {
        if limit > 0 {
            self.kept.borrow_mut().push_back((stream, now));
        }
    }

    /// Closes what is too old, too many or closed by the backend.
    pub(crate) fn tidy(&self, timeout: Nanos, limit: usize, now: Nanos) {
        let mut kept = self.kept.borrow_mut();
        while kept.len() > limit && kept.front().is_some_and(|(_, since)| now.saturating_sub(*since) >= BATCH) {
            kept.pop_front();
        }
        kept.retain(|(stream, since)| now.saturating_sub(*since) < timeout && !stream.has_news());
    }

    /// Closes them all.
    pub(crate) fn clear(&self) {
        self.kept.borrow_mut().clear();
    }
}

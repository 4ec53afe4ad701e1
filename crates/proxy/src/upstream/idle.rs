//! Idle connections to one backend, kept by one worker for the next attempt.

use std::cell::RefCell;
use std::collections::VecDeque;

use net::Stream;
use policy::Nanos;

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

    /// Keeps a connection on which a whole answer was read and nothing more.
    pub(crate) fn give(&self, stream: Stream, limit: usize, now: Nanos) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < limit {
            kept.push_back((stream, now));
        }
    }

    /// Closes what is too old or has been closed by the backend.
    pub(crate) fn tidy(&self, timeout: Nanos, now: Nanos) {
        self.kept.borrow_mut().retain(|(stream, since)| now.saturating_sub(*since) < timeout && !stream.has_news());
    }

    /// Closes them all.
    pub(crate) fn clear(&self) {
        self.kept.borrow_mut().clear();
    }
}

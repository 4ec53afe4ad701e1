//! The wait before an attempt is made again.

use std::future::poll_fn;
use std::task::Poll;

use policy::Nanos;
use policy::retry::{Attempted, Failure};
use wire::h1::{Name, Response};

use super::exchange::Exchange;
use crate::error::Reason;
use crate::upstream::pick::LocalPool;

impl Exchange<'_> {
    /// Waits as long as the policy says, unless the client goes away. No place at a backend is held meanwhile.
    pub(super) async fn pause(&mut self, pool: &LocalPool, failure: Failure, so_far: &Attempted) -> Result<(), Reason> {
        let long = pool.pool.retry.pause(failure, so_far, &mut self.conn.worker.rng.borrow_mut());
        if long == 0 {
            return Ok(());
        }
        self.arm(self.now() + long);
        poll_fn(|cx| {
            if self.poll_client_gone(cx).is_ready() {
                return Poll::Ready(Err(Reason::ClientGone));
            }
            self.conn.timer.poll(cx).map(|()| if self.now() >= self.deadline { Err(Reason::TotalTimeout) } else { Ok(()) })
        })
        .await
    }
}

/// How long an answer asks its backend to be left alone. The form with a date says nothing to a monotonic clock.
pub(super) fn retry_after(answer: &Response, text: &[u8]) -> Option<Nanos> {
    let value = answer.find(Name::RetryAfter)?.value.of(text);
    let seconds: u64 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000_000_000))
}

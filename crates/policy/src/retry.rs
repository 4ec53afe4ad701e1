//! Whether a failed attempt is followed by another one.
//!
//! The rules are rows F1 to F7 of the safety contract: an attempt may be repeated if no byte of the request was
//! written, or the method is idempotent (RFC 9110, section 9.2.2) and its whole body is still held; and in either case
//! only while nothing has reached the client. A budget keeps retries from multiplying the load of a failing pool.

mod budget;

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{Nanos, nanos};

pub use budget::{Budget, BudgetParams};

/// Retries after a reset in one exchange (F3): a request that has brought down two backends shall not meet a third.
const AFTER_RESET: u8 = 1;

/// When a pool tries again (`retry =`).
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Further attempts after the first, connect failures not counted: those go on to every other backend (F1).
    ///
    /// Default: 2. 0 turns off every retry, also after connect failures; only F7 remains. After a reset there is one
    /// at most (F3).
    pub attempts: u8,
    /// What is tried again.
    pub on: Conditions,
    /// How many retries all exchanges of the pool may make together.
    pub budget: BudgetParams,
    /// How long is waited before a retry that is not for a connection that could not be made.
    pub backoff: Backoff,
    /// How long one attempt may take up to the head of its answer, where it may be made again; `None` leaves that to the route. Such a
    /// timeout is a [`Failure::ResponseTimeout`], and tried again only with that condition.
    pub attempt_timeout: Option<Duration>,
}

/// Exponential backoff with full jitter: before the nth retry a time drawn from 0 to `base` × 2ⁿ⁻¹, so that what failed together does not come
/// back together (Brooker, "Exponential backoff and jitter", 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait before the first retry. Default: 25 ms; 0 never waits.
    pub base: Duration,
    /// Longest wait before any. Default: 250 ms.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

/// A backend that asks for more time than this (`Retry-After`) is not waited for.
const LONGEST_ASKED: Nanos = 10_000_000_000;

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: Conditions::default(),
            budget: BudgetParams::default(),
            backoff: Backoff::default(),
            attempt_timeout: None,
        }
    }
}

/// The failures that are tried again, where it is safe. Default: connect and reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Connection refused, unreachable, or not established in time (F1, F2). Any method.
    pub connect: bool,
    /// Connection lost before any byte of an answer (F3).
    pub reset: bool,
    /// No answer in time (F4). Idempotent methods only.
    pub timeout: bool,
    /// Answers with these statuses. Idempotent methods only.
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { connect: true, reset: true, timeout: false, statuses: Vec::new() }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Refused, unreachable, TLS failed: no connection stood (F1).
    Connect,
    /// No connection in time (F2).
    ConnectTimeout,
    /// Closed or reset on a fresh connection before any byte of an answer (F3).
    Reset,
    /// Closed or reset on a reused connection before any byte of an answer (F7).
    StaleIdle,
    /// The head of the answer did not come in time (F4).
    ResponseTimeout,
    /// The answer is not HTTP, or broke off within its head (F5).
    Malformed,
    /// A whole head with this status.
    Status(u16),
}

/// What has happened in the exchange so far, the failed attempt included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempted {
    /// Attempts for which a connection stood. Connect failures and the failed half of an F7 replay are not counted.
    pub tries: u8,
    /// How many of them ended in [`Failure::Reset`], this one included.
    pub resets: u8,
    /// Whether an available backend is left that this exchange has not tried.
    pub untried: bool,
    /// Whether F7 has been used in this exchange.
    pub stale_replayed: bool,
    /// Whether the failed attempt wrote any byte of the request.
    pub bytes_written: bool,
    /// Whether the method is idempotent.
    pub idempotent: bool,
    /// Whether the whole body (or that there is none) is still held, so that it can be sent again.
    pub body_held: bool,
    /// Whether any byte of an answer has been passed to the client, 1xx included.
    pub answer_started: bool,
    /// When the whole exchange must be over.
    pub deadline: Option<Nanos>,
    /// How long the answer asked to be left alone (`Retry-After`). It binds where no other backend is left to try.
    pub retry_after: Option<Nanos>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same backend on a fresh connection; the failure is not counted against it (F7).
    SameBackendFresh,
    /// A backend not tried yet; where all have been, any available one.
    OtherBackend,
    /// Answer the client with the failure.
    GiveUp(Why),
}

/// Why there is no further attempt; [`Why::word`] is its form in log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The client has part of an answer.
    AnswerStarted,
    /// The exchange is out of time.
    Deadline,
    /// This kind of failure is not one of [`Retry::on`].
    NotConfigured,
    /// Bytes were written, and the method is not idempotent or the body is gone.
    Unsafe,
    /// No backend is left to connect to.
    AllTried,
    /// [`Retry::attempts`] are used up.
    Attempts,
    /// The pool's budget is used up.
    Budget,
    /// The backend asked for more time than there is.
    RetryAfter,
}

impl Why {
    /// A word for log and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AnswerStarted => "answer_started",
            Self::Deadline => "deadline",
            Self::NotConfigured => "not_configured",
            Self::Unsafe => "unsafe",
            Self::AllTried => "all_tried",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::RetryAfter => "retry_after",
        }
    }
}

impl Attempted {
    /// How long the one backend there is asked to be left alone.
    fn asked_for(&self) -> Nanos {
        self.retry_after.filter(|_| !self.untried).unwrap_or(0)
    }
}

impl Retry {
    /// How long to wait before the attempt that follows this failure.
    pub fn pause(&self, failure: Failure, attempted: &Attempted, rng: &mut fastrand::Rng) -> Nanos {
        if matches!(failure, Failure::Connect | Failure::ConnectTimeout) {
            // Nobody has worked on it, and another backend may at once (F1).
            return 0;
        }
        let doublings = u32::from(attempted.tries.saturating_sub(1)).min(20);
        let most = nanos(self.backoff.base).saturating_mul(1 << doublings).min(nanos(self.backoff.max));
        rng.u64(0..=most).max(attempted.asked_for())
    }

    /// Decides; takes from the budget when the verdict is a retry that needs it. F1, F2 and F7 do not: no backend has
    /// worked on the request.
    pub fn judge(&self, failure: Failure, attempted: &Attempted, budget: &Budget, now: Nanos) -> Verdict {
        self.check(failure, attempted, budget, now).unwrap_or_else(Verdict::GiveUp)
    }

    fn check(&self, failure: Failure, it: &Attempted, budget: &Budget, now: Nanos) -> Result<Verdict, Why> {
        let sure = |holds: bool, why: Why| if holds { Ok(()) } else { Err(why) };
        let repeatable = it.idempotent && it.body_held;
        sure(!it.answer_started, Why::AnswerStarted)?;
        sure(it.deadline.is_none_or(|deadline| now < deadline), Why::Deadline)?;
        match failure {
            Failure::Connect | Failure::ConnectTimeout => {
                sure(self.on.connect && self.attempts > 0, Why::NotConfigured)?;
                sure(it.untried, Why::AllTried)?;
                return Ok(Verdict::OtherBackend);
            }
            Failure::StaleIdle if !it.stale_replayed => {
                sure(repeatable || !it.bytes_written, Why::Unsafe)?;
                return Ok(Verdict::SameBackendFresh);
            }
            Failure::Reset | Failure::StaleIdle => {
                sure(self.on.reset, Why::NotConfigured)?;
                sure(repeatable || !it.bytes_written, Why::Unsafe)?;
                sure(it.resets <= AFTER_RESET, Why::Attempts)?;
            }
            Failure::ResponseTimeout => {
                sure(self.on.timeout, Why::NotConfigured)?;
                sure(repeatable, Why::Unsafe)?;
            }
            Failure::Status(status) => {
                sure(self.on.statuses.iter().any(|range| range.contains(&status)), Why::NotConfigured)?;
                sure(repeatable, Why::Unsafe)?;
                let asked = it.asked_for();
                sure(asked <= LONGEST_ASKED && it.deadline.is_none_or(|end| now.saturating_add(asked) < end), Why::RetryAfter)?;
            }
            Failure::Malformed => return Err(Why::NotConfigured),
        }
        sure(it.tries <= self.attempts, Why::Attempts)?;
        sure(budget.withdraw(now), Why::Budget)?;
        Ok(Verdict::OtherBackend)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILURES: [Failure; 7] = [
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::Reset,
        Failure::StaleIdle,
        Failure::ResponseTimeout,
        Failure::Malformed,
        Failure::Status(503),
    ];

    /// A GET that failed at the first backend after it was written.
    const GET: Attempted = Attempted {
        tries: 1,
        resets: 0,
        untried: true,
        stale_replayed: false,
        bytes_written: true,
        idempotent: true,
        body_held: true,
        answer_started: false,
        deadline: Some(1000),
        retry_after: None,
    };
    const POST: Attempted = Attempted { idempotent: false, ..GET };

    fn judge(retry: &Retry, failure: Failure, attempted: Attempted) -> Verdict {
        retry.judge(failure, &attempted, &Budget::new(retry.budget), 999)
    }

    fn by_default(failure: Failure, attempted: Attempted) -> Verdict {
        judge(&Retry::default(), failure, attempted)
    }

    fn everything() -> Retry {
        let on = Conditions { timeout: true, statuses: vec![502..=504], ..Conditions::default() };
        Retry { on, ..Retry::default() }
    }

    #[test]
    fn f1_f2_connect_failures_go_to_every_other_backend_with_any_method() {
        for failure in [Failure::Connect, Failure::ConnectTimeout] {
            for attempted in [GET, POST] {
                let many = Attempted { tries: 200, bytes_written: false, ..attempted };
                assert_eq!(by_default(failure, many), Verdict::OtherBackend);
                let last = Attempted { untried: false, ..many };
                assert_eq!(by_default(failure, last), Verdict::GiveUp(Why::AllTried));
            }
        }
    }

    #[test]
    fn f1_needs_no_budget_and_f3_does() {
        let broke = Retry { budget: BudgetParams { percent: 0, per_second: 0 }, ..Retry::default() };
        assert_eq!(judge(&broke, Failure::Connect, POST), Verdict::OtherBackend);
        assert_eq!(judge(&broke, Failure::StaleIdle, GET), Verdict::SameBackendFresh);
        assert_eq!(judge(&broke, Failure::Reset, GET), Verdict::GiveUp(Why::Budget));
    }

    #[test]
    fn f3_a_reset_is_retried_once_and_a_post_never_once_written() {
        let reset = |resets, of: Attempted| by_default(Failure::Reset, Attempted { resets, tries: resets, ..of });
        assert_eq!(reset(1, GET), Verdict::OtherBackend);
        assert_eq!(reset(2, GET), Verdict::GiveUp(Why::Attempts));
        assert_eq!(reset(1, POST), Verdict::GiveUp(Why::Unsafe));
        let unwritten = Attempted { bytes_written: false, ..POST };
        assert_eq!(reset(1, unwritten), Verdict::OtherBackend);
        let body_gone = Attempted { body_held: false, ..GET };
        assert_eq!(reset(1, body_gone), Verdict::GiveUp(Why::Unsafe));
    }

    #[test]
    fn f4_timeouts_and_statuses_are_retried_only_if_configured_and_idempotent() {
        for failure in [Failure::ResponseTimeout, Failure::Status(503)] {
            assert_eq!(by_default(failure, GET), Verdict::GiveUp(Why::NotConfigured));
            assert_eq!(judge(&everything(), failure, GET), Verdict::OtherBackend);
            let unwritten = Attempted { bytes_written: false, ..POST };
            assert_eq!(judge(&everything(), failure, unwritten), Verdict::GiveUp(Why::Unsafe));
        }
        assert_eq!(judge(&everything(), Failure::Status(500), GET), Verdict::GiveUp(Why::NotConfigured));
    }

    #[test]
    fn f5_a_malformed_answer_is_never_retried() {
        assert_eq!(judge(&everything(), Failure::Malformed, GET), Verdict::GiveUp(Why::NotConfigured));
    }

    #[test]
    fn f7_a_stale_connection_is_replaced_once_also_without_retries() {
        let off = Retry { attempts: 0, ..Retry::default() };
        for retry in [Retry::default(), off.clone()] {
            assert_eq!(judge(&retry, Failure::StaleIdle, GET), Verdict::SameBackendFresh);
            assert_eq!(judge(&retry, Failure::StaleIdle, POST), Verdict::GiveUp(Why::Unsafe));
            let unwritten = Attempted { bytes_written: false, ..POST };
            assert_eq!(judge(&retry, Failure::StaleIdle, unwritten), Verdict::SameBackendFresh);
        }
        let again = Attempted { stale_replayed: true, resets: 1, ..GET };
        assert_eq!(by_default(Failure::StaleIdle, again), Verdict::OtherBackend);
        assert_eq!(judge(&off, Failure::Connect, GET), Verdict::GiveUp(Why::NotConfigured));
        assert_eq!(judge(&off, Failure::Reset, GET), Verdict::GiveUp(Why::Attempts));
    }

    #[test]
    fn two_further_attempts_and_no_more() {
        let timeout = |tries| judge(&everything(), Failure::ResponseTimeout, Attempted { tries, ..GET });
        let verdicts = [1, 2, 3].map(timeout);
        assert_eq!(verdicts, [Verdict::OtherBackend, Verdict::OtherBackend, Verdict::GiveUp(Why::Attempts)]);
    }

    #[test]
    fn a_pause_is_drawn_from_all_of_a_span_that_doubles_up_to_its_most() {
        let retry = everything();
        let mut rng = fastrand::Rng::with_seed(1);
        for (tries, most) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (255, 250)] {
            let attempted = Attempted { tries, ..GET };
            let pauses: Vec<_> = (0..2000).map(|_| retry.pause(Failure::Reset, &attempted, &mut rng) / 10_000).collect();
            let (least, longest) = (pauses.iter().min().copied(), pauses.iter().max().copied());
            assert!(least < Some(most) && longest > Some(most * 98) && longest <= Some(most * 100), "{least:?} {longest:?}");
            let mean = pauses.iter().sum::<u64>() / 2000;
            assert!((most * 45..most * 55).contains(&mean), "{mean}");
        }
        assert_eq!(retry.pause(Failure::Connect, &GET, &mut rng), 0);
    }

    #[test]
    fn what_a_backend_asks_for_binds_where_there_is_no_other() {
        let second = 1_000_000_000;
        let asks = |after: Nanos, untried| Attempted { retry_after: Some(after), untried, deadline: Some(15 * second), ..GET };
        let verdict = |attempted| judge(&everything(), Failure::Status(503), attempted);
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(verdict(asks(2 * second, false)), Verdict::OtherBackend);
        assert_eq!(everything().pause(Failure::Status(503), &asks(2 * second, false), &mut rng), 2 * second);
        assert!(everything().pause(Failure::Status(503), &asks(2 * second, true), &mut rng) < second);
        assert_eq!(verdict(asks(11 * second, false)), Verdict::GiveUp(Why::RetryAfter));
        assert_eq!(verdict(asks(3600 * second, true)), Verdict::OtherBackend);
        let no_time = Attempted { deadline: Some(2 * second), ..asks(2 * second, false) };
        assert_eq!(verdict(no_time), Verdict::GiveUp(Why::RetryAfter));
    }

    fn any_attempted() -> impl Strategy<Value = Attempted> {
        (0_u8..5, 0_u8..3, any::<[bool; 6]>()).prop_map(|(tries, resets, flags)| Attempted {
            tries,
            resets,
            untried: flags[0],
            stale_replayed: flags[1],
            bytes_written: flags[2],
            idempotent: flags[3],
            body_held: flags[4],
            answer_started: flags[5],
            deadline: None,
            retry_after: None,
        })
    }

    proptest! {
        #[test]
        fn nothing_is_repeated_that_is_not_safe(attempted in any_attempted(), failure in prop::sample::select(&FAILURES[..])) {
            let connected = !matches!(failure, Failure::Connect | Failure::ConnectTimeout);
            let safe = !attempted.bytes_written || (attempted.idempotent && attempted.body_held);
            let verdict = judge(&everything(), failure, attempted);
            if attempted.answer_started || (connected && !safe) {
                prop_assert!(matches!(verdict, Verdict::GiveUp(_)), "{:?}", verdict);
            }
        }

        #[test]
        fn nothing_is_repeated_after_the_deadline(attempted in any_attempted(), failure in prop::sample::select(&FAILURES[..])) {
            let late = Attempted { deadline: Some(999), answer_started: false, ..attempted };
            prop_assert_eq!(judge(&everything(), failure, late), Verdict::GiveUp(Why::Deadline));
        }
    }
}

//! Whether a failed attempt is followed by another one.
//!
//! The rules are rows F1 to F7 of the safety contract: an attempt may be repeated if no byte of the request was
//! written, or the method is idempotent (RFC 9110, section 9.2.2) and its whole body is still held; and in either case
//! only while nothing has reached the client. A budget keeps retries from multiplying the load of a failing pool.

mod budget;

use std::ops::RangeInclusive;

use crate::Nanos;

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
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: Conditions::default(),
            budget: BudgetParams::default(),
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
        Self {
            connect: true,
            reset: true,
            timeout: false,
            statuses: Vec::new(),
        }
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
        }
    }
}

impl Retry {
    /// Decides; takes from the budget when the verdict is a retry that needs it. F1, F2 and F7 do not: no backend has
    /// worked on the request.
    pub fn judge(
        &self,
        failure: Failure,
        attempted: &Attempted,
        budget: &Budget,
        now: Nanos,
    ) -> Verdict {
        self.check(failure, attempted, budget, now)
            .unwrap_or_else(Verdict::GiveUp)
    }

    fn check(
        &self,
        failure: Failure,
        it: &Attempted,
        budget: &Budget,
        now: Nanos,
    ) -> Result<Verdict, Why> {
        let sure = |holds: bool, why: Why| if holds { Ok(()) } else { Err(why) };
        let repeatable = it.idempotent && it.body_held;
        sure(!it.answer_started, Why::AnswerStarted)?;
        sure(
            it.deadline.is_none_or(|deadline| now < deadline),
            Why::Deadline,
        )?;
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
                sure(
                    self.on.statuses.iter().any(|range| range.contains(&status)),
                    Why::NotConfigured,
                )?;
                sure(repeatable, Why::Unsafe)?;
            }
            Failure::Malformed => return Err(Why::NotConfigured),
        }
        sure(it.tries <= self.attempts, Why::Attempts)?;
        sure(budget.withdraw(now), Why::Budget)?;
        Ok(Verdict::OtherBackend)
    }
}

//! An attempt's place at a backend: counted while it lasts, and what became of it told to the pool's guards.

use std::cell::Cell;
use std::rc::Rc;

use config::model::Scope;
use policy::Nanos;
use policy::breaker::{Breaker, Outcome, Params, Pass, State};
use policy::retry::{Conditions, Failure};

use super::exchange::Place;
use crate::plan::Pool;
use crate::worker::Local;

/// What an attempt says of its backend.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// The head of an answer with this status.
    Answer(u16),
    /// No answer.
    Nothing(Failure),
    /// Nothing until the client had enough of it.
    TooLate,
}

/// Counts an attempt at a backend until it is dropped.
pub(super) struct InFlight {
    local: Rc<Local>,
    at: Place,
    /// The breaker's, until it's told how the attempt went.
    pass: Cell<Option<Pass>>,
    failed: Cell<bool>,
}

impl InFlight {
    /// Counts an attempt if the backend may have one more and its breaker lets it through.
    pub(super) fn claim(local: &Rc<Local>, at: Place, now: impl FnOnce() -> Nanos) -> Option<Self> {
        let backend = local.backend(at);
        if !backend.state.begin_within(backend.max_connections) {
            return None;
        }
        let claimed = Self::counted(local, at);
        if let Some((params, breaker)) = claimed.breaker() {
            let pass = breaker.enter(params, now())?;
            claimed.pass.set(Some(pass));
        }
        Some(claimed)
    }

    /// For one more attempt at a backend that has just had one, whatever its limits.
    pub(super) fn again(local: &Rc<Local>, at: Place, now: impl FnOnce() -> Nanos) -> Self {
        local.backend(at).state.begin();
        let claimed = Self::counted(local, at);
        if let Some((params, breaker)) = claimed.breaker() {
            claimed.pass.set(breaker.enter(params, now()));
        }
        claimed
    }

    fn counted(local: &Rc<Local>, at: Place) -> Self {
        Self { local: local.clone(), at, pass: Cell::new(None), failed: Cell::new(false) }
    }

    fn pool(&self) -> &Pool {
        &self.local.pools[self.at.pool].pool
    }

    /// The breaker that the attempt goes by, the backend's own or the pool's.
    fn breaker(&self) -> Option<(&Params, &Breaker)> {
        let pool = self.pool();
        let breaker = pool.guard.breaker.as_ref()?;
        let state = match breaker.scope {
            Scope::Backend => self.local.backend(self.at).state.breaker(),
            Scope::Pool => pool.state.breaker(),
        };
        Some((&breaker.params, state))
    }

    /// Tells the guards what the attempt has come to, `took` after it began. `now` is asked only if a guard needs it.
    pub(super) fn note(&self, said: Said, took: Nanos, now: impl Fn() -> Nanos) {
        if let Some((params, breaker)) = self.breaker()
            && let Some(outcome) = outcome(said, params, took)
            && let Some(pass) = self.pass.take()
        {
            self.turned(breaker.settle(params, pass, outcome, now()), params);
        }
        let pool = self.pool();
        if let Some(params) = &pool.guard.passive
            && is_failure(said, &params.on)
        {
            self.failed.set(true);
            pool.hold_against(self.at.backend, params, now());
        }
    }

    /// The answer is whole.
    pub(super) fn ended_well(&self, now: impl FnOnce() -> Nanos) {
        if let Some(params) = &self.pool().guard.passive
            && !self.failed.get()
        {
            self.local.backend(self.at).state.outlier().succeeded(params, now);
        }
    }

    /// The answer that was noted has broken off, or is none to what was asked.
    pub(super) fn broke_off(&self, failure: Failure, now: Nanos) {
        if let Some((params, breaker)) = self.breaker() {
            self.turned(breaker.amend(params, now), params);
        }
        if let Some(params) = &self.pool().guard.passive
            && !self.failed.replace(true)
            && is_failure(Said::Nothing(failure), &params.on)
        {
            self.pool().hold_against(self.at.backend, params, now);
        }
    }

    /// Takes note of a breaker's new state, where it has one.
    fn turned(&self, state: Option<State>, params: &Params) {
        let Some(state) = state else { return };
        let pool = self.pool();
        let backend = &self.local.backend(self.at).state;
        let is_own = pool.backend_breaker().is_some();
        if is_own && state == State::Closed {
            backend.begin_slowly();
        }
        pool.state.changed();
        let whose = if is_own { &backend.identity } else { &pool.name };
        match state {
            State::Open => tracing::warn!("the breaker of {whose} opens for {} s", params.open.as_secs_f64()),
            State::Closed => tracing::info!("the breaker of {whose} closes"),
            State::HalfOpen => {}
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.local.backend(self.at).state.end();
        if let Some(pass) = self.pass.take()
            && let Some((_, breaker)) = self.breaker()
        {
            breaker.cancel(pass);
        }
    }
}

/// What a breaker counts; `None` where it says nothing of the backend.
fn outcome(said: Said, params: &Params, took: Nanos) -> Option<Outcome> {
    let slow = params.latency.is_some_and(|latency| u128::from(took) > latency.as_nanos());
    match said {
        Said::Answer(status) => Some(Outcome { failed: status >= 500, slow }),
        Said::Nothing(Failure::StaleIdle) => None,
        Said::Nothing(_) => Some(Outcome { failed: true, slow: false }),
        Said::TooLate => slow.then_some(Outcome { failed: false, slow }),
    }
}

fn is_failure(said: Said, on: &Conditions) -> bool {
    match said {
        Said::Answer(status) | Said::Nothing(Failure::Status(status)) => on.statuses.iter().any(|range| range.contains(&status)),
        Said::Nothing(Failure::Connect | Failure::ConnectTimeout) => on.connect,
        Said::Nothing(Failure::Reset | Failure::Malformed) => on.reset,
        Said::Nothing(Failure::ResponseTimeout) => on.timeout,
        // A kept connection had grown old: nothing is known of the backend.
        Said::Nothing(Failure::StaleIdle) | Said::TooLate => false,
    }
}

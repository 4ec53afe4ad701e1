//! Steps between the route and the pool. Each may read the request, add to it or to its answer, hold something for as long as the
//! exchange runs, or end the exchange.
//!
//! A route's chain is compiled with the Plan; a route without filters has an empty one and pays for a look at its length. Filters know
//! messages, never connections, so that they serve every protocol.

pub(crate) mod access;
pub(crate) mod basic;
pub(crate) mod cors;
pub(crate) mod forward;
pub(crate) mod jwt;
pub(crate) mod kept;
pub(crate) mod limit;
pub(crate) mod shape;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use policy::{Nanos, Rewrite};

use crate::error::Reason;
use crate::message::Asked;
use crate::worker::Worker;

/// One step. They run in the order of the chain, which `plan::chain` writes.
#[derive(Debug)]
pub(crate) enum Filter {
    Rate(std::sync::Arc<limit::Rate>),
    Concurrent(limit::Concurrent),
    Origin(access::Origin),
    Cors(cors::Cors),
    /// Most bytes of a body.
    Body(u64),
    Basic(basic::Basic),
    Jwt(Box<jwt::Jwt>),
    Forward(forward::Forward),
    Rewrite(Rewrite),
}

impl Filter {
    /// Does its step for the request.
    pub(crate) fn request(&self, here: &Here<'_>, effects: &mut Effects) -> Step {
        match self {
            Self::Rate(rate) => rate.request(here, effects),
            Self::Concurrent(concurrent) => concurrent.request(here, effects),
            Self::Origin(origin) => origin.request(&here.asked),
            Self::Cors(cors) => cors.request(&here.asked, effects),
            Self::Body(most) => shape::body(*most, &here.asked),
            Self::Basic(basic) => basic.request(here, effects),
            Self::Jwt(jwt) => jwt.request(here, effects),
            Self::Forward(forward) => forward.request(here),
            Self::Rewrite(rewrite) => shape::rewrite(rewrite, &here.asked, effects),
        }
    }

    /// What it would do with this request, in a sentence for `evenkeel explain`. Takes nothing from any limit.
    pub(crate) fn describe(&self, asked: &Asked<'_>, route: &str, now: Nanos) -> String {
        match self {
            Self::Rate(rate) => rate.describe(asked, route, now),
            Self::Concurrent(concurrent) => concurrent.describe(asked, route),
            Self::Origin(origin) => origin.describe(asked),
            Self::Cors(cors) => cors.describe(asked),
            Self::Body(most) => shape::describe_body(*most, asked),
            Self::Basic(basic) => basic.describe(asked),
            Self::Jwt(jwt) => jwt.describe(asked),
            Self::Forward(forward) => forward.describe(),
            Self::Rewrite(rewrite) => shape::describe_rewrite(rewrite, asked),
        }
    }

    /// Does its step for an imagined request as far as that can be told without a worker: what it adds, and with what it would end the
    /// exchange. Limits count as not reached, and whoever has to be asked as agreeing.
    pub(crate) fn foresee(&self, asked: &Asked<'_>, effects: &mut Effects) -> Option<Ending> {
        let step = match self {
            Self::Rate(_) | Self::Concurrent(_) | Self::Basic(_) | Self::Jwt(_) | Self::Forward(_) => Step::Next,
            Self::Origin(origin) => origin.request(asked),
            Self::Cors(cors) => cors.request(asked, effects),
            Self::Body(most) => shape::body(*most, asked),
            Self::Rewrite(rewrite) => shape::rewrite(rewrite, asked, effects),
        };
        match step {
            Step::End(ending) => Some(ending),
            Step::Next | Step::Wait(_) => None,
        }
    }
}

/// What a filter sees.
pub(crate) struct Here<'a> {
    pub(crate) asked: Asked<'a>,
    /// The route's name.
    pub(crate) route: &'a str,
    pub(crate) now: Nanos,
    pub(crate) worker: &'a Rc<Worker>,
}

/// What follows a step.
pub(crate) enum Step {
    /// The next filter, at last the pool.
    Next,
    /// The exchange ends with this answer.
    End(Ending),
    /// It takes time. What is needed of the request has been copied.
    Wait(Pin<Box<dyn Future<Output = Late>>>),
}

/// What a step that took time came to.
#[derive(Default)]
pub(crate) struct Late {
    pub(crate) effects: Effects,
    /// `None` lets the exchange go on.
    pub(crate) ending: Option<Ending>,
}

/// What filters leave behind for the rest of the exchange.
#[derive(Default)]
pub(crate) struct Effects {
    /// Whole lines, each with its CRLF, for the head that goes upstream.
    pub(crate) request: Vec<u8>,
    /// Whole lines, each with its CRLF, for the head of whatever answer the client gets.
    pub(crate) response: Vec<u8>,
    /// The path that goes upstream in place of the client's; normalised.
    pub(crate) path: Option<Vec<u8>>,
    /// Let go of when the exchange ends.
    pub(crate) held: Vec<Held>,
}

impl Effects {
    pub(crate) fn clear(&mut self) {
        self.request.clear();
        self.response.clear();
        self.path = None;
        self.held.clear();
    }

    /// Adds what a later step left.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.request.append(&mut other.request);
        self.response.append(&mut other.response);
        self.held.append(&mut other.held);
        if other.path.is_some() {
            self.path = other.path;
        }
    }
}

/// Something that counts for as long as an exchange runs.
#[derive(Debug)]
pub(crate) enum Held {
    /// A place under a limit of concurrent exchanges.
    Place(#[expect(dead_code, reason = "dropping it is all its use")] policy::limit::Claim),
    /// One of those that a pool's adaptive limit allows.
    Running(#[expect(dead_code, reason = "dropping it is all its use")] policy::limit::Running),
}

/// The answer with which a filter ends an exchange.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) status: u16,
    /// For log and metrics.
    pub(crate) reason: Option<Reason>,
    /// Content type and body; `None` writes the reason's own in the form the client reads best.
    pub(crate) body: Option<(String, Vec<u8>)>,
    /// Whole lines, each with its CRLF.
    pub(crate) fields: Vec<u8>,
}

impl Ending {
    /// The reason's own status and text.
    pub(crate) fn refuse(reason: Reason) -> Self {
        Self { status: reason.status(), reason: Some(reason), body: None, fields: Vec::new() }
    }
}

//! Where a route's exchanges go when it has several pools, or when the operator sends them elsewhere.

use std::sync::Arc;

use config::model;
use policy::Key;
use policy::balance::hash_key;
use policy::split::Split;

use super::Action;
use crate::board::{Board, RouteState};
use crate::message::{AddressText, Asked};

/// Several pools and their shares.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Positions in the plan.
    pub(crate) pools: Vec<usize>,
    pub(crate) weights: Vec<u16>,
    split: Split,
    cohort: Option<Key>,
    state: Arc<RouteState>,
}

impl Pools {
    fn compile(shares: &[(usize, u16)], cohort: Option<&Key>, state: &Arc<RouteState>) -> Option<Self> {
        let (pools, weights): (Vec<_>, Vec<_>) = shares.iter().copied().unzip();
        Some(Self { split: Split::new(&weights)?, pools, weights, cohort: cohort.cloned(), state: state.clone() })
    }

    /// The pool of this exchange, whose turn is taken.
    pub(crate) fn pick(&self, asked: &Asked<'_>, route: &str) -> usize {
        self.pools[self.split_by(asked, route).unwrap_or_else(|| self.split.by_turn(self.state.next_turn()))]
    }

    /// The pool it would be, and why. Takes no turn.
    pub(crate) fn preview(&self, asked: &Asked<'_>, route: &str) -> (usize, String) {
        let shares: Vec<String> = self.weights.iter().map(u16::to_string).collect();
        let shares = shares.join(" : ");
        match self.split_by(asked, route) {
            Some(i) => (self.pools[i], format!("by its cohort, of shares {shares}")),
            None => (self.pools[self.split.by_turn(self.state.turn())], format!("whose turn it is, of shares {shares}")),
        }
    }

    /// By the client's cohort. Without what tells clients apart it is their address.
    fn split_by(&self, asked: &Asked<'_>, route: &str) -> Option<usize> {
        let key = self.cohort.as_ref()?;
        let hash = asked.key_hash(key, route).unwrap_or_else(|| hash_key(AddressText::new(asked.client).as_bytes()));
        // Not the bits by which the pool's own hash chooses a backend: a canary's clients would all meet the same few.
        Some(self.split.by_key(hash_key(&hash.to_le_bytes())))
    }
}

/// The route as the plan has it, for control.
#[derive(Clone, Debug)]
pub struct RouteShown {
    /// Its name.
    pub name: String,
    /// The pools it may go to with their shares, as the file has them.
    pub pools: Vec<(String, u16)>,
    /// The pool the operator sends everything to.
    pub switched_to: Option<String>,
}

/// Where the route ends: where the file says, or where the operator has switched it to.
pub(super) fn action(route: &model::Route, config: &model::Config, state: &Arc<RouteState>) -> (Action, Option<String>) {
    let switched = state.switched(fingerprint(route));
    let to = switched.and_then(|name| config.pools.iter().position(|pool| pool.name == name));
    if let Some(pool) = to.filter(|_| !route.action.pools().is_empty()) {
        return (Action::Pool(pool), Some(config.pools[pool].name.clone()));
    }
    let action = match &route.action {
        model::Action::Pool(pool) => Action::Pool(*pool),
        model::Action::Pools { shares, cohort } => match Pools::compile(shares, cohort.as_ref(), state) {
            Some(pools) => Action::Pools(pools),
            // Refused by the check of the configuration.
            None => Action::Pool(shares.first().map_or(0, |(pool, _)| *pool)),
        },
        model::Action::Respond { status, body, content_type, headers } => Action::Respond {
            status: *status,
            body: body.clone(),
            content_type: content_type.clone(),
            headers: super::Edits::of_fields(headers),
        },
        model::Action::Redirect { to, status } => Action::Redirect { to: to.clone(), status: *status },
    };
    (action, None)
}

/// What the file says of the route's exchanges and where they go. Patterns have no equality; their debug text has.
pub(crate) fn fingerprint(route: &model::Route) -> u64 {
    hash_key(format!("{:?} {:?}", route.rule, route.action).as_bytes())
}

/// Why a route can't be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CantSwitch {
    /// There is no such route.
    Route,
    /// There is no such pool.
    Pool,
    /// The route ends in no pool.
    EndsElsewhere,
}

impl Board {
    /// Sends everything of a route to this pool from the next plan of this configuration on; `None` has it go by the file again.
    /// Holds over reloads until the file changes what the route matches or where it ends.
    ///
    /// # Errors
    /// When that makes no sense.
    pub fn switch(&self, config: &model::Config, route: &str, pool: Option<&str>) -> Result<(), CantSwitch> {
        let route = config.routes.iter().find(|known| known.name == route).ok_or(CantSwitch::Route)?;
        if route.action.pools().is_empty() {
            return Err(CantSwitch::EndsElsewhere);
        }
        if pool.is_some_and(|pool| config.pools.iter().all(|known| known.name != pool)) {
            return Err(CantSwitch::Pool);
        }
        self.route(&route.name).switch(pool, fingerprint(route));
        Ok(())
    }
}

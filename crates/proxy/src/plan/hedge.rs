//! When a route makes a second attempt beside the first.

use std::sync::Arc;

use config::model;
use policy::Nanos;
use policy::measure::Quantile;

use super::nanos;
use crate::board::Board;

/// How long the first attempt has alone.
#[derive(Debug)]
pub(crate) enum Hedge {
    After(Nanos),
    /// As long as this share of the route's attempts takes.
    Live {
        share: f64,
        seen: Arc<Quantile>,
    },
}

impl Hedge {
    pub(crate) fn compile(hedge: &model::Hedge, route: &str, board: &Board) -> Self {
        match hedge {
            model::Hedge::After(after) => Self::After(nanos(*after)),
            model::Hedge::Percentile(percentile) => {
                Self::Live { share: f64::from(*percentile) / 1000.0, seen: board.latency_of(route, *percentile) }
            }
        }
    }

    /// `None` while too little is known.
    pub(crate) fn after(&self) -> Option<Nanos> {
        match self {
            Self::After(after) => Some(*after),
            Self::Live { seen, .. } => seen.value(),
        }
    }

    pub(super) fn observe(&self, took: Nanos) {
        if let Self::Live { share, seen } = self {
            seen.observe(*share, took);
        }
    }

    pub(super) fn observe_above(&self) {
        if let Self::Live { share, seen } = self {
            seen.observe_above(*share);
        }
    }
}

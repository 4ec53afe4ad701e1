//! A route's filters, in the order in which they run.

use std::sync::Arc;

use config::model;

use crate::board::Board;
use crate::filter::Filter;
use crate::filter::limit::{Concurrent, Rate};

/// The order is part of the language: whoever may not in is refused before anything is counted or computed for them.
pub(crate) fn chain(route: &model::Route, board: &Board) -> Box<[Filter]> {
    let mut chain = Vec::new();
    chain.extend(Rate::compile(route, board).map(|rate| Filter::Rate(Arc::new(rate))));
    chain.extend(Concurrent::compile(route, board).map(Filter::Concurrent));
    chain.into()
}

//! A route's filters, in the order in which they run.

use std::sync::Arc;

use config::model::{self, Address};

use super::Resolve;
use crate::board::Board;
use crate::filter::Filter;
use crate::filter::access::Origin;
use crate::filter::basic::Basic;
use crate::filter::cors::Cors;
use crate::filter::forward::Forward;
use crate::filter::jwt::Jwt;
use crate::filter::limit::{Concurrent, Rate};

/// The order is part of the language: whoever may not in is refused before anything is counted or computed for them.
pub(crate) fn chain(route: &model::Route, resolve: Resolve<'_>, board: &Board) -> Box<[Filter]> {
    let (access, shape) = (&route.access, &route.shape);
    let mut chain = Vec::new();
    chain.extend(Origin::compile(access).map(Filter::Origin));
    chain.extend(shape.cors.as_ref().map(|cors| Filter::Cors(Cors::compile(cors))));
    chain.extend(shape.max_body.map(Filter::Body));
    chain.extend(Rate::compile(route, board).map(|rate| Filter::Rate(Arc::new(rate))));
    chain.extend(access.basic.as_ref().map(|basic| Filter::Basic(Basic::compile(basic))));
    chain.extend(access.jwt.as_ref().map(|jwt| Filter::Jwt(Box::new(Jwt::compile(jwt, board)))));
    chain.extend(access.forward.as_ref().map(|forward| {
        let addresses = match &forward.url.address {
            Address::Socket(address) => vec![*address],
            Address::Name { host, port } => resolve(host, *port),
        };
        Filter::Forward(Forward::compile(forward, addresses))
    }));
    chain.extend(Concurrent::compile(route, board).map(Filter::Concurrent));
    chain.extend(shape.rewrite.clone().map(Filter::Rewrite));
    chain.into()
}

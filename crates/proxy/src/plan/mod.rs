//! What to do: the configuration compiled for the request path. Immutable; a reload publishes another.

mod chain;
pub(crate) mod edits;
mod hedge;
pub(crate) mod pages;
mod pool;
pub(crate) mod split;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use config::model;
use ipnet::IpNet;
use policy::Nanos;
use policy::balance::hash_key;
use policy::limit::{Claim, Counts};
use policy::route::Router;

pub(crate) use pool::Queue;
pub use pool::{Backend, Pool};
pub use split::{CantSwitch, RouteShown};

use crate::board::{Board, LimitState, RouteState};
use crate::buffer::STEP;
use crate::filter::{Filter, cors};
use crate::store::Settings;
use edits::Edits;
use hedge::Hedge;
use pages::Pages;

/// Gives the addresses a backend's name stands for now; empty while it has never been resolved.
pub type Resolve<'a> = &'a dyn Fn(&str, u16) -> Vec<SocketAddr>;

/// A whole configuration, ready for the workers.
#[derive(Debug)]
pub struct Plan {
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) router: Router,
    pub(crate) routes: Vec<Route>,
    /// In the order of the file.
    pub pools: Vec<Arc<Pool>>,
    /// What the limits of its routes have done, in the order of the file.
    pub limits: Vec<Arc<LimitState>>,
    pub(crate) store: Option<Arc<Settings>>,
    pub(crate) access: Option<model::AccessFormat>,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) addresses: Vec<SocketAddr>,
    trusted: Vec<IpNet>,
    pub(crate) limits: wire::h1::Limits,
    pub(crate) max_body: u64,
    /// Where every client is sent.
    pub(crate) redirect: Option<model::Template>,
    pub(crate) path: wire::h1::path::Policy,
    pub(crate) underscores: bool,
    pub(crate) max_connections: u32,
    /// Connections open now, kept over reloads.
    pub(crate) open: Arc<AtomicU32>,
    per_address: Option<PerAddress>,
    pub(crate) header: Nanos,
    pub(crate) idle: Nanos,
    pub(crate) body: Nanos,
    /// Bytes a second.
    pub(crate) body_rate: u64,
}

/// A bound on the connections of each client address.
#[derive(Debug)]
struct PerAddress {
    most: u32,
    id: u64,
    counts: Arc<Counts>,
}

impl Listener {
    /// Counts a connection of this address. `Err` if the address has as many as it may (E4).
    pub(crate) fn admit(&self, peer: SocketAddr) -> Result<Option<Claim>, TooMany> {
        let Some(limit) = &self.per_address else { return Ok(None) };
        let address = peer.ip().to_canonical();
        if self.trusts(address) {
            return Ok(None);
        }
        let part = match address {
            IpAddr::V4(address) => hash_key(&address.octets()),
            IpAddr::V6(address) => hash_key(&address.octets()),
        };
        limit.counts.claim(policy::limit::key(limit.id, part), limit.most).map(Some).ok_or(TooMany)
    }

    /// Whether this peer's word on the client's address is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&peer))
    }

    /// Whether it has as many connections as it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.open.load(Relaxed) >= self.max_connections
    }
}

/// An address has as many connections as it may.
#[derive(Debug)]
pub(crate) struct TooMany;

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) action: Action,
    /// For what outlives this plan.
    pub(crate) state: Arc<RouteState>,
    pub(crate) fingerprint: u64,
    pub(crate) shown: RouteShown,
    pub(crate) connect: Nanos,
    pub(crate) response: Nanos,
    pub(crate) total: Nanos,
    /// Whether `total` bounds the answer's body too.
    pub(crate) total_is_whole: bool,
    pub(crate) idle: Nanos,
    pub(crate) request: Edits,
    pub(crate) response_edits: Edits,
    pub(crate) filters: Box<[Filter]>,
    pub(crate) hedge: Option<Hedge>,
    pub(crate) max_body: u64,
    pub(crate) pages: Pages,
    pub(crate) log: bool,
}

impl Route {
    /// Takes note of how long an attempt took up to the head of its answer.
    pub(crate) fn note_latency(&self, took: Nanos) {
        if let Some(hedge) = &self.hedge {
            hedge.observe(took);
        }
    }

    /// Takes note of one that took longer than a second attempt waits.
    pub(crate) fn note_late(&self) {
        if let Some(hedge) = &self.hedge {
            hedge.observe_above();
        }
    }
}

/// What becomes of an exchange.
#[derive(Debug)]
pub(crate) enum Action {
    Pool(usize),
    Pools(split::Pools),
    Respond { status: u16, body: Vec<u8>, content_type: String, headers: Edits },
    Redirect { to: model::Template, status: u16 },
}

impl Plan {
    /// Compiles a checked configuration. Backends find their state on the board again.
    pub fn compile(config: &model::Config, resolve: Resolve<'_>, board: &Board) -> Self {
        let pools = config.pools.iter().map(|pool| Arc::new(Pool::compile(pool, resolve, board))).collect();
        board.forget_unused();
        let limited = config.routes.iter().filter(|route| !route.rate_limits.is_empty() || !route.concurrency.is_empty());
        Self {
            listeners: config.listeners.iter().map(|listener| Arc::new(compile_listener(listener, board))).collect(),
            router: Router::new(config.routes.iter().map(|route| route.rule.clone()).collect()),
            routes: config.routes.iter().map(|route| compile_route(route, config, resolve, board)).collect(),
            pools,
            limits: limited.map(|route| board.limit(&route.name)).collect(),
            store: config.redis.as_ref().map(|redis| Arc::new(Settings::compile(redis, resolve))),
            access: (config.log.access != model::AccessTo::Off).then_some(config.log.format),
        }
    }

    pub(crate) fn listener(&self, address: SocketAddr) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| listener.addresses.contains(&address))
    }

    /// Its routes with where they go, in the order of the file.
    pub fn routes(&self) -> impl Iterator<Item = &RouteShown> {
        self.routes.iter().map(|route| &route.shown)
    }

    /// It is in force: what was switched and has been changed in the file since goes by the file.
    pub(crate) fn settle(&self) {
        self.routes.iter().for_each(|route| route.state.keep_switched(route.fingerprint));
    }

    /// Every address that is to be listened on.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners.iter().flat_map(|listener| listener.addresses.iter().copied())
    }
}

fn compile_listener(listener: &model::Listener, board: &Board) -> Listener {
    let limits = listener.limits;
    Listener {
        name: listener.name.clone(),
        addresses: listener.listen.clone(),
        trusted: listener.trusted_proxies.clone(),
        // A head is read into one buffer: a higher limit could not be told from a client that has stopped in the middle.
        limits: wire::h1::Limits { target: limits.target, line: limits.line, head: limits.head.min(STEP), fields: limits.fields },
        max_body: limits.body.unwrap_or(u64::MAX),
        redirect: listener.redirect.clone(),
        path: wire::h1::path::Policy { keep_encoded_slash: listener.keep_encoded_slash },
        underscores: listener.underscores,
        max_connections: listener.max_connections.map_or(u32::MAX, Into::into),
        open: board.listener(&listener.name),
        per_address: listener.max_connections_per_ip.map(|most| PerAddress {
            most: most.into(),
            id: hash_key(format!("connections {}", listener.name).as_bytes()),
            counts: board.counts.clone(),
        }),
        header: nanos(listener.timeout.header),
        idle: nanos(listener.timeout.idle),
        body: nanos(listener.timeout.body),
        body_rate: listener.timeout.body_rate,
    }
}

fn compile_route(route: &model::Route, config: &model::Config, resolve: Resolve<'_>, board: &Board) -> Route {
    let state = board.route(&route.name);
    let (action, switched_to) = split::action(route, config, &state);
    Route {
        name: route.name.clone(),
        shown: RouteShown { name: route.name.clone(), pools: shares(route, config), switched_to },
        fingerprint: split::fingerprint(route),
        state,
        action,
        connect: nanos(route.timeout.connect),
        response: nanos(route.timeout.response),
        total: nanos(route.timeout.total.limit),
        total_is_whole: route.timeout.total.whole,
        idle: nanos(route.timeout.idle),
        request: request_edits(route),
        response_edits: response_edits(route),
        hedge: route.hedge.as_ref().map(|hedge| Hedge::compile(hedge, &route.name, board)),
        filters: chain::chain(route, resolve, board),
        max_body: route.shape.max_body.unwrap_or(u64::MAX),
        pages: Pages::compile(&route.shape.error_pages),
        log: route.log,
    }
}

/// The operator's edits; and what filters tell the backend of somebody never comes from the client.
fn request_edits(route: &model::Route) -> Edits {
    let (basic, jwt, forward) = (&route.access.basic, &route.access.jwt, &route.access.forward);
    let name = basic.iter().filter_map(|basic| basic.header.as_deref());
    let claims = jwt.iter().flat_map(|jwt| jwt.claims.iter().map(|(field, _)| field.as_str()));
    let answered = forward.iter().flat_map(|forward| forward.response_headers.iter().map(String::as_str));
    let stripped = basic.iter().filter(|basic| basic.strip).map(|_| "authorization");
    let token = jwt.iter().filter(|jwt| jwt.strip).map(|jwt| jwt.header.as_str());
    Edits::compile(&route.request_headers).dropping(stripped.chain(token)).keeping_for_filters(name.chain(claims).chain(answered))
}

fn response_edits(route: &model::Route) -> Edits {
    let mut edits = Edits::compile(&route.response_headers);
    if let Some(preset) = &route.shape.security {
        edits = edits.with_defaults(preset);
    }
    if route.shape.cors.is_some() { edits.dropping(cors::FIELDS) } else { edits }
}

fn shares(route: &model::Route, config: &model::Config) -> Vec<(String, u16)> {
    let shares = match &route.action {
        model::Action::Pools { shares, .. } => shares.clone(),
        action => action.pools().into_iter().map(|pool| (pool, 1)).collect(),
    };
    shares.into_iter().map(|(pool, weight)| (config.pools[pool].name.clone(), weight)).collect()
}

/// Far enough for ever, near enough that sums don't overflow.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX).min(Nanos::MAX / 4)
}

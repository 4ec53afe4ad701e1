//! What would become of a request, told without sending it. The steps are those of an exchange, by the same functions: the head is read
//! strictly, looked at, routed, filtered, and written as a backend would get it.

use std::net::{IpAddr, SocketAddr};

use policy::Nanos;
use policy::balance::Balance;
use policy::route::{PathMatch, Verdict};
use wire::h1::{Limits, Method, Progress, Request, Response, Status, encode};

use crate::error::Reason;
use crate::filter::{Effects, Ending};
use crate::http::exchange::balance_key;
use crate::http::h1::of_reject;
use crate::http::head::{self, Changes, Connection, Ends};
use crate::http::look::Known;
use crate::http::reply::{ALLOW, error_fields};
use crate::message::{AddressText, Asked, write_uri};
use crate::plan::edits::fill;
use crate::plan::{Action, Backend, Listener, Plan, Pool, Route};
use crate::upstream::pick::{LocalPool, Nobody};

/// A request to be explained. Nothing in it may hold CR or LF.
#[derive(Clone, Debug)]
pub struct Question {
    /// As sent.
    pub method: String,
    /// `host[:port]`.
    pub authority: String,
    /// Path and query as sent.
    pub target: String,
    /// Further fields. `Host` and `Content-Length` are there already.
    pub fields: Vec<(String, String)>,
    /// Where the connection comes from.
    pub from: IpAddr,
    /// The port it comes to: the listener with this port takes it, the first where none has it.
    pub port: u16,
    /// Length of the body. Unit: bytes.
    pub body: u64,
}

/// What became of a question.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Explained {
    /// The listener that takes it.
    pub listener: String,
    /// Some listener has the port asked for.
    pub port_is_served: bool,
    /// Whose request it is.
    pub client: Option<IpAddr>,
    /// The peer is a trusted proxy, whose word on the client counts.
    pub trusted: bool,
    /// The normalised path.
    pub path: String,
    /// Every rule, the most specific first.
    pub routes: Vec<RouteTried>,
    /// The route that takes it.
    pub route: Option<String>,
    /// What its filters would do, in their order. Those behind one that ends the exchange are not reached.
    pub filters: Vec<String>,
    /// Where the route ends.
    pub goes: Goes,
    /// The pool that is asked.
    pub pool: Option<PoolAsked>,
    /// Its timeouts.
    pub timeouts: Option<Timeouts>,
    /// What goes upstream: the path with its query.
    pub upstream_path: Option<String>,
    /// What goes upstream.
    pub upstream: Vec<Field>,
    /// The status the client gets, if the backend says 200.
    pub status: u16,
    /// Why it is not a backend's answer, where that is an error of ours: the word of the reason.
    pub reason: Option<&'static str>,
    /// What the client gets, if the backend says 200 and nothing more.
    pub answer: Vec<Field>,
}

/// Where a request ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goes {
    /// It is refused before a route is looked for, or none takes it.
    #[default]
    Nowhere,
    /// A filter ended it.
    Filtered,
    /// To a pool.
    Pool,
    /// Answered by the route itself.
    Respond,
    /// Sent elsewhere.
    Redirect,
    /// `OPTIONS *`.
    Options,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As written.
    pub name: String,
    /// As written.
    pub value: String,
    /// It must not be shown (row D9).
    pub secret: bool,
}

/// One rule and why it did or did not take the request.
#[derive(Clone, Debug)]
pub struct RouteTried {
    /// The route's name.
    pub name: String,
    /// What it matches, as people read it.
    pub matches: String,
    /// Why.
    pub why: String,
    /// It takes the request.
    pub taken: bool,
    /// It serves the host and path, so that its conditions decide.
    pub near: bool,
}

/// How long it may take. Unit: nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to a backend.
    pub connect: Nanos,
    /// For the head of the answer.
    pub response: Nanos,
    /// For the whole exchange.
    pub total: Nanos,
    /// Whether `total` bounds the answer's body too.
    pub total_is_whole: bool,
    /// Without a byte either way.
    pub idle: Nanos,
}

/// The pool a request goes to.
#[derive(Clone, Debug)]
pub struct PoolAsked {
    /// Its name.
    pub name: String,
    /// Why this one, where the route has several.
    pub why: Option<String>,
    /// How it chooses, as people read it.
    pub balance: String,
    /// In the order in which they would be tried; then those that would not.
    pub candidates: Vec<Candidate>,
    /// Names without an address.
    pub unresolved: Vec<String>,
}

/// One backend of the pool.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// 1 for the one that is tried first; `None` for one that is not tried.
    pub order: Option<usize>,
    /// Why it is where it is, for a person.
    pub state: String,
    /// Its share.
    pub weight: u16,
    /// Attempts that run now.
    pub in_flight: u32,
    /// Peak moving average; 0 when nothing is known. Unit: nanoseconds.
    pub latency: Nanos,
    /// What it is compared by, where the algorithm compares: the lowest goes first.
    pub score: Option<f64>,
}

impl Plan {
    /// What would become of this request now. Counts nothing and takes no turn.
    pub fn explain(&self, question: &Question, now: Nanos) -> Explained {
        let mut explained = Explained::default();
        let Some(listener) = self.listener_for(question.port, &mut explained) else { return explained };
        let text = question.text();
        let mut head = Request::new();
        let (mut known, mut rng) = (Known::default(), fastrand::Rng::with_seed(1));
        let peer = SocketAddr::new(question.from, 0);
        let peer_text = AddressText::new(question.from.to_canonical());
        match head.parse(text.as_bytes(), &mut Progress::default(), &listener.limits) {
            Ok(Status::Complete) => {}
            Ok(Status::Partial) => return explained.refused(Reason::Malformed, None),
            Err(reject) => return explained.refused(of_reject(reject), None),
        }
        let looked = known.look(&head, text.as_bytes(), peer, listener, &mut rng);
        (explained.client, explained.trusted) = (Some(known.client()), known.is_trusted());
        let asked = known.asked(&head, text.as_bytes(), &peer_text);
        explained.path = shown(asked.path);
        if let Err(reason) = looked {
            return explained.refused(reason, None);
        }
        if let Some(to) = &listener.redirect {
            let mut fields = b"Location: ".to_vec();
            fill(to, &asked, &mut fields);
            explained.goes = Goes::Redirect;
            let status = if matches!(asked.method(), b"GET" | b"HEAD") { 301 } else { 308 };
            return explained.ours(status, &fields, None);
        }
        if head.asterisk {
            (explained.goes, explained.status) = (Goes::Options, 200);
            explained.answer = vec![Field { name: "Allow".to_owned(), value: shown(ALLOW), secret: false }];
            return explained;
        }
        explained.routes = self.tried(&asked);
        let Some(i) = self.router.find(&asked) else { return explained.refused(Reason::NoRoute, None) };
        let route = &self.routes[i];
        explained.route = Some(route.name.clone());
        let mut effects = Effects::default();
        for filter in &route.filters {
            explained.filters.push(filter.describe(&asked, &route.name, now));
            if let Some(ending) = filter.foresee(&asked, &mut effects) {
                explained.goes = Goes::Filtered;
                return explained.ended(ending, route, &effects, &asked);
            }
        }
        self.act(explained, route, &asked, &effects, (listener, now, &mut rng))
    }

    fn listener_for(&self, port: u16, explained: &mut Explained) -> Option<&Listener> {
        let has_port = |listener: &&std::sync::Arc<Listener>| listener.addresses.iter().any(|address| address.port() == port);
        let found = self.listeners.iter().find(has_port);
        explained.port_is_served = found.is_some();
        let listener = found.or_else(|| self.listeners.first())?;
        explained.listener.clone_from(&listener.name);
        Some(listener)
    }

    fn tried(&self, asked: &Asked<'_>) -> Vec<RouteTried> {
        let tried = self.router.explain(asked).into_iter().map(|tried| {
            let rule = self.router.rule(tried.rule);
            let why = match tried.verdict {
                Verdict::Taken => "takes the request".to_owned(),
                Verdict::Host => "serves another host".to_owned(),
                Verdict::Path if matches!(rule.path, PathMatch::Exact(_)) => "serves one other path".to_owned(),
                Verdict::Path => "serves other paths".to_owned(),
                Verdict::Condition(i) => format!("does not hold: {}", rule.conditions[i]),
                Verdict::Lost => "matches, but a more specific route takes the request".to_owned(),
            };
            let mut matches = format!("host {}, path {}", rule.host, rule.path);
            rule.conditions.iter().for_each(|condition| matches += &format!(", {condition}"));
            if rule.priority != 0 {
                matches += &format!(", priority {}", rule.priority);
            }
            RouteTried {
                name: self.routes[tried.rule].name.clone(),
                matches,
                why,
                taken: tried.verdict == Verdict::Taken,
                near: !matches!(tried.verdict, Verdict::Host | Verdict::Path),
            }
        });
        tried.collect()
    }

    fn act(
        &self,
        mut explained: Explained,
        route: &Route,
        asked: &Asked<'_>,
        effects: &Effects,
        (listener, now, rng): (&Listener, Nanos, &mut fastrand::Rng),
    ) -> Explained {
        match &route.action {
            Action::Pool(_) | Action::Pools(_) => {
                explained.goes = Goes::Pool;
                explained.timeouts = Some(timeouts(route));
                let (pool, why) = match &route.action {
                    Action::Pools(pools) => {
                        let (pool, why) = pools.preview(asked, &route.name);
                        (pool, Some(why))
                    }
                    Action::Pool(pool) => (*pool, route.shown.switched_to.as_ref().map(|_| "switched to by hand".to_owned())),
                    Action::Respond { .. } | Action::Redirect { .. } => return explained,
                };
                let pool = &self.pools[pool];
                let (asked_pool, nobody) = ask(pool, route, asked, now, rng);
                explained.upstream(route, asked, effects, &asked_pool, listener);
                explained.pool = Some(PoolAsked { why, ..asked_pool });
                match nobody {
                    Some(reason) => explained.refused(reason, Some((route, asked, effects))),
                    None => explained.answered(route, asked, effects),
                }
            }
            Action::Respond { status, headers, .. } => {
                let mut fields = Vec::new();
                headers.write(asked, &mut fields);
                explained.goes = Goes::Respond;
                explained.ours(*status, &fields, Some((route, asked, effects)))
            }
            Action::Redirect { to, status } => {
                let mut fields = b"Location: ".to_vec();
                fill(to, asked, &mut fields);
                explained.goes = Goes::Redirect;
                explained.ours(*status, &fields, Some((route, asked, effects)))
            }
        }
    }
}

type Context<'a> = Option<(&'a Route, &'a Asked<'a>, &'a Effects)>;

impl Explained {
    /// An error of ours.
    fn refused(mut self, reason: Reason, context: Context<'_>) -> Self {
        self.reason = Some(reason.word());
        self.ours(reason.status(), &error_fields(reason, b"", b""), context)
    }

    fn ended(mut self, ending: Ending, route: &Route, effects: &Effects, asked: &Asked<'_>) -> Self {
        self.reason = ending.reason.map(Reason::word);
        let fields = match (ending.reason, &ending.body) {
            (Some(reason), None) => error_fields(reason, b"", &ending.fields),
            _ => ending.fields,
        };
        self.ours(ending.status, &fields, Some((route, asked, effects)))
    }

    /// An answer of ours, with the fields that the route and its filters add to each.
    fn ours(mut self, status: u16, fields: &[u8], context: Context<'_>) -> Self {
        let mut lines = Vec::new();
        if let Some((route, asked, effects)) = context {
            route.response_edits.write(asked, &mut lines);
            lines.extend_from_slice(&effects.response);
        }
        lines.extend_from_slice(fields);
        self.status = status;
        self.answer = read_fields(&lines, |name| context.is_some_and(|(route, ..)| route.response_edits.hides(name)));
        self
    }

    /// What a backend's plain 200 becomes.
    fn answered(mut self, route: &Route, asked: &Asked<'_>, effects: &Effects) -> Self {
        const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let mut answer = Response::new();
        let parsed = answer.parse(PLAIN, &mut Progress::default(), &Limits::DEFAULT, Method::Get);
        debug_assert_eq!(parsed.ok(), Some(Status::Complete));
        let mut out = Vec::new();
        let changes = Changes { edits: &route.response_edits, added: &effects.response };
        head::downstream(&mut out, &answer, PLAIN, changes, asked, Ends::Length(0), Connection::Stays(asked.head.version));
        self.status = answer.status;
        self.answer = read_fields(&out, |name| route.response_edits.hides(name));
        self
    }

    fn upstream(&mut self, route: &Route, asked: &Asked<'_>, effects: &Effects, pool: &PoolAsked, listener: &Listener) {
        let authority = pool.candidates.first().map_or("", |candidate| &candidate.name);
        let mut out = Vec::new();
        head::upstream(&mut out, asked, &route.request, effects, authority, listener.underscores);
        let mut uri = Vec::new();
        write_uri(effects.path.as_deref().unwrap_or(asked.path), asked, &mut uri);
        self.upstream_path = Some(shown(&uri));
        self.upstream = read_fields(&out, |name| route.request.hides(name));
    }
}

/// The pool's backends in the order in which they would be tried, and why none would be.
fn ask(
    pool: &std::sync::Arc<Pool>,
    route: &Route,
    asked: &Asked<'_>,
    now: Nanos,
    rng: &mut fastrand::Rng,
) -> (PoolAsked, Option<Reason>) {
    let local = LocalPool::new(pool.clone(), None);
    let stuck = pool.sticky.as_ref().and_then(|sticky| sticky.session(asked, &route.name, now).backend);
    let mut previewed = local.preview(balance_key(&pool.balance, asked, &route.name), now, rng);
    if let Some(Ok(at)) = stuck.and_then(|at| local.stuck(at, &[], now)) {
        let mut order = previewed.unwrap_or_default();
        order.retain(|known| *known != at);
        order.insert(0, at);
        previewed = Ok(order);
    }
    let nobody = previewed.as_ref().err().map(|nobody| match nobody {
        Nobody::Free => Reason::QueueFull,
        _ => Reason::NoHealthyBackend,
    });
    let order = previewed.unwrap_or_default();
    let rest = (0..pool.backends.len()).filter(|i| !order.contains(i));
    let candidate = |i: usize| {
        let backend = &pool.backends[i];
        let place = order.iter().position(|known| *known == i).map(|at| at + 1);
        candidate(backend, &pool.balance, place, now)
    };
    let candidates = order.iter().copied().chain(rest).map(candidate).collect();
    let (name, unresolved) = (pool.name.clone(), pool.unresolved.clone());
    let session = if stuck.is_some() { "sticky, and the client has been here before; " } else { "" };
    (PoolAsked { name, why: None, balance: format!("{session}{}", balance_text(&pool.balance)), candidates, unresolved }, nobody)
}

fn candidate(backend: &Backend, balance: &Balance, order: Option<usize>, now: Nanos) -> Candidate {
    let state = &backend.state;
    let (in_flight, latency, weight) = (state.in_flight(), state.latency(now), backend.weight_now().get());
    let load = (f64::from(in_flight) + 1.0) / f64::from(weight);
    let mut words = vec![state.health().word().to_owned()];
    let is_full = backend.max_connections != u32::MAX && in_flight >= backend.max_connections;
    let more = [
        (state.is_draining(), "draining"),
        (state.is_suspect(now), "suspected"),
        (backend.tier > 0, "backup"),
        (backend.is_out(now), "ejected"),
        (is_full, "full"),
    ];
    words.extend(more.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned()));
    let reason = state.reason();
    if state.health() == crate::board::Health::Down && !reason.is_empty() {
        words.push(reason);
    }
    Candidate {
        name: backend.name.clone(),
        address: backend.address,
        order,
        state: words.join(", "),
        weight,
        in_flight,
        latency,
        score: match balance {
            Balance::LeastConnections | Balance::Random => Some(load),
            Balance::LeastResponseTime => Some(load * latency as f64 / 1e6),
            Balance::RoundRobin | Balance::Hash(_) => None,
        },
    }
}

fn balance_text(balance: &Balance) -> String {
    match balance {
        Balance::RoundRobin => "round robin: in turn, by weight".to_owned(),
        Balance::LeastConnections => "least connections: (in flight + 1) / weight".to_owned(),
        Balance::LeastResponseTime => "least response time: ms × (in flight + 1) / weight".to_owned(),
        Balance::Random => "the less loaded of two drawn at random".to_owned(),
        Balance::Hash(hash) => format!("consistent hash of {:?}", hash.key),
    }
}

fn timeouts(route: &Route) -> Timeouts {
    Timeouts {
        connect: route.connect,
        response: route.response,
        total: route.total,
        total_is_whole: route.total_is_whole,
        idle: route.idle,
    }
}

impl Question {
    fn text(&self) -> String {
        let mut out = Vec::new();
        out.extend_from_slice(format!("{} {} HTTP/1.1\r\n", self.method, self.target).as_bytes());
        let names_host = self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !names_host {
            encode::field(&mut out, b"Host", self.authority.as_bytes());
        }
        for (name, value) in &self.fields {
            encode::field(&mut out, name.as_bytes(), value.as_bytes());
        }
        if self.body > 0 {
            encode::content_length(&mut out, self.body);
        }
        encode::end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The fields of a head or of lines; a line without a colon, the first of a head, is none.
fn read_fields(lines: &[u8], hides: impl Fn(&str) -> bool) -> Vec<Field> {
    let text = String::from_utf8_lossy(lines);
    let fields = text.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_token = name.bytes().all(|b| b.is_ascii_graphic());
        is_token.then(|| Field { name: name.to_owned(), value: value.to_owned(), secret: hides(name) || is_credential(name) })
    });
    fields.collect()
}

/// Fields whose values open doors (row D9).
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "token", "secret", "passw", "api-key", "apikey"].iter().any(|word| name.contains(word))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! What would become of a request: of a file, or of the process that runs. What it comes to is one JSON value, which `evenkeel explain`
//! prints for people or as it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use config::model::{Config, Url};
use policy::Nanos;
use proxy::explain::{Explained, Field, Goes, PoolAsked, Question, Timeouts};
use proxy::{Board, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::text;

/// A request to be explained, as it is asked for over the admin listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Query {
    /// As sent.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Fields of the request.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Where the connection comes from.
    #[serde(default = "loopback")]
    pub from: IpAddr,
}

fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

impl Query {
    /// The same for the data plane.
    ///
    /// # Errors
    /// What can't be sent, for a person.
    pub(crate) fn question(&self) -> Result<Question, String> {
        let is_token =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(&b));
        if !is_token(&self.method) {
            return Err(format!("{:?} is not a method", self.method));
        }
        for (name, value) in &self.headers {
            if !is_token(name) || value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(format!("{name:?} can't be sent as a header"));
            }
        }
        let url = config::url(&self.url)?;
        Ok(question(&self.method, &url, self.headers.clone(), self.from, 0))
    }
}

pub(crate) fn question(method: &str, url: &Url, fields: Vec<(String, String)>, from: IpAddr, body: u64) -> Question {
    let (authority, target) = (url.authority.clone(), url.target.clone());
    Question { method: method.to_owned(), authority, target, fields, from, port: url.port, body }
}

/// The plan of a configuration nobody runs. Names, which nobody has resolved, stand for one address each that is none.
pub(crate) fn plan_of(config: &Config) -> Plan {
    let board = Board::new(1);
    let unresolved = |host: &str, port: u16| {
        let low = host.bytes().fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
        vec![SocketAddr::new(Ipv6Addr::from(UNRESOLVED | u128::from(low)).into(), port)]
    };
    Plan::compile(config, &unresolved, &board)
}

/// `100::/64`, which is nobody's (RFC 6666).
const UNRESOLVED: u128 = 0x0100 << 112;

fn is_unresolved(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V6(ip) if u128::from(ip) >> 64 == UNRESOLVED >> 64)
}

/// What would become of a request if this configuration were in force and every backend up.
///
/// # Errors
/// Why the request can't be sent.
pub fn explain(config: &Config, query: &Query) -> Result<Value, String> {
    Ok(shown(&plan_of(config).explain(&query.question()?, 0), query, false))
}

/// What would become of it in the process that runs.
pub(crate) fn explain_live(plan: &Plan, now: Nanos, query: &Query) -> Result<Value, String> {
    Ok(shown(&plan.explain(&query.question()?, now), query, true))
}

fn shown(explained: &Explained, query: &Query, live: bool) -> Value {
    let routes: Vec<Value> = explained
        .routes
        .iter()
        .map(|route| {
            json!({"route": route.name, "match": route.matches, "taken": route.taken, "why": route.why, "near": route.near})
        })
        .collect();
    json!({
        "request": format!("{} {}", query.method, query.url),
        "live": live,
        "listener": {"name": explained.listener, "has_port": explained.port_is_served},
        "client": {"address": explained.client, "peer": query.from, "peer_is_trusted": explained.trusted, "why": client(explained, query)},
        "path": explained.path,
        "routes": routes,
        "route": explained.route,
        "filters": explained.filters,
        "ends_in": goes(explained.goes),
        "pool": explained.pool.as_ref().map(pool),
        "timeouts": explained.timeouts.as_ref().map(timeouts),
        "upstream": explained.upstream_path.as_ref().map(|path| json!({"path": path, "headers": fields(&explained.upstream)})),
        "answer": {"status": explained.status, "reason": explained.reason, "headers": fields(&explained.answer)},
    })
}

fn client(explained: &Explained, query: &Query) -> String {
    let named = query.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    match (explained.trusted, named) {
        (false, false) => "the peer's address".to_owned(),
        (false, true) => "the peer's address: it is no trusted proxy, so its X-Forwarded-For is removed".to_owned(),
        (true, true) => "the right-most address in X-Forwarded-For that is no trusted proxy's".to_owned(),
        (true, false) => "the peer's address: a trusted proxy that names no other in X-Forwarded-For".to_owned(),
    }
}

fn goes(goes: Goes) -> &'static str {
    match goes {
        Goes::Nowhere => "nowhere",
        Goes::Filtered => "filter",
        Goes::Pool => "pool",
        Goes::Respond => "respond",
        Goes::Redirect => "redirect",
        Goes::Options => "options",
    }
}

fn pool(pool: &PoolAsked) -> Value {
    let candidates = pool.candidates.iter().map(|candidate| {
        json!({
            "backend": candidate.name,
            "address": (!is_unresolved(candidate.address)).then(|| candidate.address.to_string()),
            "order": candidate.order,
            "state": candidate.state,
            "weight": candidate.weight,
            "in_flight": candidate.in_flight,
            "latency_ms": candidate.latency as f64 / 1e6,
            "score": candidate.score,
        })
    });
    json!({
        "name": pool.name,
        "why": pool.why,
        "balance": pool.balance,
        "candidates": candidates.collect::<Vec<_>>(),
        "unresolved": pool.unresolved,
    })
}

fn timeouts(timeouts: &Timeouts) -> Value {
    let text = |nanos| text::duration(Duration::from_nanos(nanos));
    json!({
        "connect": text(timeouts.connect),
        "response": text(timeouts.response),
        "total": text(timeouts.total),
        "total_bounds_the_body": timeouts.total_is_whole,
        "idle": text(timeouts.idle),
    })
}

/// Row D9: what opens doors is starred out.
fn fields(fields: &[Field]) -> Vec<[&str; 2]> {
    fields.iter().map(|field| [&*field.name, if field.secret { "***" } else { &field.value }]).collect()
}

//! What the admin listener answers: one table of endpoints, from which routing, access and the 404 page come.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Token;
use super::access::{Kind, Refusal, judge};
use super::operate;
use super::socket::Peer;
use crate::explain::{Query, explain_live};
use crate::run::{Phase, Shared};
use crate::switch::Switch;
use crate::{ReloadError, metrics, status};

/// One thing that can be asked.
struct Endpoint {
    method: Method,
    path: &'static str,
    kind: Kind,
    what: &'static str,
    does: Does,
}

#[derive(Clone, Copy)]
enum Does {
    Status,
    Metrics,
    Health,
    Ready,
    Reload,
    Drain,
    Weight,
    Explain,
    Switch,
}

const ENDPOINTS: [Endpoint; 9] = [
    Endpoint {
        method: Method::GET,
        path: "/status",
        kind: Kind::Read,
        what: "everything that is known, as JSON",
        does: Does::Status,
    },
    Endpoint { method: Method::GET, path: "/metrics", kind: Kind::Read, what: "the same for Prometheus", does: Does::Metrics },
    Endpoint { method: Method::GET, path: "/healthz", kind: Kind::Probe, what: "200 while the process runs", does: Does::Health },
    Endpoint {
        method: Method::GET,
        path: "/readyz",
        kind: Kind::Probe,
        what: "200 while it takes new clients, else 503",
        does: Does::Ready,
    },
    Endpoint {
        method: Method::POST,
        path: "/reload",
        kind: Kind::Write,
        what: "reads the configuration again; needs the token",
        does: Does::Reload,
    },
    Endpoint {
        method: Method::POST,
        path: "/drain",
        kind: Kind::Write,
        what: "takes a backend out for new exchanges: ?backend=POOL/ADDR, &off, &wait=30s",
        does: Does::Drain,
    },
    Endpoint {
        method: Method::POST,
        path: "/weight",
        kind: Kind::Write,
        what: "gives a backend another weight: ?backend=POOL/ADDR&weight=N, or `default`",
        does: Does::Weight,
    },
    Endpoint {
        method: Method::POST,
        path: "/explain",
        kind: Kind::Read,
        what: "what would become of {\"method\", \"url\", \"headers\", \"from\"}",
        does: Does::Explain,
    },
    Endpoint {
        method: Method::POST,
        path: "/switch",
        kind: Kind::Write,
        what: "sends a route's exchanges to another pool: {\"route\", \"pool\", \"wait_healthy\"}; needs the token",
        does: Does::Switch,
    },
];

#[derive(Clone)]
struct Desk {
    control: Arc<Shared>,
    token: Arc<Token>,
}

/// The service. Everything goes through one door, so that no endpoint can forget to ask who is there.
pub(super) fn router(control: Arc<Shared>, token: Arc<Token>) -> Router {
    Router::new().fallback(answer).with_state(Desk { control, token })
}

async fn answer(State(desk): State<Desk>, ConnectInfo(Peer(peer)): ConnectInfo<Peer>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let here: Vec<&Endpoint> = ENDPOINTS.iter().filter(|endpoint| endpoint.path == path).collect();
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let found = here.iter().find(|endpoint| endpoint.method == *method);
    // What does not exist gives nothing away, but a page of another origin learns not even that.
    let kind = found.map_or(Kind::Probe, |endpoint| endpoint.kind);
    if let Err(refusal) = judge(kind, peer, request.headers(), desk.token.get().expose()) {
        return refused(refusal);
    }
    match found {
        Some(endpoint) => desk.run(endpoint.does, request).await,
        None if here.is_empty() => not_found(path),
        None => wrong_method(&here),
    }
}

impl Desk {
    async fn run(&self, does: Does, request: Request<Body>) -> Response {
        match does {
            Does::Status => value(&status::collect(&self.control)),
            Does::Metrics => {
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                ([(header::CONTENT_TYPE, format)], metrics::render(&self.control)).into_response()
            }
            Does::Health => json(StatusCode::OK, &json!({"status": "ok"})),
            Does::Ready => {
                let phase = *self.control.phase.borrow();
                let status = if phase == Phase::Running { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                json(status, &json!({"status": phase}))
            }
            Does::Reload => self.reload().await,
            Does::Drain => operated(operate::drain(&self.control, request.uri().query().unwrap_or_default()).await),
            Does::Weight => operated(operate::weight(&self.control, request.uri().query().unwrap_or_default())),
            Does::Explain => self.explain(request).await,
            Does::Switch => self.switch(request).await,
        }
    }

    async fn explain(&self, request: Request<Body>) -> Response {
        let query: Query = match body(request).await {
            Ok(query) => query,
            Err(why) => return bad_request(&why),
        };
        let Some(plan) = self.control.data.plan() else {
            return json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": "nothing is served yet", "reason": "starting"}));
        };
        explain_live(&plan, self.control.data.now(), &query)
            .map_or_else(|why| bad_request(&why), |explained| json(StatusCode::OK, &explained))
    }

    async fn switch(&self, request: Request<Body>) -> Response {
        let asked: Switch = match body(request).await {
            Ok(asked) => asked,
            Err(why) => return bad_request(&why),
        };
        let control = self.control.clone();
        // In a task of its own: a client that goes away must not leave it half done.
        let outcome = tokio::spawn(async move { control.switch(&asked).await.map_err(|why| (why.word(), why.text(&asked))) }).await;
        match outcome {
            Ok(Ok(())) => json(StatusCode::OK, &json!({"status": "switched"})),
            Ok(Err((word, text))) => json(StatusCode::CONFLICT, &json!({"error": text, "reason": word})),
            Err(_) => json(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "the switch broke off", "reason": "internal"})),
        }
    }

    async fn reload(&self) -> Response {
        let control = self.control.clone();
        // In a task of its own: a client that goes away must not leave a reload half done.
        let outcome = tokio::spawn(async move { control.reload().await }).await;
        match outcome {
            Ok(Ok(done)) => value(&done),
            Ok(Err(error)) => {
                let status = match error {
                    ReloadError::Report(_) | ReloadError::CantListen(_) | ReloadError::Io(..) => StatusCode::UNPROCESSABLE_ENTITY,
                    ReloadError::NoFile => StatusCode::CONFLICT,
                    ReloadError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
                };
                let text = "the reload was refused; the configuration before it stays in force";
                json(status, &json!({"error": text, "reason": error.reason(), "report": error.to_string()}))
            }
            Err(_) => json(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "the reload broke off", "reason": "internal"})),
        }
    }
}

fn operated(outcome: Result<operate::Operated, String>) -> Response {
    match outcome {
        Ok(done) => value(&done),
        Err(why) => json(StatusCode::UNPROCESSABLE_ENTITY, &json!({"error": why, "reason": "no_such_thing"})),
    }
}

/// A small JSON body, whatever it calls itself.
async fn body<T: serde::de::DeserializeOwned>(request: Request<Body>) -> Result<T, String> {
    const LARGEST: usize = 256 << 10;
    let bytes = axum::body::to_bytes(request.into_body(), LARGEST).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn bad_request(why: &str) -> Response {
    json(StatusCode::BAD_REQUEST, &json!({"error": why, "reason": "bad_request"}))
}

fn refused(refusal: Refusal) -> Response {
    json(StatusCode::FORBIDDEN, &json!({"error": refusal.text(), "reason": refusal.word()}))
}

fn not_found(path: &str) -> Response {
    let all: Vec<String> =
        ENDPOINTS.iter().map(|endpoint| format!("{} {}: {}", endpoint.method, endpoint.path, endpoint.what)).collect();
    json(StatusCode::NOT_FOUND, &json!({"error": format!("there is no {path} here"), "reason": "not_found", "endpoints": all}))
}

fn wrong_method(here: &[&Endpoint]) -> Response {
    let allowed: Vec<&str> = here.iter().map(|endpoint| endpoint.method.as_str()).collect();
    let allowed = allowed.join(", ");
    let mut response =
        json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": format!("ask with {allowed}"), "reason": "method_not_allowed"}));
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

fn value(value: &impl serde::Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => json(StatusCode::OK, &value),
        Err(error) => json(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": error.to_string(), "reason": "internal"})),
    }
}

/// For programs, and on lines of its own for people with `curl`.
fn json(status: StatusCode, value: &Value) -> Response {
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, fields, format!("{value:#}\n")).into_response()
}

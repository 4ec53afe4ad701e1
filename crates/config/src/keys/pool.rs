//! `[pool.NAME]` and the tables in it.

use super::adaptive::ADAPTIVE;
use super::guard::{BREAKER_OR_OFF, PASSIVE_OR_OFF};
use super::health::HEALTH_OR_OFF;
use super::queue::QUEUE;
use super::route::NAME;
use super::sticky::STICKY;
use super::{KEY, Kind, Table, optional, planned, required, with_default};

pub(crate) static POOL: Table = Table {
    path: "pool.NAME",
    doc: "A group of backends that serve the same.",
    keys: &[
        required(
            "backends",
            BACKENDS,
            "[\"10.0.0.1:8080\", { address = \"10.0.0.2:8080\", weight = 3 }]",
            "Its servers: addresses, or tables where there is more to say. A port left out is 80.",
        )
        .also_called(&["servers", "upstreams", "targets"]),
        with_default(
            "balance",
            BALANCE,
            "round_robin",
            "\"least_connections\"",
            "How exchanges are spread. `round_robin`: in turn, by weight. `least_connections`: the fewest in flight for its weight. \
             `least_response_time`: the lowest latency × in-flight. `random`: the less busy of two drawn. `ip_hash`: a client stays with \
             its backend. A table is consistent hashing by a key of your choice.",
        )
        .also_called(&["algorithm", "lb_policy", "policy"]),
        optional("health", HEALTH_OR_OFF, "a TCP probe every 5 s", "{ path = \"/health\" }", "How backends are probed. `false` takes every backend for up.")
            .also_called(&["check", "healthcheck", "health_check"]),
        optional("retry", Kind::Table(&RETRY), "see there", "{ attempts = 1 }", "When a failed attempt is made again."),
        optional("idle", Kind::Table(&IDLE), "see there", "{ connections = 32 }", "Connections kept for the next attempt.").also_called(&["keepalive"]),
        optional(
            "passive",
            PASSIVE_OR_OFF,
            "five failures in a row",
            "{ failures = 3 }",
            "Takes out backends because exchanges with them fail. `false` leaves that to health checks.",
        ),
        optional("breaker", BREAKER_OR_OFF, "none", "{ error_rate = \"30%\" }", "Stops sending where too much fails."),
        optional("sticky", Kind::Table(&STICKY), "off", "{ cookie = \"evenkeel\" }", "Keeps a client with its backend.")
            .also_called(&["stickiness", "session_affinity", "affinity", "persistence"]),
        optional(
            "queue",
            Kind::Either(&[Kind::Off, Kind::Table(&QUEUE)]),
            "1024 long, 5 s",
            "{ length = 100, timeout = \"2s\" }",
            "Holds exchanges while every backend is at its `max_connections`. `false` answers 503 at once.",
        ),
        optional(
            "adaptive_concurrency",
            Kind::Either(&[Kind::Flag, Kind::Table(&ADAPTIVE)]),
            "off",
            "{ max = 200 }",
            "Bounds the exchanges at one time by a limit that finds itself from the latency. `true` takes the defaults.",
        ),
        with_default(
            "slow_start",
            Kind::Duration("0s", "1h"),
            "0s",
            "\"30s\"",
            "A backend that comes back or is new gets a tenth of its share at first and all of it after this time, with every algorithm.",
        ),
        with_default(
            "fail_open_below",
            Kind::Percent,
            "0%",
            "\"50%\"",
            "While fewer of the backends than this are healthy, health and ejections are ignored: rather a try at a bad one than all load on the rest. 0 is never.",
        ),
        planned("tls", "Speaks TLS to the backends."),
    ],
};

pub(crate) static BACKEND: Table = Table {
    path: "pool.NAME.backends",
    doc: "One backend of the array, where an address alone does not say enough.",
    keys: &[
        required(
            "address",
            BACKEND_ADDRESS,
            "\"10.0.0.2:8080\"",
            "Host and port; a name is resolved, and again when its TTL ends. A port left out is 80.",
        )
        .also_called(&["host", "url", "server"]),
        optional("name", NAME, "the address", "\"blue\"", "For logs and metrics. No two in a pool share one."),
        with_default("weight", Kind::Integer(1, 1000), "1", "3", "Its share in comparison with the others."),
        with_default("backup", Kind::Flag, "false", "true", "Serves only when no other backend can: the same as `tier = 1`."),
        optional("tier", Kind::Integer(0, 9), "0, or 1 with `backup`", "2", "Serves only when no backend of a lower tier can."),
        optional("max_connections", Kind::Integer(1, 1_000_000), "no limit", "200", "Most exchanges at one time.")
            .also_called(&["maxconn", "max_conns"]),
    ],
};

pub(crate) static HASH: Table = Table {
    path: "pool.NAME.balance",
    doc: "Consistent hashing: the same key goes to the same backend, and taking one away moves only its own keys.",
    keys: &[
        required(
            "hash",
            KEY,
            "\"header:X-User\"",
            "What is hashed: `client_ip`, `path`, `host`, `route`, `header:NAME`, `cookie:NAME`, `query:NAME` or `cel:EXPRESSION`, a CEL \
             expression over `method`, `host`, `path`, `query`, `headers`, `cookies` and `client_ip`, as in \"cel:path.split('/')[1]\". A request \
             without that part is hashed by the client's address.",
        )
        .also_called(&["key"]),
        with_default(
            "method",
            Kind::Choice(&["maglev", "ring", "rendezvous"], &[]),
            "maglev",
            "\"ring\"",
            "`maglev`: even to 1 %, constant cost. `ring`: as ketama. `rendezvous`: moves least, cost grows with the pool.",
        ),
        optional(
            "bounded",
            Kind::Number(1.01, 10.0),
            "no bound",
            "1.5",
            "No backend takes more than this many times the mean load; what is over goes to the next.",
        ),
    ],
};

pub(crate) static RETRY: Table = Table {
    path: "pool.NAME.retry",
    doc: "When a failed attempt is made again, each time at another backend where there is one. Only where nothing was written, or the method \
          is idempotent and its body still held.",
    keys: &[
        with_default(
            "attempts",
            Kind::Integer(0, 10),
            "2",
            "1",
            "Further attempts after the first; connections that could not be made do not count. 0 turns every retry off.",
        ),
        optional(
            "on",
            Kind::OneOrMany(&Kind::Word("a retry condition", "^(connect|reset|timeout|[2-5][0-9]{2}(-[2-5][0-9]{2})?)$")),
            "connect and reset",
            "[\"connect\", \"reset\", \"502-503\"]",
            "After what: `connect` (no connection), `reset` (it broke before an answer), `timeout` (no answer in time), a status or a range of them.",
        ),
        with_default(
            "budget",
            Kind::Percent,
            "20%",
            "\"10%\"",
            "Retries at most, in proportion to all exchanges: an outage must not double the load.",
        ),
        with_default(
            "budget_min",
            Kind::Rate,
            "10/s",
            "\"5/s\"",
            "Retries allowed on top, however little the traffic. Whole ones a second.",
        ),
        with_default(
            "backoff",
            Kind::Duration("0s", "10s"),
            "25ms",
            "\"10ms\"",
            "Longest wait before the first retry, doubled before each further one; the wait itself is drawn anew from 0 up to that. None after a \
             connection that could not be made. A backend that was the only one and sent `Retry-After` is left alone as long as it asked, \
             up to 10 s; after longer ones its answer is passed on.",
        ),
        with_default("backoff_max", Kind::Duration("0s", "1m"), "250ms", "\"1s\"", "The longest wait before any retry."),
        optional(
            "attempt_timeout",
            Kind::Duration("1ms", "1h"),
            "the route's",
            "\"2s\"",
            "How long one attempt may take up to the head of its answer, connecting included, where the request may be sent again. To try \
             again after it, have \"timeout\" in `on`.",
        )
        .also_called(&["per_try_timeout", "try_timeout"]),
    ],
};

pub(crate) static IDLE: Table = Table {
    path: "pool.NAME.idle",
    doc: "Connections to backends kept for the next attempt.",
    keys: &[
        with_default(
            "connections",
            Kind::Integer(0, 65_536),
            "128",
            "32",
            "Most of them for each backend and worker; more are kept only for a second. 0 keeps none.",
        ),
        with_default(
            "timeout",
            Kind::Duration("1s", "1h"),
            "50s",
            "\"20s\"",
            "How long one is kept. Keep it under what the backends allow, commonly 60 s.",
        ),
    ],
};

const BACKEND_ADDRESS: Kind = Kind::Word("an address", "^(http://)?[^ /]+/?$");
pub(super) const BACKENDS: Kind = Kind::Array(&Kind::Either(&[BACKEND_ADDRESS, Kind::Table(&BACKEND)]));
pub(super) const BALANCE: Kind = Kind::Either(&[
    Kind::Choice(&["round_robin", "least_connections", "least_response_time", "random", "ip_hash"], &[]),
    Kind::Table(&HASH),
]);

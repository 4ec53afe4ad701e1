//! Limits of a route, and the store by which several processes share them.

use super::{Kind, Table, optional, required, with_default};

pub(crate) static RATE_LIMIT: Table = Table {
    path: "route.rate_limit",
    doc: "How often, for each key. Several in brackets must all allow a request; one that is refused counts for none (but in Redis). From rest `burst + 1` pass at \
          once, then the even flow of `rate`, as with nginx's `limit_req` and `nodelay`. What is known of a key is kept over reloads under the \
          route's name, in memory bounded for all limits together: 38 MB hold two million keys that owe something, beyond that those that owe \
          least are forgotten.",
    keys: &[
        required(
            "rate",
            Kind::Rate,
            "\"100/s\"",
            "The even flow, each second, minute or hour. Not above ten million a second; spread evenly: \"60/m\" is one each second.",
        ),
        with_default("burst", Kind::Integer(0, 1_000_000), "0", "20", "How many may come early.").also_called(&["bucket"]),
        with_default("key", KEY, "client_ip", "\"header:X-API-Key\"", KEY_DOC).also_called(&["by", "zone"]),
        with_default(
            "delay",
            Kind::Word("\"off\" or a duration", "^(off|([0-9.]+(h|m|s|ms|us))+)$"),
            "off",
            "\"2s\"",
            "How long a request beyond the burst is held back until it fits, at most 10m. What would have to wait longer is refused at once.",
        ),
        with_default(
            "dry_run",
            Kind::Flag,
            "false",
            "true",
            "Counts what it would refuse, in `/status` and the metrics, and refuses nothing.",
        ),
        with_default("status", Kind::Integer(400, 599), "429", "503", "What a refused request gets, with `Retry-After`."),
        with_default(
            "headers",
            Kind::Flag,
            "true",
            "false",
            "Whether answers say how the client stands: `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset` and `RateLimit-Policy`, of \
             the limit that leaves the least.",
        ),
        optional(
            "shared",
            Kind::Choice(&["redis"], &[]),
            "this process alone",
            "\"redis\"",
            "Counts together with every process that has the same `[redis]` and a route of the same name: one round trip for each request. While \
             Redis is away each process holds the limit by itself (F17).",
        ),
    ],
};

pub(crate) static CONCURRENCY: Table = Table {
    path: "route.concurrency",
    doc: "How many at one time, for each key; beyond that 429 `concurrency_limited`. A WebSocket counts until it ends.",
    keys: &[
        required("limit", Kind::Integer(1, 10_000_000), "20", "Most exchanges of a key at one time, over all workers.")
            .also_called(&["max", "connections"]),
        with_default("key", KEY, "client_ip", "\"header:X-API-Key\"", KEY_DOC).also_called(&["by", "zone"]),
        with_default("status", Kind::Integer(400, 599), "429", "503", "What a refused request gets."),
        with_default("dry_run", Kind::Flag, "false", "true", "Counts what it would refuse, and refuses nothing."),
    ],
};

pub(crate) static REDIS: Table = Table {
    path: "redis",
    doc: "The Redis (6 or later) in which limits with `shared = \"redis\"` are counted. Each worker keeps one connection and sends what waits in one batch.",
    keys: &[
        required(
            "address",
            Kind::Word("an address", "^(redis://)?[^ /]+$"),
            "\"127.0.0.1:6379\"",
            "Where it is. A port left out is 6379. A name is resolved again as its TTL says.",
        )
        .also_called(&["url", "host", "server", "listen"]),
        optional("username", Kind::Text, "the default user", "\"evenkeel\"", "The ACL user."),
        optional("password", Kind::Secret, "none", "{ env = \"REDIS_PASSWORD\" }", "Sent with AUTH on each connection."),
        with_default("database", Kind::Integer(0, 65_535), "0", "2", "The number of the database."),
        with_default(
            "timeout",
            Kind::Duration("1ms", "10s"),
            "20ms",
            "\"50ms\"",
            "How long a request waits for Redis. Then, and until Redis is back, the limit is held by this process alone.",
        ),
        with_default("prefix", Kind::Text, "evenkeel:", "\"shop:\"", "What its keys begin with."),
    ],
};

const KEY: Kind = Kind::Word("a part of a request", "");
const KEY_DOC: &str = "What is counted by: `client_ip`, `header:NAME`, `cookie:NAME`, `query:NAME`, `path`, `host`, `route` (all its requests together), \
                       or `cel:EXPRESSION`. A request without that part is not limited.";

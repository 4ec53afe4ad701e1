//! `[listener.NAME]` and the tables in it.

use super::root::{ADDRESSES, NETWORKS};
use super::{Kind, Table, optional, planned, required, with_default};

pub(crate) static LISTENER: Table = Table {
    path: "listener.NAME",
    doc: "Where clients are listened for, and what they may do.",
    keys: &[
        required(
            "listen",
            ADDRESSES,
            "[\"0.0.0.0:80\", \"[::]:80\"]",
            "One address or several. `\":80\"` is every address of the machine. Two listeners can't share one.",
        )
        .also_called(&["address", "bind", "port"]),
        with_default("protocol", Kind::Choice(&["http"], &["tcp", "udp", "dns"]), "http", "\"http\"", "What clients speak."),
        optional(
            "trusted_proxies",
            NETWORKS,
            "those of the top level",
            "[\"10.0.0.0/8\", \"fd00::/8\"]",
            "Whose `X-Forwarded-*` fields are believed. From everybody else they are removed.",
        ),
        optional(
            "timeout",
            Kind::Table(&LISTENER_TIMEOUT),
            "see there",
            "{ header = \"5s\" }",
            "Times after which a client is given up.",
        ),
        optional("limits", Kind::Table(&LIMITS), "see there", "{ body = \"10MiB\" }", "Sizes above which a request is refused."),
        optional(
            "max_connections",
            Kind::Integer(1, 10_000_000),
            "what the process's file descriptors allow",
            "20000",
            "Most client connections at one time. At the limit accepting pauses.",
        ),
        optional(
            "max_connections_per_ip",
            Kind::Integer(1, 10_000_000),
            "no limit",
            "100",
            "Most connections of one client address at one time, over all workers; further ones are closed at once. Trusted proxies are not counted.",
        )
        .also_called(&["max_connections_per_client", "limit_conn"]),
        with_default(
            "underscores",
            Kind::Flag,
            "false",
            "true",
            "Keeps request fields with `_` in their name. They are dropped otherwise: many backends take `X_User` for `X-User`.",
        ),
        with_default(
            "keep_encoded_slash",
            Kind::Flag,
            "false",
            "true",
            "Keeps `%2F` in a path. Otherwise such a request gets 400: backends differ in what they take it for.",
        ),
        optional(
            "redirect",
            super::route::TEMPLATE,
            "none",
            "\"https\"",
            "Sends every client elsewhere: `\"https\"` to the same host and path there, or a place with variables as in a route's `redirect`. 301 \
             for GET and HEAD, 308 for other methods. No route is looked for.",
        ),
        planned("protocols", "What ALPN and QUIC offer."),
        planned("tls", "Certificates, and which clients must show one."),
        planned("proxy_protocol", "Whether connections begin with a PROXY header."),
        planned("pool", "The pool of a tcp, udp or dns listener."),
    ],
};

pub(crate) static LISTENER_TIMEOUT: Table = Table {
    path: "listener.NAME.timeout",
    doc: "Times after which a client is given up.",
    keys: &[
        with_default(
            "header",
            Kind::Duration("100ms", "5m"),
            "10s",
            "\"5s\"",
            "From the first byte of a request to the end of its head. Then 408.",
        ),
        with_default(
            "idle",
            Kind::Duration("1s", "1h"),
            "75s",
            "\"30s\"",
            "Between two requests on a connection. Then it is closed.",
        ),
        with_default("body", Kind::Duration("100ms", "1h"), "30s", "\"10s\"", "Between two pieces of a request body. Then 408."),
        with_default(
            "body_rate",
            Kind::ByteRate,
            "256B/s",
            "\"1KiB/s\"",
            "Slowest pace of a request body that has run for 10 s. Slower is 408. `\"0B/s\"` allows any pace.",
        ),
    ],
};

pub(crate) static LIMITS: Table = Table {
    path: "listener.NAME.limits",
    doc: "Sizes above which a request is refused and its connection closed.",
    keys: &[
        with_default(
            "target",
            Kind::Size("256B", "64KiB"),
            "8KiB",
            "\"4KiB\"",
            "The request target, path and query. Over it: 414.",
        ),
        with_default("line", Kind::Size("256B", "64KiB"), "8KiB", "\"16KiB\"", "One header line. Over it: 431."),
        with_default(
            "head",
            Kind::Size("1KiB", "64KiB"),
            "64KiB",
            "\"32KiB\"",
            "The whole head. At least as much as `target` and `line`. Over it: 431.",
        ),
        with_default("fields", Kind::Integer(8, 1024), "128", "64", "Number of header fields. Over it: 431."),
        optional(
            "body",
            Kind::Size("0B", "1TiB"),
            "unlimited",
            "\"10MiB\"",
            "The request body. Over it: 413. Bodies are streamed, so a large one costs no memory.",
        ),
    ],
};

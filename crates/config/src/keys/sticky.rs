//! `[pool.NAME.sticky]`.

use super::{Kind, Table, optional, with_default};

pub(crate) static STICKY: Table = Table {
    path: "pool.NAME.sticky",
    doc: "A client stays with the backend that answered it first. A backend that is down is left at once, one that drains keeps its sessions \
          and gets no new ones, and one at its `max_connections` is waited for in the queue. By a cookie, unless `header` or `client_ip` is set.",
    keys: &[
        with_default(
            "cookie",
            COOKIE_NAME,
            "evenkeel",
            "\"shop_server\"",
            "The cookie's name. Its value is sealed: a client can neither read it nor make one, and what it made up is ignored.",
        ),
        optional(
            "header",
            Kind::Word("a header", "^[A-Za-z0-9_-]+$"),
            "by cookie",
            "\"X-Session\"",
            "Clients are told apart by this request header instead, and remembered in a table.",
        ),
        with_default(
            "client_ip",
            Kind::Flag,
            "false",
            "true",
            "Clients are told apart by their address instead, and remembered in a table.",
        ),
        optional(
            "ttl",
            Kind::Duration("1m", "365d"),
            "a cookie until the browser closes, a table entry 1h",
            "\"12h\"",
            "How long the cookie lives from the answer that set it (`Max-Age`), or how long a client may stay away before the table forgets it.",
        )
        .also_called(&["expires", "max_age"]),
        optional(
            "keys",
            Kind::OneOrMany(&Kind::Secret),
            "one made at the start of the process",
            "{ env = \"STICKY_KEY\" }",
            "What cookies are sealed with, at least 16 characters each: the first seals, all of them open. To rotate, put a new one first and \
             take the old one out later. Without any, sessions end with the process, and several instances do not know each other's cookies.",
        )
        .also_called(&["key", "secret", "secrets"]),
        optional(
            "secure",
            Kind::Flag,
            "true where the client came by TLS",
            "true",
            "Whether the browser sends the cookie by TLS only.",
        ),
        with_default("http_only", Kind::Flag, "true", "false", "Whether scripts in the page can't see the cookie.").also_called(&["httponly"]),
        with_default(
            "same_site",
            Kind::Choice(&["lax", "strict", "none"], &[]),
            "lax",
            "\"strict\"",
            "With which requests from other sites the browser sends the cookie. Browsers take `none` only with `secure`.",
        )
        .also_called(&["samesite"]),
        optional("domain", Kind::Word("a domain", "^[A-Za-z0-9.-]+$"), "the host asked for", "\"example.com\"", "The cookie's domain."),
        with_default("path", Kind::Word("a path", "^/[^ ;]*$"), "/", "\"/shop\"", "The cookie's path."),
        with_default(
            "sessions",
            Kind::Integer(1024, 16_777_216),
            "65536",
            "1000000",
            "Clients that the table of `header` or `client_ip` remembers, at 8 bytes each; then the stalest are forgotten.",
        ),
    ],
};

const COOKIE_NAME: Kind = Kind::Word("a cookie's name", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");

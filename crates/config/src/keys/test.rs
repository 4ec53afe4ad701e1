//! `[[test]]` and what it expects.

use super::{Kind, Table, optional, required, with_default};

pub(crate) static TEST: Table = Table {
    path: "test",
    doc: "A request and what must become of it. `evenkeel check`, every start and every reload run all of them, without sending anything \
          and without looking at who is up; one that fails refuses the file. Backends count as answering 200, limits as not reached.",
    keys: &[
        optional("name", Kind::Text, "the request", "\"enterprise customers\"", "What reports call it."),
        required(
            "request",
            Kind::Word("a method and a URL", "^[A-Z-]+ +https?://"),
            "\"GET https://shop.example.com/api/items\"",
            "Method and URL. The listener with the URL's port takes it, the first one where no listener has that port.",
        ),
        optional(
            "header",
            FIELDS,
            "none",
            "{ X-Customer-Tier = \"enterprise\" }",
            "Fields of the request, `Host` and `Content-Length` being there already.",
        )
        .also_called(&["headers"]),
        with_default(
            "from",
            Kind::Word("an address", "^[0-9A-Fa-f.:]+$"),
            "127.0.0.1",
            "\"203.0.113.9\"",
            "Where the connection comes from. From a trusted proxy, `X-Forwarded-For` in `header` says who the client is.",
        )
        .also_called(&["client_ip"]),
        with_default("body", Kind::Text, "", "\"{}\"", "The body."),
        required("expect", Kind::Table(&EXPECT), "{ pool = \"api\", status = 200 }", "What must become of it."),
    ],
};

pub(crate) static EXPECT: Table = Table {
    path: "test.expect",
    doc: "What must become of it; all that is given must hold.",
    keys: &[
        optional("pool", super::route::NAME, "any", "\"api\"", "The pool that is asked."),
        optional("route", super::route::NAME, "any", "\"route-1\"", "The route that takes it."),
        optional(
            "status",
            Kind::Integer(100, 599),
            "any",
            "200",
            "What the client gets. A request that reaches a pool gets 200 here, whatever the backend would say.",
        ),
        optional("backend", Kind::Text, "any", "\"10.0.2.10:8080\"", "The backend that is asked first, by name or address."),
        optional("redirect", Kind::Text, "any", "\"https://shop.example.com/\"", "Where the client is sent.")
            .also_called(&["location"]),
        optional("path", Kind::Text, "any", "\"/items?page=2\"", "Path and query as they go upstream."),
        optional("reason", Kind::Text, "any", "\"denied\"", "The word with which it is refused."),
        optional(
            "header",
            FIELDS,
            "any",
            "{ X-Frame-Options = \"SAMEORIGIN\" }",
            "Fields of the answer; `false` for one that must not be there.",
        )
        .also_called(&["headers", "response_header"]),
        optional(
            "request_header",
            FIELDS,
            "any",
            "{ X-Tier = \"web\", X-Debug = false }",
            "Fields as they go upstream; `false` for one that must not be there.",
        )
        .also_called(&["request_headers"]),
    ],
};

const FIELDS: Kind = Kind::Map(&Kind::Either(&[Kind::Word("a value", ""), Kind::Flag]));

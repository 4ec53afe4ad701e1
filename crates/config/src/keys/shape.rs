//! The tables that change what a route's requests and answers look like.

use super::{Kind, Table, optional, with_default};

const PREFIX: Kind = Kind::Word("a path", "^/");

pub(crate) static REWRITE: Table = Table {
    path: "route.rewrite",
    doc: "Another path for the backend than the client's: `strip_prefix`, then `regex` with `to`, then `add_prefix`. Matching, keys, variables \
          and logs go by the client's.",
    keys: &[
        optional(
            "strip_prefix",
            PREFIX,
            "none",
            "\"/api\"",
            "Taken off by segments: `/api/x` becomes `/x` and `/api` becomes `/`; `/apix` stays.",
        )
        .also_called(&["strip"]),
        optional("add_prefix", PREFIX, "none", "\"/v2\"", "Put before what is left.").also_called(&["add", "prefix"]),
        optional(
            "regex",
            Kind::Word("a regular expression", ""),
            "none",
            "\"^/users/([0-9]+)/\"",
            "What it matches is replaced by `to`, once. Runs in linear time.",
        )
        .also_called(&["pattern", "from"]),
        optional(
            "to",
            Kind::Word("a replacement", "^[!-~]*$"),
            "needed with `regex`",
            "\"/u/$1/\"",
            "What stands in its place; `$1` and `${name}` are its groups. A result that is no legal path is 400 `bad_path`.",
        )
        .also_called(&["replacement"]),
    ],
};

pub(crate) static CORS: Table = Table {
    path: "route.cors",
    doc: "Which pages of other sites may read its answers. Preflights are answered here: 204, or 403 `denied` to a page that may not. What \
          the backend says of it (`Access-Control-*`) is replaced.",
    keys: &[
        optional(
            "origins",
            Kind::OneOrMany(&Kind::Word(
                "\"*\", or an origin such as https://app.example.com",
                "^(\\*|[a-z][a-z0-9+.-]*://[^/]+)$",
            )),
            "every origin",
            "[\"https://app.example.com\", \"https://*.example.com\"]",
            "Whose pages. `*.` stands for any host below.",
        )
        .also_called(&["origin", "allow_origins"]),
        optional(
            "methods",
            Kind::OneOrMany(&Kind::Word("a method", "^[A-Z-]+$")),
            "GET, HEAD, POST, PUT, PATCH and DELETE",
            "[\"GET\", \"POST\"]",
            "By which methods.",
        )
        .also_called(&["allow_methods"]),
        optional(
            "headers",
            Kind::OneOrMany(&Kind::Word("a header name", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")),
            "those it asks for",
            "[\"Content-Type\", \"Authorization\"]",
            "With which fields in the request.",
        )
        .also_called(&["allow_headers"]),
        optional(
            "expose",
            Kind::OneOrMany(&Kind::Word("a header name", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")),
            "none",
            "\"X-Total\"",
            "Which fields of an answer scripts may read, besides the plain ones.",
        )
        .also_called(&["expose_headers"]),
        with_default("credentials", Kind::Flag, "false", "true", "Whether cookies may come along. Needs `origins`."),
        with_default("max_age", Kind::Duration("0s", "1d"), "10m", "\"1h\"", "How long browsers may remember a preflight."),
    ],
};

pub(crate) static SECURITY_HEADERS: Table = Table {
    path: "route.security_headers",
    doc: "Fields that tell browsers to be careful, on every answer that does not have them; `security_headers = true` is all of it with its \
          defaults. `X-Content-Type-Options: nosniff` is always among them.",
    keys: &[
        with_default(
            "hsts",
            Kind::Duration("0s", "1000d"),
            "365d",
            "\"30d\"",
            "How long browsers are to come by https alone (`Strict-Transport-Security`). Sent over https only; `\"0s\"` leaves it out.",
        ),
        with_default("subdomains", Kind::Flag, "false", "true", "Whether `hsts` is for every host below too."),
        with_default(
            "frame",
            Kind::Choice(&["sameorigin", "deny", "off"], &[]),
            "sameorigin",
            "\"deny\"",
            "Whose pages may frame it (`X-Frame-Options`).",
        ),
        with_default(
            "referrer",
            Kind::Word("a referrer policy or \"off\"", "^[a-z-]+$"),
            "strict-origin-when-cross-origin",
            "\"no-referrer\"",
            "What other sites learn of where somebody came from (`Referrer-Policy`).",
        ),
        optional("csp", Kind::Text, "none", "\"default-src 'self'\"", "A `Content-Security-Policy`."),
        optional("permissions", Kind::Text, "none", "\"camera=(), geolocation=()\"", "A `Permissions-Policy`."),
        with_default("hide", Kind::Flag, "true", "false", "Whether `Server` and `X-Powered-By` of backends are taken out."),
    ],
};

pub(crate) static ERROR_PAGE: Table = Table {
    path: "route.error_pages.502-504",
    doc: "The page for a status or a range of them. A text or `{ file = \"page.html\" }` in place of the table is its `body`. Pages are read when \
          the configuration is loaded.",
    keys: &[
        super::required(
            "body",
            Kind::Text,
            "\"<h1>Back soon</h1>\"",
            "Its text; `{ file = \"page.html\" }` reads one, at most 1 MiB.",
        ),
        optional(
            "content_type",
            Kind::Text,
            "text/html where the body begins with <, else text/plain",
            "\"application/json\"",
            "Its `Content-Type`.",
        ),
        with_default(
            "upstream",
            Kind::Flag,
            "false",
            "true",
            "Whether it also takes the place of a backend's own answer with that status.",
        ),
    ],
};

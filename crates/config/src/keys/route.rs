//! `[[route]]` and the tables in it.

use super::access::{BASIC_AUTH, FORWARD_AUTH, JWT};
use super::limit::{CONCURRENCY, RATE_LIMIT};
use super::root::NETWORKS;
use super::shape::{CORS, ERROR_PAGE, REWRITE, SECURITY_HEADERS};
use super::{Kind, Table, optional, planned, required, with_default};

pub(crate) static ROUTE: Table = Table {
    path: "route",
    doc: "Which exchanges, and what becomes of them. The most specific route wins, whatever the order in the file: exact host \
          before wildcard before any; then the longer path; then the one with more conditions; ties by order. \
          A route ends in exactly one of `pool`, `pools`, `respond` and `redirect`.",
    keys: &[
        optional("name", NAME, "route-1 for the first, and so on", "\"shop\"", "For logs and metrics. No two routes share one."),
        optional(
            "match",
            Kind::Table(&MATCH),
            "every exchange",
            "{ host = \"shop.example.com\", path = \"/api/\" }",
            "Which exchanges it takes.",
        )
        .also_called(&["matches", "when"]),
        with_default("priority", Kind::Integer(-1000, 1000), "0", "10", "A higher one wins over a more specific route."),
        optional("pool", NAME, "see `respond`, `redirect`", "\"api\"", "The pool whose backends answer.").also_called(&[
            "backend",
            "upstream",
            "proxy_pass",
            "use_backend",
        ]),
        optional(
            "pools",
            Kind::Array(&Kind::Table(&super::split::SHARE)),
            "see `pool`",
            "[{ pool = \"api\", weight = 95 }]",
            "Several pools by share, such as a canary. The share is exact over all workers; with `cohort` it is one of clients.",
        )
        .also_called(&["split", "weighted_clusters"]),
        optional(
            "cohort",
            Kind::Word("a part of the request", "^(client_ip|path|host|route|(header|cookie|query|cel):.+)$"),
            "each exchange for itself",
            "\"cookie:uid\"",
            "With `pools`: what a client is known by, so that it stays with its pool. Requests without it go by the client's address. \
             When the last pool of the list gains weight it keeps the clients it has.",
        )
        .also_called(&["sticky_by"]),
        optional(
            "respond",
            Kind::Table(&RESPOND),
            "see `pool`",
            "{ status = 200, body = \"OK\" }",
            "Answers here; nothing goes upstream.",
        )
        .also_called(&["return", "response"]),
        optional(
            "redirect",
            Kind::Either(&[TEMPLATE, Kind::Table(&REDIRECT)]),
            "see `pool`",
            "\"https://{host}{uri}\"",
            "Sends the client elsewhere: the place alone, or a table with the status too.",
        ),
        optional("timeout", Kind::Table(&TIMEOUT), "see there", "{ response = \"10s\" }", "How long a backend may take."),
        optional(
            "request_headers",
            Kind::Table(&HEADER_EDITS),
            "unchanged",
            "{ set = { X-Tier = \"web\" }, remove = [\"X-Debug\"] }",
            "Changes to the request before it goes upstream.",
        ),
        optional(
            "response_headers",
            Kind::Table(&HEADER_EDITS),
            "unchanged",
            "{ set = { X-Frame-Options = \"SAMEORIGIN\" } }",
            "Changes to every answer before it goes to the client.",
        ),
        optional(
            "hedge",
            Kind::Word("a percentile or a duration", "^(p[0-9]{2}(\\.[0-9])?|([0-9.]+(d|h|m|s|ms|us))+)$"),
            "off",
            "\"p95\"",
            "Makes a second attempt, at another backend, where the head of the answer takes longer than this: a duration, or the time that \
             this share of the route's attempts takes, followed live. The first head wins and the other attempt is cancelled. Only for \
             idempotent requests whose body is held, once an exchange, within the retry budget of the pool, and in no sticky pool.",
        )
        .also_called(&["hedging", "hedge_after"]),
        optional(
            "allow",
            NETWORKS,
            "everyone",
            "[\"203.0.113.0/24\", \"2001:db8::/32\"]",
            "Networks that may; everyone else gets 403 `denied`. `{ file = \"office.txt\" }` reads a list of at most 1 MiB, one a line, \
             `#` beginning a remark; it is read again by a reload. Costs less than 100 ns with 10,000 of them.",
        )
        .also_called(&["whitelist", "allowlist"]),
        optional(
            "deny",
            NETWORKS,
            "nobody",
            "\"192.0.2.0/24\"",
            "Networks that get 403 `denied`, also where `allow` names them. Lists as in `allow`.",
        )
        .also_called(&["blacklist", "denylist", "block"]),
        optional(
            "basic_auth",
            Kind::Table(&BASIC_AUTH),
            "none",
            "{ users = { file = \"tests/golden/htpasswd.txt\" }, header = \"X-User\" }",
            "Asks for a name and a password.",
        ),
        optional("jwt", Kind::Table(&JWT), "none", "{ jwks = \"https://id.example.com/keys\", audience = \"shop\" }", "Asks for a token."),
        optional(
            "forward_auth",
            Kind::Table(&FORWARD_AUTH),
            "none",
            "{ url = \"http://127.0.0.1:9000/verify\", response_headers = \"X-User\" }",
            "Asks a service of yours.",
        )
        .also_called(&["auth_request"]),
        optional("rewrite", Kind::Table(&REWRITE), "unchanged", "{ strip_prefix = \"/api\" }", "The path that the backend gets."),
        optional(
            "cors",
            Kind::Table(&CORS),
            "left to the backend",
            "{ origins = \"https://app.example.com\" }",
            "Which pages of other sites may read its answers.",
        ),
        optional(
            "security_headers",
            Kind::Either(&[Kind::Flag, Kind::Table(&SECURITY_HEADERS)]),
            "none",
            "true",
            "Fields that tell browsers to be careful.",
        ),
        optional(
            "max_body",
            Kind::Size("0B", "1TiB"),
            "the listener's `limits.body`",
            "\"10MiB\"",
            "Largest request body; the listener's limit holds as well. Over it: 413 `body_too_large`.",
        )
        .also_called(&["client_max_body_size"]),
        optional(
            "error_pages",
            Kind::Map(&Kind::Either(&[Kind::Text, Kind::Table(&ERROR_PAGE)])),
            "JSON, plain text or HTML, as the client reads",
            "{ \"502-504\" = { body = \"<h1>Back soon</h1>\", upstream = true } }",
            "Pages in place of errors, by status or range.",
        )
        .also_called(&["error_page", "errorfile"]),
        with_default("log", Kind::Flag, "true", "false", "Whether its exchanges are in the access log."),
        planned("files", "Serves a folder."),
        planned("cache", "Keeps answers."),
        optional(
            "rate_limit",
            Kind::OneOrMany(&Kind::Table(&RATE_LIMIT)),
            "none",
            "{ rate = \"100/s\", burst = 20 }",
            "How often each client may come: one limit, or several in brackets.",
        )
        .also_called(&["rate_limits", "limit_req", "ratelimit"]),
        optional(
            "concurrency",
            Kind::OneOrMany(&Kind::Table(&CONCURRENCY)),
            "no limit",
            "{ limit = 20 }",
            "How many exchanges each client may have at one time: one limit, or several in brackets.",
        )
        .also_called(&["limit_conn", "max_concurrency"]),
    ],
};

pub(crate) static MATCH: Table = Table {
    path: "route.match",
    doc: "All of its keys must hold.",
    keys: &[
        optional(
            "host",
            Kind::Word("a host", "^(\\*\\.)?[^/:*]+$|^\\[[0-9A-Fa-f:.]+\\]$"),
            "any",
            "\"*.example.com\"",
            "A host without port, or `*.` and a domain for every host below it. Case does not matter.",
        ),
        optional(
            "path",
            Kind::Word("a path", "^(/|=/|~)"),
            "any",
            "\"/api/\"",
            "`\"/api/\"` is a prefix by segments (`/api` and `/api/x`, not `/apix`), `\"=/exact\"` that path alone, \
             `\"~^/v[0-9]+/\"` a regular expression that runs in linear time. Paths are normalised before they are matched.",
        ),
        optional(
            "method",
            Kind::OneOrMany(&Kind::Word("a method", "^[A-Z-]+$")),
            "any",
            "[\"GET\", \"HEAD\"]",
            "One method or several.",
        ),
        optional(
            "header",
            PATTERNS,
            "any",
            "{ X-Customer-Tier = \"enterprise\" }",
            "Request fields by name: `\"value\"` exactly, `\"~regex\"`, `\"*\"` or `true` for present, `false` for absent.",
        )
        .also_called(&["headers"]),
        optional("cookie", PATTERNS, "any", "{ beta = \"1\" }", "Cookies by name; values as in `header`.")
            .also_called(&["cookies"]),
        optional("query", PATTERNS, "any", "{ version = \"~^2\" }", "Query parameters by name; values as in `header`."),
        optional("client_ip", NETWORKS, "any", "[\"10.0.0.0/8\"]", "Networks one of which holds the client's address."),
    ],
};

pub(crate) static RESPOND: Table = Table {
    path: "route.respond",
    doc: "An answer given here.",
    keys: &[
        with_default("status", Kind::Integer(200, 599), "200", "503", "Its status."),
        with_default(
            "body",
            Kind::Text,
            "",
            "\"OK\"",
            "Its body; `{ file = \"page.html\" }` reads one when the configuration is loaded. None with 204 and 304.",
        ),
        with_default(
            "content_type",
            Kind::Text,
            "text/plain; charset=utf-8",
            "\"text/html\"",
            "Its `Content-Type`. Left out when there is no body.",
        ),
        optional("headers", HEADERS, "none", "{ Cache-Control = \"no-store\" }", "Further fields."),
    ],
};

pub(crate) static REDIRECT: Table = Table {
    path: "route.redirect",
    doc: "Where the client is sent.",
    keys: &[
        required("to", TEMPLATE, "\"https://{host}{uri}\"", "A URL or a path, with variables.").also_called(&["url", "location"]),
        with_default(
            "status",
            Kind::Integer(301, 308),
            "302",
            "301",
            "301 and 308 are permanent: browsers keep them for good. 302 and 307 are not. 307 and 308 keep the method. 303 makes it GET.",
        )
        .also_called(&["code"]),
    ],
};

pub(crate) static TIMEOUT: Table = Table {
    path: "route.timeout",
    doc: "How long a backend may take.",
    keys: &[
        with_default(
            "connect",
            Kind::Duration("1ms", "5m"),
            "3s",
            "\"500ms\"",
            "For a connection to a backend. Then the next backend is tried, at last 504 `connect_timeout`.",
        ),
        with_default(
            "response",
            Kind::Duration("1ms", "24h"),
            "30s",
            "\"10s\"",
            "From the end of the request to the end of the answer's head. Then 504 `response_timeout`.",
        )
        .also_called(&["read"]),
        optional(
            "total",
            Kind::Duration("1ms", "24h"),
            "60 s (or `response` where that is longer) up to the answer's head",
            "\"30s\"",
            "For the whole exchange, every attempt and the answer's body included. Then 504 `total_timeout`, or the answer is broken off.",
        ),
        with_default(
            "idle",
            Kind::Duration("1s", "24h"),
            "5m",
            "\"1h\"",
            "Without a byte either way in a body, stream or WebSocket.",
        ),
    ],
};

pub(crate) static HEADER_EDITS: Table = Table {
    path: "route.request_headers",
    doc: "Changes to header fields, also under `response_headers`, in the order remove, set, add. Values may hold `{client_ip}`, \
          `{request_id}`, `{host}`, `{method}`, `{path}`, `{query}`, `{uri}`, `{scheme}` and `{peer_ip}`, also `{header:NAME}`, `{cookie:NAME}` \
          and `{query:NAME}` (as they came, nothing where there is none). Fields of framing and of one hop can't be touched.",
    keys: &[
        optional("set", HEADERS, "none", "{ X-Tier = \"web\" }", "Replaces every field of that name, or adds one."),
        optional("add", HEADERS, "none", "{ X-Seen-By = \"evenkeel\" }", "Adds a field, whatever is there."),
        optional(
            "remove",
            Kind::OneOrMany(&Kind::Word("a header name", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")),
            "none",
            "[\"X-Debug\"]",
            "Takes every field of that name away.",
        ),
    ],
};

/// Names the user gives and names that refer to them.
pub(super) const NAME: Kind = Kind::Word("a name", "^[A-Za-z0-9_.-]{1,64}$");
pub(super) const TEMPLATE: Kind = Kind::Word("a string without control characters and unknown variables", "");
const HEADERS: Kind = Kind::Map(&TEMPLATE);
const PATTERNS: Kind = Kind::Map(&Kind::Either(&[Kind::Word("a value or pattern", ""), Kind::Flag]));

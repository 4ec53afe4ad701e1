//! The tables that say who may use a route.

use super::{Kind, Table, optional, required, with_default};

const HEADER_NAME: Kind = Kind::Word("a header name", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");
const CLAIM: Kind = Kind::Word("the name of a claim", "");

pub(crate) static BASIC_AUTH: Table = Table {
    path: "route.basic_auth",
    doc: "Name and password (RFC 7617), else 401 `unauthorized`. Passwords are checked beside the workers, each worker one at a time and at \
          most 32 waiting (then 503 `auth_unavailable`); a good one is remembered for 5 minutes, after which a request costs less than 1 µs.",
    keys: &[
        required(
            "users",
            Kind::Either(&[Kind::Map(&Kind::Word("a hash of argon2 or bcrypt", "^\\$(argon2|2[abxy]\\$)")), Kind::Text]),
            "{ alice = \"$2y$04$/uwkjXAwTLYXkvHSbaFI1.sYMROG.0M02ac/V/MtSSD9vSjNZC.Om\" }",
            "Names with the hashes of their passwords (argon2 or bcrypt), or `{ file = \"htpasswd\" }` with lines `name:hash` as `htpasswd -B` \
             writes them. A file is read again by a reload.",
        ),
        with_default("realm", Kind::Text, "restricted", "\"Staff only\"", "What browsers show when they ask."),
        optional(
            "header",
            HEADER_NAME,
            "none",
            "\"X-User\"",
            "The field that tells the backend the name. From clients it is always removed.",
        ),
        with_default("strip", Kind::Flag, "false", "true", "Takes `Authorization` out before the request goes upstream."),
    ],
};

pub(crate) static JWT: Table = Table {
    path: "route.jwt",
    doc: "A token (RFC 7519) that a key of the set has signed, else 401 `unauthorized`. Its signature, `exp` (which it must have), `nbf`, issuer \
          and audience are checked. Verified tokens are remembered by each worker until they expire or the keys change.",
    keys: &[
        required(
            "jwks",
            Kind::Word("a URL, or a key set from a file", "^https?://"),
            "\"https://id.example.com/.well-known/jwks.json\"",
            "The public keys: a URL, or `{ file = \"jwks.json\" }`, which is read again by a reload. While a URL has given no keys yet, requests \
             get 503 `auth_unavailable`; later faults keep the last good keys.",
        ),
        with_default(
            "refresh",
            Kind::Duration("1s", "7d"),
            "10m",
            "\"1h\"",
            "How often keys are fetched again from a URL. A token with an unknown key has them fetched at once, at most every 10 s.",
        ),
        optional(
            "issuer",
            Kind::OneOrMany(&Kind::Text),
            "any",
            "\"https://id.example.com\"",
            "Who may have issued a token: its `iss` is one of these.",
        )
        .also_called(&["iss", "issuers"]),
        optional(
            "audience",
            Kind::OneOrMany(&Kind::Text),
            "any",
            "[\"shop\", \"api\"]",
            "Whom a token may be for: one of its `aud` is one of these.",
        )
        .also_called(&["aud", "audiences"]),
        optional(
            "algorithms",
            Kind::OneOrMany(&Kind::Choice(&policy::auth::jwt::ALGORITHMS, &[])),
            "all of them, as the key is for",
            "[\"RS256\", \"ES256\"]",
            "How a token may be signed. `none` and shared secrets are never allowed.",
        ),
        with_default("leeway", Kind::Duration("0s", "10m"), "30s", "\"5s\"", "How far clocks may be apart."),
        with_default(
            "header",
            HEADER_NAME,
            "Authorization",
            "\"X-Token\"",
            "The field with the token, `Bearer ` before it or not; in `Authorization` it must be.",
        ),
        optional(
            "cookie",
            Kind::Word("the name of a cookie", ""),
            "none",
            "\"session\"",
            "The cookie with the token, where the field is not there.",
        ),
        optional(
            "claims_to_headers",
            Kind::Map(&CLAIM),
            "none",
            "{ X-User = \"sub\", X-Roles = \"realm.roles\" }",
            "Fields that tell the backend what the token says; arrays are joined by commas, `a.b` is `b` within `a`. From clients these \
             fields are always removed.",
        ),
        optional(
            "require",
            Kind::Map(&Kind::OneOrMany(&Kind::Text)),
            "nothing",
            "{ role = [\"admin\", \"staff\"] }",
            "What a good token must say besides: each claim is, or holds, one of its values. Else 403 `denied`.",
        ),
        with_default("optional", Kind::Flag, "false", "true", "Lets requests without a token pass, without those fields."),
        with_default("strip", Kind::Flag, "false", "true", "Takes the field with the token out before the request goes upstream."),
    ],
};

pub(crate) static FORWARD_AUTH: Table = Table {
    path: "route.forward_auth",
    doc: "A service of yours decides: it is asked by GET, with `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For` telling what for. 2xx \
          lets the request pass; 401, 403 and 3xx go to the client as they are, up to 64 KiB; anything else is 503 `auth_unavailable`.",
    keys: &[
        required(
            "url",
            Kind::Word("a URL", "^http://"),
            "\"http://127.0.0.1:9000/verify\"",
            "Where it is asked. Connections to it are kept.",
        )
        .also_called(&["address"]),
        optional(
            "request_headers",
            Kind::OneOrMany(&HEADER_NAME),
            "all but those of framing and of one hop",
            "[\"Authorization\", \"Cookie\"]",
            "Fields of the request that it is sent.",
        ),
        optional(
            "response_headers",
            Kind::OneOrMany(&HEADER_NAME),
            "none",
            "[\"X-User\", \"X-Groups\"]",
            "Fields of its answer that the backend is sent. From clients they are always removed.",
        ),
        with_default(
            "timeout",
            Kind::Duration("1ms", "1m"),
            "2s",
            "\"500ms\"",
            "For its answer, connecting included. Then 503 `auth_unavailable`.",
        ),
    ],
};

//! `[pool.NAME.health]`: how backends are probed.

use super::{Kind, Table, optional, with_default};

pub(crate) static HEALTH: Table = Table {
    path: "pool.NAME.health",
    doc: "How backends are probed. The first probe alone decides; then `rise` and `fall` do. A backend that flaps is held down longer each time.",
    keys: &[
        optional("path", Kind::Word("a path", "^/[^ ]*$"), "a TCP probe", "\"/health\"", "Sends `GET` for it. Begins with `/`.")
            .also_called(&["uri", "url"]),
        optional("tcp", Kind::Flag, "true without `path`", "true", "Opens a connection and closes it again."),
        optional("host", Kind::Word("a host", ""), "the backend's address", "\"shop.example.com\"", "The probe's `Host` field."),
        with_default(
            "status",
            Kind::Word("statuses, such as \"200-399\"", "^[0-9 ,-]+$"),
            "200-399",
            "\"200,204\"",
            "Statuses that pass: numbers and ranges with commas.",
        ),
        with_default("interval", Kind::Duration("100ms", "1h"), "5s", "\"3s\"", "Between two probes of a backend."),
        optional(
            "timeout",
            Kind::Duration("10ms", "5m"),
            "2 s, or `interval` where that is shorter",
            "\"1s\"",
            "For one probe, connection included. At most `interval`.",
        ),
        with_default(
            "jitter",
            Kind::Percent,
            "10%",
            "\"20%\"",
            "How far the interval varies by chance, so that probes do not come in step.",
        ),
        with_default("rise", Kind::Integer(1, 100), "2", "1", "Passes in a row that bring a backend up."),
        with_default("fall", Kind::Integer(1, 100), "3", "2", "Failures in a row that take a backend down."),
        with_default(
            "edge_interval",
            Kind::Duration("50ms", "1h"),
            "1s",
            "\"500ms\"",
            "Between two probes while results speak against the current state. Never longer than `interval`.",
        ),
        with_default(
            "hold_down_max",
            Kind::Duration("0s", "1h"),
            "1m",
            "\"2m\"",
            "The longest time a flapping backend is held down.",
        ),
        optional(
            "grpc",
            Kind::Text,
            "no gRPC",
            "\"shop.Orders\"",
            "Asks by the gRPC health protocol, over HTTP/2, whether this service serves; \"\" asks for the server as a whole.",
        ),
        optional(
            "port",
            Kind::Integer(1, 65_535),
            "the port that serves",
            "8081",
            "Where to probe, if not where the backend serves.",
        ),
        optional(
            "tls",
            TLS,
            "false",
            "true",
            "Probes over TLS. `true` believes the system's certificates; a TCP probe then ends after the handshake.",
        ),
        optional(
            "body",
            Kind::Word("a regular expression", ""),
            "any body",
            "\"^(ok|ready)\"",
            "A regular expression that must be found in the body, of which at most 64 KiB are read.",
        ),
        optional(
            "expect",
            Kind::Word("a CEL expression", ""),
            "any answer",
            "\"json.cpu_usage <= 90\"",
            "A CEL expression over `status`, `headers`, `body`, `json` and `latency_ms` that must be true, beside `status`. One that has no value, \
             as where the body is no JSON, fails the probe.",
        ),
        optional(
            "degraded",
            Kind::Word("a CEL expression", ""),
            "never",
            "\"json.status == 'degraded'\"",
            "As `expect`, but where it is true the probe passes and the backend keeps half its weight until a probe finds otherwise.",
        ),
    ],
};

pub(crate) static HEALTH_TLS: Table = Table {
    path: "pool.NAME.health.tls",
    doc: "Whom a probe over TLS believes.",
    keys: &[
        optional(
            "ca",
            Kind::Text,
            "the system's certificates",
            "\"checks.pem\"",
            "A file of certificates in PEM that are believed, and no others.",
        )
        .also_called(&["ca_file", "cafile"]),
        with_default(
            "insecure",
            Kind::Flag,
            "false",
            "true",
            "Believes any certificate: a probe then says nothing of who answers.",
        ),
        optional(
            "server_name",
            Kind::Word("a name", ""),
            "`host`, or the backend's address",
            "\"shop.example.com\"",
            "The name that is asked for, and that the certificate must have.",
        )
        .also_called(&["sni"]),
    ],
};

pub(super) const HEALTH_OR_OFF: Kind = Kind::Either(&[Kind::Off, Kind::Table(&HEALTH)]);
const TLS: Kind = Kind::Either(&[Kind::Flag, Kind::Table(&HEALTH_TLS)]);

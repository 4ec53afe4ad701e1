//! What a pool does about backends that fail: `passive` and `breaker`.

use super::{Kind, Table, optional, with_default};

pub(crate) static PASSIVE: Table = Table {
    path: "pool.NAME.passive",
    doc: "Takes a backend out of rotation because exchanges with it fail, whatever its health checks say. It comes back after a time that \
          grows with each ejection, and sooner when its checks fail and pass again. Its first failure then ejects it again; its first success \
          clears it. nginx's `max_fails=3 fail_timeout=10s` is `{ failures = 3, window = \"10s\", eject = \"10s\", max_eject = \"10s\", \
          max_ejected = \"100%\" }`.",
    keys: &[
        with_default("failures", Kind::Integer(0, 1000), "5", "3", "Failures in a row that eject a backend. 0 counts none.")
            .also_called(&["max_fails", "consecutive_errors"]),
        with_default("window", Kind::Duration("1s", "1h"), "30s", "\"10s\"", "Failures count within this time only.")
            .also_called(&["fail_timeout", "interval"]),
        optional(
            "error_rate",
            Kind::Percent,
            "off",
            "\"30%\"",
            "Share of failures within `window` that ejects a backend too, of `minimum` exchanges or more.",
        ),
        with_default(
            "minimum",
            Kind::Integer(1, 10_000),
            "20",
            "50",
            "Exchanges within `window` below which `error_rate` does nothing.",
        ),
        with_default(
            "eject",
            Kind::Duration("100ms", "1h"),
            "30s",
            "\"10s\"",
            "How long the first time; n times as long the nth time.",
        ),
        with_default(
            "max_eject",
            Kind::Duration("100ms", "24h"),
            "5m",
            "\"1m\"",
            "The longest ejection, and how long a backend must last in rotation to be forgiven one. Never shorter than `eject`.",
        ),
        with_default(
            "max_ejected",
            Kind::Percent,
            "50%",
            "\"30%\"",
            "Share of the pool's backends that may be out at one time. One always may; where nobody else is left, those that are out serve.",
        ),
        optional(
            "on",
            Kind::OneOrMany(&Kind::Word("a failure", "^(connect|reset|timeout|[2-5][0-9]{2}(-[2-5][0-9]{2})?)$")),
            "connect, reset, timeout and 502-504",
            "[\"connect\", \"reset\", \"500-599\"]",
            "What is a failure: `connect` (no connection), `reset` (it broke, or the answer was not HTTP), `timeout` (no answer in time), a status or a range of them.",
        ),
    ],
};

pub(crate) static BREAKER: Table = Table {
    path: "pool.NAME.breaker",
    doc: "Stops sending where too much fails or is too slow. Failed is an attempt without an answer, or with a status from 500 on (which the \
          client still gets). After `open` it lets probes through, one more at a time for each that went well; so many in a row close it, one \
          that fails opens it again. One state for all workers. While nobody else is left clients get 503 `breaker_open`.",
    keys: &[
        optional(
            "error_rate",
            Kind::Percent,
            "50%, or off where `latency` is given",
            "\"30%\"",
            "Share of failed attempts within `window` that opens it.",
        ),
        optional(
            "latency",
            Kind::Duration("1ms", "10m"),
            "off",
            "\"1s\"",
            "An attempt is slow when its answer does not begin within this time.",
        ),
        with_default("slow_rate", Kind::Percent, "50%", "\"80%\"", "Share of slow attempts within `window` that opens it."),
        with_default("window", Kind::Duration("1s", "1h"), "10s", "\"30s\"", "Over which the shares are taken."),
        with_default("minimum", Kind::Integer(1, 10_000), "20", "5", "Attempts within `window` below which nothing opens it."),
        with_default("open", Kind::Duration("100ms", "1h"), "30s", "\"10s\"", "How long it stays open."),
        with_default("probes", Kind::Integer(1, 100), "3", "10", "Probes in a row that must go well to close it."),
        with_default(
            "scope",
            Kind::Choice(&["backend", "pool"], &[]),
            "backend",
            "\"pool\"",
            "Whether each backend has its own, or the pool has one.",
        ),
    ],
};

pub(super) const PASSIVE_OR_OFF: Kind = Kind::Either(&[Kind::Off, Kind::Table(&PASSIVE)]);
pub(super) const BREAKER_OR_OFF: Kind = Kind::Either(&[Kind::Off, Kind::Table(&BREAKER)]);

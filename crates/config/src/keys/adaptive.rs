//! `[pool.NAME.adaptive_concurrency]`.

use super::{Kind, Table, with_default};

pub(crate) static ADAPTIVE: Table = Table {
    path: "pool.NAME.adaptive_concurrency",
    doc: "A limit of exchanges at one time that finds itself from the pool's latency: it grows as long as answers come nearly as fast as from an \
          unhurried pool, and falls when they don't. Who finds it reached gets 503 `overloaded` with `Retry-After` at once. One limit for all \
          workers, kept over reloads until its terms change. Measured to the head of answers below 500; a WebSocket does not count once it \
          is open.",
    keys: &[
        with_default("min", Kind::Integer(1, 1_000_000), "8", "20", "Never below."),
        with_default("max", Kind::Integer(1, 1_000_000), "1000", "200", "Never above."),
        with_default("start", Kind::Integer(1, 1_000_000), "32", "100", "At first; between `min` and `max`."),
        with_default(
            "window",
            Kind::Duration("10ms", "1m"),
            "1s",
            "\"500ms\"",
            "How often it moves; longer while fewer than ten answers came.",
        ),
        with_default(
            "tolerance",
            Kind::Number(1.0, 10.0),
            "1.5",
            "2",
            "How many times the latency of an unhurried pool is still good. More gives a higher limit and a longer line at the backends.",
        ),
        with_default(
            "relearn",
            Kind::Duration("1s", "1h"),
            "1m",
            "\"5m\"",
            "How often a busy pool gets less for one `window`, so as to see its unhurried latency.",
        ),
    ],
};

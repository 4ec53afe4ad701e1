//! `[pool.NAME.queue]`.

use super::{KEY, Kind, Table, optional, with_default};

pub(crate) static QUEUE: Table = Table {
    path: "pool.NAME.queue",
    doc: "The line in which exchanges wait while every backend is at its `max_connections`; on where any backend has one. It is one line for \
          all workers. Who finds it full or waits too long gets 503 with a `Retry-After` that follows from the pace of the line.",
    keys: &[
        with_default("length", Kind::Integer(1, 1_000_000), "1024", "100", "Most that wait."),
        with_default("timeout", Kind::Duration("1ms", "1h"), "5s", "\"2s\"", "How long one waits at most."),
        optional(
            "key",
            KEY,
            "one line for all",
            "\"client_ip\"",
            "Whose exchanges they are: each key has its turn, so that one that asks a lot waits behind itself. Where the line is full, the key \
             that has most in it gives way.",
        ),
        optional(
            "priority",
            Kind::Word("a header, cookie or query parameter", "^(header|cookie|query):.+$"),
            "all alike",
            "\"header:X-Priority\"",
            "Where the request says how urgent it is: a digit from 0 to 9, of which the higher goes first; 5 where there is none. Set the \
             header by a proxy in front, or clients set it as they like.",
        ),
        with_default(
            "overload",
            Kind::Choice(&["newest_first", "oldest_first"], &[]),
            "newest_first",
            "\"oldest_first\"",
            "Who goes first while the oldest has waited half of `timeout`. The newest can still be served in time; served strictly in order, \
             everybody waits for nearly all of it.",
        ),
    ],
};

//! `pools` of a route.

use super::{Kind, Table, required, with_default};

pub(crate) static SHARE: Table = Table {
    path: "route.pools",
    doc: "A pool and its share of the route.",
    keys: &[
        required("pool", super::route::NAME, "\"api\"", "The pool."),
        with_default(
            "weight",
            Kind::Integer(0, 1000),
            "1",
            "95",
            "Its share, in proportion to the others'. 0 gets nothing until `evenkeel switch` sends everything there.",
        )
        .also_called(&["share"]),
    ],
};

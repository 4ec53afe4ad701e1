//! The top level, `[admin]` and `[log]`.

use super::health::HEALTH_OR_OFF;
use super::pool::{BACKENDS, BALANCE};
use super::{Kind, LISTENER, POOL, REDIS, ROUTE, TEST, Table, optional, with_default};

pub(crate) static ROOT: Table = Table {
    path: "",
    doc: "The short form is `listen` and `backends` at the top level: one HTTP listener, one route for everything, one pool. \
          The full form has `[listener.NAME]`, `[[route]]` and `[pool.NAME]` tables instead. The other keys go with both.",
    keys: &[
        optional(
            "listen",
            ADDRESSES,
            "full form",
            "\"0.0.0.0:8000\"",
            "Short form: where clients are listened for. `\":8000\"` is every address of the machine.",
        ),
        optional(
            "backends",
            BACKENDS,
            "full form",
            "[\"127.0.0.1:8001\", \"127.0.0.1:8002\"]",
            "Short form: the servers that answer. A port left out is 80.",
        )
        .also_called(&["servers", "upstreams", "targets"]),
        with_default("balance", BALANCE, "round_robin", "\"least_connections\"", "Short form: as `balance` in `[pool.NAME]`."),
        optional(
            "health",
            HEALTH_OR_OFF,
            "a TCP probe every 5 s",
            "{ path = \"/health\" }",
            "Short form: as `[pool.NAME.health]`.",
        ),
        optional(
            "trusted_proxies",
            NETWORKS,
            "nobody",
            "[\"10.0.0.0/8\"]",
            "Whose `X-Forwarded-*` fields are believed, for every listener that has no list of its own.",
        ),
        optional(
            "workers",
            Kind::Integer(1, 1024),
            "one a core",
            "4",
            "Number of workers. Each is a thread with its own connections; more than cores gains nothing.",
        )
        .also_called(&["threads", "worker_processes", "nbthread"]),
        with_default(
            "shutdown",
            Kind::Duration("0s", "1h"),
            "30s",
            "\"1m\"",
            "How long exchanges that run may go on after SIGTERM. Then they are cut off and the process ends with 0.",
        ),
        optional(
            "admin",
            Kind::Table(&ADMIN),
            "no admin listener",
            "{ listen = \"127.0.0.1:9900\" }",
            "Status, metrics and the endpoints that change things.",
        ),
        optional("log", Kind::Table(&LOG), "see there", "{ access = \"off\" }", "What is logged, where to and in which form."),
        optional(
            "listener",
            Kind::Named(&LISTENER),
            "short form",
            "{ web = { listen = \"0.0.0.0:80\" } }",
            "Full form: where clients are listened for.",
        )
        .also_called(&["server", "frontend", "listeners"]),
        optional(
            "route",
            Kind::Tables(&ROUTE),
            "short form",
            "[{ pool = \"api\" }]",
            "Full form: which exchanges, and what becomes of them.",
        )
        .also_called(&["routes", "location"]),
        optional(
            "pool",
            Kind::Named(&POOL),
            "short form",
            "{ api = { backends = [\"10.0.0.1:80\"] } }",
            "Full form: groups of backends that serve the same.",
        )
        .also_called(&["pools", "upstream", "cluster"]),
        optional(
            "redis",
            Kind::Table(&REDIS),
            "none",
            "{ address = \"127.0.0.1:6379\" }",
            "Where limits are counted that several processes share.",
        ),
        optional(
            "test",
            Kind::Tables(&TEST),
            "none",
            "[{ request = \"GET http://a.test/\", expect = { status = 200 } }]",
            "Requests and what must become of them, run by every check, start and reload.",
        )
        .also_called(&["tests"]),
    ],
};

pub(crate) static ADMIN: Table = Table {
    path: "admin",
    doc: "The admin listener. Without this table there is none.",
    keys: &[
        with_default(
            "listen",
            ADDRESS,
            "127.0.0.1:9900",
            "\"127.0.0.1:9900\"",
            "Where it listens. On an address that other machines reach, set `token`.",
        ),
        optional(
            "token",
            Kind::Secret,
            "one made at each start and left in a file that only the same user can read",
            "{ env = \"EVENKEEL_TOKEN\" }",
            "What a request that changes things must carry as `Authorization: Bearer TOKEN`. At least 16 characters. `evenkeel reload` finds it in the file, or the one made at the start where it was left.",
        ),
    ],
};

pub(crate) static LOG: Table = Table {
    path: "log",
    doc: "The access log, one line for each exchange, and the process's own log on standard error.",
    keys: &[
        with_default(
            "access",
            Kind::Word("\"off\", \"stdout\" or the path of a file", "^(off|stdout|.*[/.].*)$"),
            "stdout",
            "\"/var/log/evenkeel/access.log\"",
            "Where the access log goes. A file is appended to; its path holds a `/` or a `.`. Lines are lost, and counted, rather than traffic held up.",
        ),
        with_default(
            "format",
            Kind::Choice(&["json", "common", "text"], &[]),
            "json",
            "\"common\"",
            "The form of an access log line.",
        ),
        with_default(
            "level",
            Kind::Choice(&["error", "warn", "info", "debug", "trace"], &[]),
            "info",
            "\"warn\"",
            "How much the process tells about itself.",
        ),
    ],
};

pub(super) const ADDRESS: Kind = Kind::Word("an address and port", "^[^ /]*:[0-9]{1,5}$");
pub(super) const ADDRESSES: Kind = Kind::OneOrMany(&ADDRESS);
const NETWORK: Kind = Kind::Word("an address or a network", "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$");
pub(super) const NETWORKS: Kind = Kind::OneOrMany(&NETWORK);

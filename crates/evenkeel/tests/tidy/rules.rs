//! What each room never mentions, and why: the table, and how it is applied.

use crate::code::{Mention, mentions, strip};
use crate::{Fault, Source};

/// Names that must not be mentioned in some places.
struct Rule {
    /// Path prefixes the rule holds for.
    within: &'static [&'static str],
    /// Path prefixes below those that it does not hold for.
    except: &'static [&'static str],
    /// A run of path segments; `^` ties it to the beginning. `crate`, `self` and `super` are resolved first.
    names: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        within: &["crates/wire/src", "crates/policy/src"],
        except: &[],
        names: &[
            "^tokio",
            "^mio",
            "^socket2",
            "^libc",
            "^rustix",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
            "ToSocketAddrs",
            "std::fs",
            "std::process",
            "std::thread",
            "thread::spawn",
        ],
        why: "decides without I/O and without tasks",
    },
    Rule {
        within: &["crates/wire/src", "crates/policy/src"],
        except: &[],
        names: &["std::time::Instant", "std::time::SystemTime", "std::time::*", "Instant::now", "SystemTime::now"],
        why: "takes the clock as an argument",
    },
    Rule {
        within: &["crates/proxy/src", "crates/net/src"],
        // Lines are stamped with the wall clock, and tokens say by it until when they are good; deadlines never go by it (F18).
        except: &["crates/proxy/src/log.rs", "crates/proxy/src/filter/jwt.rs"],
        names: &["std::time::SystemTime", "std::time::*", "SystemTime::now"],
        why: "goes by the monotonic clock alone",
    },
    Rule {
        within: &["crates/wire/src", "crates/policy/src"],
        except: &[],
        names: &["Rng::new", "Rng::default", "^rand", "^getrandom", "thread_rng", "RandomState"],
        why: "takes its random numbers as an argument",
    },
    Rule {
        within: &["crates/wire/src", "crates/policy/src"],
        except: &[],
        names: &["std::env", "env::var", "env::vars", "^log", "^tracing", "std::io::stdout", "std::io::stderr"],
        why: "reads no environment and writes no log",
    },
    Rule {
        within: &["crates", "bench"],
        except: &["crates/net/src"],
        names: &["unsafe", "unsafe_code"],
        why: "unsafe has one address: crates/net",
    },
    Rule {
        within: &["crates/net/src"],
        except: &[],
        names: &["^wire", "^policy", "^config", "^proxy", "^control", "^http", "^httparse", "^hyper", "^h2"],
        why: "knows no HTTP and no configuration",
    },
    Rule {
        within: &["crates/config/src"],
        except: &[],
        names: &[
            "^tokio",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "lookup_host",
            "std::process",
            "fs::write",
            "File::create",
            "fs::create_dir_all",
            "fs::remove_file",
        ],
        why: "does no I/O but reading what the operator wrote",
    },
    Rule {
        within: &["crates/proxy/src"],
        except: &[],
        names: &["^control", "^serde", "^serde_json", "^toml", "^axum", "^hyper", "config::raw", "config::check"],
        why: "knows the checked model only: no control plane, no file format",
    },
    Rule {
        within: &["crates/proxy/src"],
        except: &[],
        names: &["std::fs", "tokio::fs", "fs::read", "fs::read_to_string", "File::open"],
        why: "reads no file",
    },
    Rule {
        within: &["crates/proxy/src"],
        except: &[],
        names: &["ToSocketAddrs", "to_socket_addrs", "lookup_host", "^hickory_resolver"],
        why: "resolves no name: control does, and publishes addresses",
    },
    Rule {
        within: &["crates/proxy/src/http", "crates/proxy/src/filter", "crates/proxy/src/upstream"],
        // A line has one order for all workers; only exchanges that wait, or end while others do, come to its lock.
        except: &["crates/proxy/src/upstream/queue.rs"],
        names: &["Mutex", "RwLock", "Condvar", "^parking_lot", "Semaphore"],
        why: "no lock between workers on the request path",
    },
    Rule {
        within: &["crates/proxy/src/filter"],
        except: &[],
        names: &["^crate::http", "^crate::upstream"],
        why: "a filter sees neither protocols nor upstream connections",
    },
    Rule {
        within: &["crates/proxy/src/upstream"],
        except: &[],
        names: &["^crate::http"],
        why: "upstream does not know which protocol asks",
    },
    Rule {
        within: &["crates/proxy/src/http/h1"],
        except: &[],
        names: &["^crate::http::h2", "^crate::http::h3"],
        why: "protocols see the exchange, never each other",
    },
    Rule {
        within: &["crates/proxy/src/http/h2"],
        except: &[],
        names: &["^crate::http::h1", "^crate::http::h3"],
        why: "protocols see the exchange, never each other",
    },
    Rule {
        within: &["crates/proxy/src/http/h3"],
        except: &[],
        names: &["^crate::http::h1", "^crate::http::h2"],
        why: "protocols see the exchange, never each other",
    },
    Rule {
        within: &["crates/control/src"],
        except: &[],
        names: &[
            "^proxy::http",
            "^proxy::filter",
            "^proxy::upstream",
            "^proxy::worker",
            "^proxy::accept",
            "^proxy::message",
            "^proxy::tls",
            "^proxy::l4",
            "^proxy::dns",
        ],
        why: "speaks to the data plane through its face only: Handle, Plan, Board, stats",
    },
    Rule {
        within: &["crates"],
        // What testkit prints is the output of a failing test.
        except: &["crates/evenkeel", "crates/testkit"],
        names: &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        why: "only the command line prints",
    },
    Rule {
        within: &["crates", "bench"],
        except: &["crates/evenkeel"],
        names: &["^anyhow"],
        why: "an error without a type stays in the binary",
    },
];

/// Where a source mentions what its room never does.
pub(crate) fn check(source: &Source) -> Vec<Fault> {
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.holds_for(&source.path)).collect();
    let module = module(&source.path);
    let mut faults = Vec::new();
    // Files of tests may look at the clock, print and sleep; that unsafe has one address holds for them too.
    let is_test = is_test(&source.path);
    for mention in mentions(&source.text) {
        let path = resolved(&module, &mention.path);
        for rule in rules.iter().filter(|rule| !is_test || rule.names.contains(&"unsafe")) {
            if rule.names.iter().any(|name| matches(name, &path)) {
                faults.push(fault(source, mention.line, format!("`{}` here: {}", mention.path.join("::"), rule.why)));
            }
        }
        if is_pure(&source.path) && !is_test && is_ambient_dice(&mention) {
            let what = format!("`{}` here: takes its random numbers as an argument", mention.path.join("::"));
            faults.push(fault(source, mention.line, what));
        }
    }
    if source.path.starts_with("crates/net/src") {
        faults.extend(unexplained_unsafe(source));
    }
    if source.path.starts_with("crates/proxy/src") && !is_under(&source.path, "crates/proxy/src/accept") {
        faults.extend(knows_several_protocols(source, &module));
    }
    if source.path == "crates/config/src/lib.rs" {
        let public = strip(&source.text).lines().position(|line| line.trim_start().starts_with("pub mod raw"));
        faults.extend(public.map(|at| fault(source, at + 1, "`raw` is private to config".to_owned())));
    }
    faults
}

impl Rule {
    fn holds_for(&self, path: &str) -> bool {
        let under = |prefixes: &[&str]| prefixes.iter().any(|prefix| is_under(path, prefix));
        under(self.within) && !under(self.except)
    }
}

/// Whether `path` is the folder, a file in it, or the file of that name (`http/h1/...` and `http/h1.rs`).
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
}

fn is_pure(path: &str) -> bool {
    path.starts_with("crates/wire/src") || path.starts_with("crates/policy/src")
}

/// A file that is compiled for tests only.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs")
}

/// The free functions of fastrand draw from a generator nobody passed in.
fn is_ambient_dice(mention: &Mention) -> bool {
    mention.path[0] == "fastrand" && mention.path.get(1).is_some_and(|name| name.starts_with(char::is_lowercase))
}

/// `crates/proxy/src/http/h1/mod.rs` → `["http", "h1"]`.
fn module(path: &str) -> Vec<String> {
    let inside = path.split_once("/src/").map_or("", |(_, inside)| inside).trim_end_matches(".rs");
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main" | "")) {
        parts.pop();
    }
    parts
}

/// Turns `self::` and `super::` into `crate::...`.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let up = path.iter().take_while(|name| *name == "super").count();
    let own = usize::from(path[0] == "self");
    if up + own == 0 {
        return path.to_vec();
    }
    let kept = module.len().saturating_sub(up);
    std::iter::once("crate")
        .chain(module[..kept].iter().map(String::as_str))
        .map(str::to_owned)
        .chain(path[up + own..].iter().cloned())
        .collect()
}

fn matches(name: &str, path: &[String]) -> bool {
    let (tied, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
    let parts: Vec<&str> = name.split("::").collect();
    let mut runs = path.windows(parts.len());
    if tied { runs.next().is_some_and(|run| run == parts) } else { runs.any(|run| run == parts) }
}

/// One protocol may be named by whoever serves it alone; whoever names a second one has become a second `accept`.
fn knows_several_protocols(source: &Source, module: &[String]) -> Option<Fault> {
    let mut first = None;
    for mention in mentions(&source.text) {
        let path = resolved(module, &mention.path);
        let Some(protocol) = ["h1", "h2", "h3"].into_iter().find(|name| matches(&format!("^crate::http::{name}"), &path)) else {
            continue;
        };
        if *first.get_or_insert(protocol) != protocol {
            return Some(fault(
                source,
                mention.line,
                format!("`{protocol}` next to `{}`: only accept knows all protocols", first?),
            ));
        }
    }
    None
}

/// Every unsafe block and impl says why it is sound, at most five lines above itself.
fn unexplained_unsafe(source: &Source) -> Vec<Fault> {
    let lines: Vec<&str> = source.text.lines().collect();
    let code = strip(&source.text);
    let mut faults = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let blocks = line
            .split("unsafe")
            .skip(1)
            .any(|rest| matches!(rest.trim_start(), r if r.starts_with('{') || r.starts_with("impl") || r.is_empty()));
        if blocks && !lines[at.saturating_sub(5)..=at].iter().any(|line| line.contains("SAFETY:")) {
            faults.push(fault(source, at + 1, "unsafe without `// SAFETY:`".to_owned()));
        }
    }
    faults
}

fn fault(source: &Source, line: usize, what: String) -> Fault {
    Fault { file: source.path.clone(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines found in a snippet that stands at `path`.
    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&Source { path: path.to_owned(), text: text.to_owned() }).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn the_pure_crates_touch_no_clock_socket_dice_environment_or_log() {
        for bad in [
            "use tokio::net::TcpListener;",
            "use std::{fmt, net::{IpAddr, TcpStream}};",
            "use std::time::{Duration, Instant};",
            "fn f() -> u64 { std::time::SystemTime::now() }",
            "fn f() { let now = Instant::now(); }",
            "fn f() -> u32 { fastrand::u32(..) }",
            "fn f() { let rng = fastrand::Rng::new(); }",
            "fn f() { let home = std::env::var(\"HOME\"); }",
            "fn f() { tracing::info!(\"x\"); }",
            "fn f() { log::warn!(\"x\"); }",
            "use std::fs;",
        ] {
            assert_eq!(found("crates/wire/src/h1/head.rs", bad).first(), Some(&1), "{bad}");
            assert_eq!(found("crates/policy/src/health.rs", bad).first(), Some(&1), "{bad}");
        }
        let good = "use std::net::IpAddr;\nuse std::time::Duration;\nfn f(rng: &mut fastrand::Rng, now: Duration) {}\n\
                    #[cfg(test)]\nmod tests { fn t() { std::time::Instant::now(); fastrand::Rng::new(); } }";
        assert_eq!(found("crates/policy/src/health.rs", good), []);
        assert_eq!(found("crates/policy/tests/figures.rs", "use std::time::Instant;"), []);
    }

    #[test]
    fn unsafe_stands_in_net_only_and_says_why() {
        let bad = "\nfn f() { unsafe { x() } }";
        assert_eq!(found("crates/proxy/src/worker.rs", bad), [2]);
        assert_eq!(found("crates/proxy/tests/e2e.rs", bad), [2]);
        assert_eq!(found("bench/src/main.rs", "#![allow(unsafe_code)]"), [1]);
        assert_eq!(found("crates/net/src/dial.rs", bad), [2]);
        assert_eq!(found("crates/net/src/dial.rs", "\n// SAFETY: x has no precondition.\nunsafe { x() }"), []);
        assert_eq!(found("crates/proxy/src/worker.rs", "// unsafe\nconst T: &str = \"unsafe\";"), []);
    }

    #[test]
    fn config_keeps_its_raw_form_and_does_no_network_io() {
        assert_eq!(found("crates/config/src/lib.rs", "\npub mod raw;"), [2]);
        assert_eq!(found("crates/config/src/lib.rs", "mod raw;\npub mod model;"), []);
        assert_eq!(found("crates/config/src/check/mod.rs", "use tokio::fs;"), [1]);
        assert_eq!(found("crates/config/src/load.rs", "fn f() { std::fs::read_to_string(path); }"), []);
    }

    #[test]
    fn proxy_knows_neither_control_nor_files_nor_names() {
        for bad in [
            "use control::reload;",
            "use serde::Deserialize;",
            "use config::raw::Listener;",
            "fn f() { std::fs::read(path); }",
            "fn f() { name.to_socket_addrs(); }",
            "fn f() { tokio::net::lookup_host(name); }",
        ] {
            assert_eq!(found("crates/proxy/src/worker.rs", bad), [1], "{bad}");
        }
        assert_eq!(found("crates/proxy/src/plan/mod.rs", "use config::model::Config;"), []);
    }

    #[test]
    fn rooms_of_the_proxy_import_one_way() {
        for (path, bad) in [
            ("filter/mod.rs", "use crate::http::exchange;"),
            ("filter/headers.rs", "use super::super::upstream::Pick;"),
            ("upstream/pick.rs", "use crate::{board::Board, http::head};"),
            ("http/h1.rs", "use super::h2::Frame;"),
            ("http/h2/mod.rs", "use super::h1;"),
            ("http/h3/mod.rs", "use crate::http::h1;"),
            ("worker.rs", "use crate::http::{h1, h2};"),
            ("http/exchange.rs", "use super::{h1::Connection, h3};"),
            ("upstream/idle.rs", "use std::sync::Mutex;"),
            ("http/exchange.rs", "fn f(x: &tokio::sync::RwLock<u8>) {}"),
        ] {
            assert_eq!(found(&format!("crates/proxy/src/{path}"), bad), [1], "{path}: {bad}");
        }
        for (path, good) in [
            ("accept.rs", "use crate::http::{h1, h2, h3};"),
            ("worker.rs", "use crate::http::h1::Scratch;\nuse wire::h2::Frame;"),
            ("http/h1/mod.rs", "use super::exchange;\nuse wire::h1::Request;"),
            ("http/exchange.rs", "use crate::upstream::pick;\nuse crate::filter;"),
        ] {
            assert_eq!(found(&format!("crates/proxy/src/{path}"), good), [], "{path}: {good}");
        }
    }

    #[test]
    fn control_sees_the_face_of_the_proxy_only() {
        assert_eq!(found("crates/control/src/reload.rs", "use proxy::upstream::Idle;"), [1]);
        assert_eq!(found("crates/control/src/reload.rs", "use proxy::{Handle, Plan, Board, stats};"), []);
    }

    #[test]
    fn only_the_binary_prints_and_forgets_the_type_of_an_error() {
        assert_eq!(found("crates/control/src/admin.rs", "fn f() { println!(\"x\"); }"), [1]);
        assert_eq!(found("crates/evenkeel/src/demo.rs", "fn f() { println!(\"x\"); }"), []);
        assert_eq!(found("crates/control/src/admin.rs", "use anyhow::Context;"), [1]);
        assert_eq!(found("crates/evenkeel/src/boot.rs", "use anyhow::Context;"), []);
    }
}

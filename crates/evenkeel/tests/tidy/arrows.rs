//! Which crate may depend on which, read from the manifests; and the least versions with no known advisory.

use crate::Fault;
use toml::{Table, Value};

/// A crate, the crates of ours it may import, and foreign ones it must not.
struct Floor {
    name: &'static str,
    may: &'static [&'static str],
    never: &'static [&'static str],
}

const SOCKETS_AND_LOGS: &[&str] =
    &["tokio", "mio", "socket2", "libc", "rustix", "rand", "getrandom", "log", "tracing", "hyper", "axum", "serde", "toml"];

const FLOORS: &[Floor] = &[
    Floor { name: "wire", may: &[], never: SOCKETS_AND_LOGS },
    Floor { name: "policy", may: &[], never: SOCKETS_AND_LOGS },
    Floor { name: "net", may: &[], never: &["http", "httparse", "hyper", "h2", "serde", "toml", "axum"] },
    Floor { name: "config", may: &["policy"], never: &["tokio", "mio", "socket2", "hyper", "axum"] },
    Floor {
        name: "proxy",
        may: &["config", "policy", "wire", "net"],
        never: &["serde", "serde_json", "toml", "hyper", "axum", "pingora", "hickory-resolver"],
    },
    Floor { name: "control", may: &["proxy", "config", "policy", "wire"], never: &[] },
    Floor { name: "evenkeel", may: &["control", "proxy", "config", "policy", "wire", "net"], never: &[] },
    Floor { name: "testkit", may: &["wire", "policy"], never: &[] },
    Floor { name: "bench", may: &[], never: &[] },
];

/// Test code may look one floor deeper than the crate itself.
const FOR_TESTS: &[(&str, &[&str])] = &[("evenkeel", &["wire", "policy"])];

/// Least version, and the advisory or reason behind it.
const LEAST: &[(&str, (u64, u64, u64))] = &[
    ("h2", (0, 4, 18)),
    ("quinn-proto", (0, 11, 15)),
    ("rustls", (0, 23, 18)),
    ("rustls-webpki", (0, 103, 13)),
    ("hickory-proto", (0, 26, 1)),
];

/// No longer kept up; their successors are known.
const ABANDONED: &[&str] = &["rustls-pemfile"];

/// Where a manifest imports what its floor may not.
pub(crate) fn check(path: &str, text: &str) -> Vec<Fault> {
    let fault = |what: String| Fault { file: path.to_owned(), line: 1, what };
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![fault(format!("no TOML: {error}"))],
    };
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or("");
    let Some(floor) = FLOORS.iter().find(|floor| floor.name == name) else {
        return vec![fault(format!("crate `{name}` stands on no floor: say in ARCHITECTURE.md and here what it never does"))];
    };
    let mut faults = Vec::new();
    for (depended, only_tests) in dependencies(&manifest) {
        let ours = FLOORS.iter().any(|floor| floor.name == depended);
        let allowed = match depended.as_str() {
            "testkit" => only_tests,
            "anyhow" => name == "evenkeel",
            _ if ours => floor.may.contains(&depended.as_str()) || (only_tests && may_in_tests(name, &depended)),
            _ => only_tests || !floor.never.contains(&depended.as_str()),
        };
        if !allowed {
            faults.push(fault(format!("`{name}` must not depend on `{depended}`")));
        }
    }
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    if lints != Some(true) {
        faults.push(fault("the lints of the workspace are not switched on".to_owned()));
    }
    faults
}

/// Packages in the lock file that are too old or abandoned.
pub(crate) fn check_lock(text: &str) -> Vec<Fault> {
    let fault = |what: String| Fault { file: "Cargo.lock".to_owned(), line: 1, what };
    let lock: Table = match text.parse() {
        Ok(lock) => lock,
        Err(error) => return vec![fault(format!("no TOML: {error}"))],
    };
    let mut faults = Vec::new();
    for package in lock.get("package").and_then(Value::as_array).into_iter().flatten() {
        let field = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or("");
        let (name, version) = (field("name"), field("version"));
        if ABANDONED.contains(&name) {
            faults.push(fault(format!("`{name}` is abandoned")));
        }
        if let Some((_, least)) = LEAST.iter().find(|(known, _)| *known == name)
            && numbers(version) < *least
        {
            faults.push(fault(format!("`{name}` {version} has known advisories; at least {least:?} is needed")));
        }
    }
    faults
}

fn may_in_tests(name: &str, depended: &str) -> bool {
    FOR_TESTS.iter().any(|(known, may)| *known == name && may.contains(&depended))
}

/// Names of what a manifest depends on, renamed ones by their real name; true for those of tests only.
fn dependencies(manifest: &Table) -> Vec<(String, bool)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets.into_iter().flatten().filter_map(|(_, table)| table.as_table()));
    let mut found = Vec::new();
    for table in tables {
        for (section, only_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                found.push((name.to_owned(), only_tests));
            }
        }
    }
    found
}

fn numbers(version: &str) -> (u64, u64, u64) {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, rest: &str) -> usize {
        check("Cargo.toml", &format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}")).len()
    }

    #[test]
    fn an_arrow_that_runs_back_up_is_found() {
        assert_eq!(faults("policy", "[dependencies]\nwire.workspace = true"), 1);
        assert_eq!(faults("wire", "[dependencies]\nconfig.workspace = true"), 1);
        assert_eq!(faults("proxy", "[dependencies]\ncontrol = { path = \"../control\" }"), 1);
        assert_eq!(faults("control", "[dependencies]\nnet.workspace = true"), 1);
        assert_eq!(faults("proxy", "[dependencies]\nconfig.workspace = true\nwire.workspace = true"), 0);
    }

    #[test]
    fn an_arrow_is_found_under_a_new_name_a_target_or_a_build_script() {
        assert_eq!(faults("proxy", "[dependencies]\nplane = { package = \"control\", path = \"../control\" }"), 1);
        assert_eq!(faults("proxy", "[target.'cfg(unix)'.dependencies]\ncontrol.workspace = true"), 1);
        assert_eq!(faults("proxy", "[build-dependencies]\nserde = \"1\""), 1);
    }

    #[test]
    fn foreign_crates_stay_out_of_the_rooms_that_exclude_them() {
        assert_eq!(faults("wire", "[dependencies]\ntokio = \"1\"\ntracing = \"0.1\""), 2);
        assert_eq!(faults("proxy", "[dependencies]\nserde_json.workspace = true"), 1);
        assert_eq!(faults("control", "[dependencies]\nanyhow = \"1\""), 1);
        assert_eq!(faults("evenkeel", "[dependencies]\nanyhow = \"1\""), 0);
    }

    #[test]
    fn the_testkit_is_for_tests() {
        assert_eq!(faults("proxy", "[dev-dependencies]\ntestkit.workspace = true"), 0);
        assert_eq!(faults("proxy", "[dependencies]\ntestkit.workspace = true"), 1);
    }

    #[test]
    fn a_crate_nobody_planned_is_found_and_so_are_missing_lints() {
        assert_eq!(faults("util", ""), 1);
        assert_eq!(check("Cargo.toml", "[package]\nname = \"wire\"").len(), 1);
    }

    #[test]
    fn old_and_abandoned_packages_are_found() {
        let lock = |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        assert_eq!(check_lock(&lock("h2", "0.4.17")).len(), 1);
        assert_eq!(check_lock(&lock("h2", "0.4.18")).len(), 0);
        assert_eq!(check_lock(&lock("rustls-webpki", "0.103.9")).len(), 1);
        assert_eq!(check_lock(&lock("rustls-pemfile", "2.2.0")).len(), 1);
    }
}

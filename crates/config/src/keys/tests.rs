//! The tables are true: every key is read, its example is legal, its default is the one the rest of the house has.
#![allow(clippy::unwrap_used)]

use super::*;

/// A file around one line of `table`, and whatever else that line needs.
fn file(table: &Table, key: &Key, value: &str) -> String {
    let others = table.keys.iter().filter(|other| matches!(other.default, Default::Required) && other.name != key.name);
    let mut lines: Vec<String> = others.map(|other| format!("{} = {}", other.name, other.example)).collect();
    let http_probe = table.path == HEALTH.path && matches!(key.name, "host" | "status" | "body" | "expect" | "degraded");
    lines.extend(http_probe.then(|| "path = \"/\"".to_owned()));
    let value = value.replace("checks.pem", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ca.pem"));
    if table.path == REWRITE.path && matches!(key.name, "regex" | "to") {
        lines.push(if key.name == "to" { "regex = \"^/(x)\"" } else { "to = \"/u/\"" }.to_owned());
    }
    if table.path == CORS.path && key.name == "credentials" {
        lines.push("origins = \"https://a\"".to_owned());
    }
    lines.push(format!("{} = {value}", key.name));
    let lines = lines.join("\n");

    let short = "listen = \":80\"\nbackends = [\"a\"]\n";
    let listener = "[listener.NAME]\nlisten = \":80\"\n";
    let pool = "[pool.api]\nbackends = [\"a\"]\n";
    let store = "[redis]\naddress = \"a\"\n";
    let route = "[[route]]\npool = \"api\"\n";
    match table.path {
        "" if FULL.contains(&key.name) => {
            let parts =
                [("listener", listener), ("route", route), ("pool", pool)].into_iter().filter(|(part, _)| *part != key.name);
            lines + "\n" + &parts.map(|(_, text)| text).collect::<String>()
        }
        "" => match key.name {
            "listen" => format!("{lines}\nbackends = [\"a\"]"),
            "backends" => format!("{lines}\nlisten = \":80\""),
            _ => format!("{short}{lines}"),
        },
        "admin" | "log" | "redis" => format!("{short}[{}]\n{lines}", table.path),
        "listener.NAME" => format!("[listener.NAME]\n{lines}\n{route}{pool}"),
        path if path.starts_with("listener") => {
            format!("{listener}[{path}]\n{lines}\n{route}{pool}")
        }
        "route" if matches!(key.name, "respond" | "redirect") => {
            format!("{listener}[[route]]\n{lines}\n{pool}")
        }
        "route" if key.name == "cohort" => format!("{listener}[[route]]\npools = [{{ pool = \"api\" }}]\n{lines}\n{pool}"),
        "route.pools" => format!("{listener}[[route]]\n[[route.pools]]\n{lines}\n{pool}"),
        "route" if matches!(key.name, "pool" | "pools") => format!("{listener}[[route]]\n{lines}\n{pool}"),
        "route" => format!("{listener}{route}{lines}\n{pool}"),
        "route.respond" | "route.redirect" => {
            format!("{listener}[[route]]\n[{}]\n{lines}\n{pool}", table.path)
        }
        "route.rate_limit" => format!("{listener}{route}[{}]\n{lines}\n{pool}{store}", table.path),
        path if path.starts_with("route") => format!("{listener}{route}[{path}]\n{lines}\n{pool}"),
        "pool.NAME" => format!("{listener}{route}[pool.api]\n{lines}"),
        "pool.NAME.backends" => {
            format!("{listener}{route}[pool.api]\n[[pool.api.backends]]\n{lines}")
        }
        "test" => format!("{listener}{route}{pool}[[test]]\n{lines}"),
        "test.expect" => format!("{listener}{route}{pool}[[test]]\nrequest = \"GET http://a/\"\n[test.expect]\n{lines}"),
        path => format!("{listener}{route}{pool}[{}]\n{lines}", path.replace("NAME", "api")),
    }
}

const FULL: [&str; 3] = ["listener", "route", "pool"];

fn served() -> impl Iterator<Item = (&'static Table, &'static Key)> {
    TABLES.iter().flat_map(|table| table.keys.iter().map(move |key| (*table, key))).filter(|(_, key)| !key.is_planned())
}

#[test]
fn every_example_is_legal() {
    for (table, key) in served() {
        // What the environment of a test does not hold.
        if key.example.contains("env =") {
            continue;
        }
        let text = file(table, key, key.example);
        if let Err(report) = crate::parse("evenkeel.toml", &text) {
            panic!("[{}] {}:\n{report}\n{text}", table.path, key.name);
        }
    }
}

#[test]
fn every_key_is_read() {
    for (table, key) in served() {
        // No key takes a date.
        let text = file(table, key, "1979-05-27");
        let report = crate::parse("evenkeel.toml", &text).expect_err(&text);
        let at = text.find("1979").unwrap();
        assert!(report.faults().iter().any(|fault| fault.span.start == at), "[{}] {} is not read:\n{text}", table.path, key.name);
    }
}

#[test]
fn every_planned_key_is_refused_as_such() {
    for table in TABLES {
        for key in table.keys.iter().filter(|key| key.is_planned()) {
            let text = file(table, key, "1");
            let report = crate::parse("evenkeel.toml", &text).expect_err(&text);
            assert!(report.to_string().contains(&format!("`{}` is part of the language but not served", key.name)), "{report}");
        }
    }
}

#[test]
fn names_and_aliases_are_unambiguous_and_documented() {
    for table in TABLES {
        let mut names: Vec<_> = table.keys.iter().map(|key| key.name).collect();
        names.extend(table.keys.iter().flat_map(|key| key.aliases).filter(|alias| table.key(alias).is_none()));
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1], "in [{}]", table.path);
        }
        assert!(table.keys.iter().all(|key| key.doc.ends_with('.')), "[{}]", table.path);
    }
}

#[test]
fn defaults_are_those_of_policy() {
    let config = crate::parse("evenkeel.toml", "listen = ':80'\nbackends = ['a']").unwrap();
    let pool = &config.pools[0];
    assert_eq!(pool.health.params, policy::health::Params::default());
    assert_eq!(pool.retry, policy::retry::Retry::default());
    assert_eq!(pool.balance, policy::balance::Balance::default());
}

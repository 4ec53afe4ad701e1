//! The reference of the language, `docs/reference.md`: every key with what it takes, its default and what it does.

use std::fmt::Write as _;

use crate::keys::{Default, Key, Kind, TABLES, Table};

const HEAD: &str = "# Configuration reference

<!-- Generated from the key tables in crates/config/src/keys; `UPDATE_GOLDEN=1 cargo test -p config` writes it anew. -->

One TOML file. Every key is listed here with what it takes, what holds without it, and an example. Unknown keys, wrong units and
contradictions are errors, all of them reported at once; `evenkeel check FILE` shows them. The least that serves:

```toml
listen   = \"0.0.0.0:8000\"
backends = [\"127.0.0.1:8001\", \"127.0.0.1:8002\"]
```

The same in the full form, which has room for more:

```toml
[listener.web]
listen = \"0.0.0.0:8000\"

[[route]]
pool = \"app\"

[pool.app]
backends = [\"127.0.0.1:8001\", \"127.0.0.1:8002\"]
```

| what | written as |
|---|---|
| duration | `\"250ms\"` `\"5s\"` `\"1m30s\"` `\"1h\"`, units us, ms, s, m, h and d |
| size | `\"512B\"` `\"16KiB\"` `\"1MiB\"`, also kB, MB and GB |
| rate | `\"100/s\"` `\"10/m\"` `\"5000/h\"` |
| percentage | `\"50%\"` |
| any string | also `{ env = \"NAME\" }` or `{ file = \"path\" }`, a path being relative to the configuration; such values are never shown |
";

/// The reference as Markdown, equal to `docs/reference.md`.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for table in TABLES {
        section(&mut page, table);
    }
    page
}

fn section(page: &mut String, table: &Table) {
    let title = match table.path {
        "" => "The top level".to_owned(),
        "route" => "`[[route]]`".to_owned(),
        path => format!("`[{path}]`"),
    };
    put(page, format_args!("\n## {title}\n\n{}\n", table.doc));
    put(page, format_args!("\n| key | takes | default | |\n|---|---|---|---|\n"));
    for key in table.keys.iter().filter(|key| !key.is_planned()) {
        row(page, key);
    }
    let planned: Vec<_> = table.keys.iter().filter(|key| key.is_planned()).collect();
    if !planned.is_empty() {
        put(page, format_args!("\nPart of the language, but not served by this version and so refused:\n\n"));
        for key in planned {
            put(page, format_args!("- `{}`: {}\n", key.name, key.doc));
        }
    }
}

fn row(page: &mut String, key: &Key) {
    let default = match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Is("") => "`\"\"`".to_owned(),
        Default::Is(default) if matches!(key.kind, Kind::Flag | Kind::Integer(..)) => {
            format!("`{default}`")
        }
        Default::Is(default) => format!("`\"{default}\"`"),
        Default::Words(words) => words.to_owned(),
    };
    let takes = takes(&key.kind);
    let cells = [format!("`{}`", key.name), takes, default, format!("{} Example: `{} = {}`.", key.doc, key.name, key.example)];
    // A bar in a cell would end it.
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    put(page, format_args!("| {} |\n", cells.join(" | ")));
}

fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Duration(min, max) => format!("a duration from {min} to {max}"),
        Kind::Size(min, max) => format!("a size from {min} to {max}"),
        Kind::Array(item) => format!("an array, each item {}", takes(item)),
        Kind::OneOrMany(item) => format!("{} or an array of them", takes(item)),
        Kind::Map(entry) => format!("a table of names, each value {}", takes(entry)),
        Kind::Table(table) => format!("a table as `[{}]`", table.path),
        Kind::Either(kinds) => kinds.iter().map(takes).collect::<Vec<_>>().join(" or "),
        kind => kind.describe(),
    }
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes whatever is written to it");
}

//! The JSON schema of the language, for editors: completion, ranges and the documentation of a key under the pointer.
//!
//! It comes from the same tables as the parser. It says what can be said of one key alone; what contradicts across keys only
//! [`crate::parse`] finds. Planned keys are left out, so an editor marks them as the parser does.

use serde_json::{Map, Value, json};

use crate::keys::{Default, Key, Kind, ROOT, Table};

/// The schema (JSON Schema draft 2020-12), indented, with a newline at its end.
pub fn schema() -> String {
    let mut schema = table(&ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Evenkeel configuration");
    format!("{schema:#}\n")
}

fn table(table: &Table) -> Value {
    let keys = || table.keys.iter().filter(|key| !key.is_planned());
    let properties: Map<String, Value> = keys().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = keys().filter(|key| matches!(key.default, Default::Required)).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] = json!(key.doc);
    if let Default::Is(default) = key.default {
        schema["default"] = match key.kind {
            // These are written as TOML writes them, which is as JSON does.
            Kind::Flag | Kind::Integer(..) => serde_json::from_str(default).unwrap_or(Value::Null),
            _ => json!(default),
        };
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Secret => text(""),
        Kind::Word(_, pattern) => text(pattern),
        Kind::Choice(served, _) => json!({ "anyOf": [{ "enum": served }, fetched()] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Off => json!({ "const": false }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Duration(..) => text("^([0-9.]+(d|h|m|s|ms|us))+$"),
        Kind::Size(..) => text("^[0-9.]+(B|[KMGT]iB|[kMGT]B)$"),
        Kind::ByteRate => text("^[0-9.]+(B|[KMGT]iB|[kMGT]B)/s$"),
        Kind::Rate => text("^[0-9]+/[smh]$"),
        Kind::Percent => text("^[0-9.]+%$"),
        Kind::Array(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::OneOrMany(item) => {
            json!({ "anyOf": [self::kind(item), { "type": "array", "items": self::kind(item) }] })
        }
        Kind::Map(entry) => json!({ "type": "object", "additionalProperties": self::kind(entry) }),
        Kind::Table(table) => self::table(table),
        Kind::Tables(table) => json!({ "type": "array", "items": self::table(table) }),
        Kind::Named(table) => {
            json!({ "type": "object", "additionalProperties": self::table(table) })
        }
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
        Kind::Planned => json!(false),
    }
}

/// A string of that form, or one that is fetched.
fn text(pattern: &str) -> Value {
    let written = if pattern.is_empty() { json!({ "type": "string" }) } else { json!({ "type": "string", "pattern": pattern }) };
    json!({ "anyOf": [written, fetched()] })
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
fn fetched() -> Value {
    json!({
        "type": "object",
        "properties": { "env": { "type": "string" }, "file": { "type": "string" } },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}

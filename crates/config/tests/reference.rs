//! `docs/reference.md` and the schema are what the key tables say.
#![allow(clippy::unwrap_used)]

use serde_json::Value;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md");
const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/good");

#[test]
fn the_reference_in_docs_is_the_generated_one() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(REFERENCE, config::reference()).unwrap();
    }
    let kept = std::fs::read_to_string(REFERENCE).unwrap_or_default();
    assert!(kept == config::reference(), "docs/reference.md is out of date: UPDATE_GOLDEN=1 cargo test -p config");
}

#[test]
fn every_good_file_is_valid_by_the_schema() {
    let schema: Value = serde_json::from_str(&config::schema()).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(GOOD).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let file: toml::Value = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            if let Err(why) = valid(&schema, &serde_json::to_value(file).unwrap(), "") {
                panic!("{}: {why}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 15);
}

#[test]
fn the_schema_refuses_misspelt_keys_wrong_units_and_planned_parts() {
    let schema: Value = serde_json::from_str(&config::schema()).unwrap();
    for text in [
        "lisen = ':80'",
        "listen = 80",
        "shutdown = '30'",
        "shutdown = 30",
        "workers = 0",
        "[pool.web]\nbalance = 'random'",
        "[pool.web]\nbackends = ['a']\ntls = {}",
        "[pool.web]\nbackends = ['a']\nhealth = true",
        "[[route]]\nmatch = { path = 'api' }",
        "[listener.web]\nlisten = ':80'\nprotocol = 'tcp'",
        "[admin]\ntoken = { env = 'A', file = 'b' }",
    ] {
        let value: toml::Value = toml::from_str(text).unwrap();
        assert!(valid(&schema, &serde_json::to_value(value).unwrap(), "").is_err(), "{text}");
    }
}

/// Whether `value` is valid, by the words that our schema uses; any other word is a failure of this test.
fn valid(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (word, wanted) in schema.as_object().unwrap() {
        let holds = match word.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" => is_of_type(value, wanted.as_str().unwrap()),
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "pattern" => value.as_str().is_none_or(|text| regex::Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|object| object.len() as u64 >= wanted.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|object| object.len() as u64 <= wanted.as_u64().unwrap()),
            "required" => value
                .as_object()
                .is_none_or(|object| wanted.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))),
            "anyOf" => wanted.as_array().unwrap().iter().any(|one| valid(one, value, at).is_ok()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    valid(wanted, item, at)?;
                }
                true
            }
            "properties" | "additionalProperties" => {
                members(schema, value, at)?;
                true
            }
            other => panic!("the schema uses `{other}`, which this test does not know"),
        };
        if !holds {
            return Err(format!("{at}: {value} does not hold to {word}: {wanted}"));
        }
    }
    Ok(())
}

fn members(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (schema.get("properties").and_then(|properties| properties.get(name)), schema.get("additionalProperties")) {
            (Some(property), _) => valid(property, member, &at)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{at} is unknown")),
            (None, Some(additional)) => valid(additional, member, &at)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the schema uses the type `{other}`, which this test does not know"),
    }
}

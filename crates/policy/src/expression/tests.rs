//! Expressions as users write them, over an answer and a request made up for it.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// An answer with this JSON body, and a request with one header, cookie and parameter.
struct Example {
    body: String,
    json: serde_json::Value,
}

impl Facts for Example {
    fn value(&self, variable: Variable) -> Value<'_> {
        match variable {
            Variable::Method => Value::text("GET"),
            Variable::Host => Value::text("shop.example.com"),
            Variable::Path => Value::text("/v2/items/7"),
            Variable::ClientIp => Value::text("10.1.2.3"),
            Variable::Status => Value::Int(200),
            Variable::Body => Value::text(&self.body),
            Variable::Json => Value::json(&self.json),
            Variable::LatencyMs => Value::Double(12.5),
            Variable::Query | Variable::Headers | Variable::Cookies => Value::Fields(variable),
        }
    }

    fn field(&self, of: Variable, name: &str) -> Option<Cow<'_, str>> {
        match (of, name.to_ascii_lowercase().as_str()) {
            (Variable::Headers, "x-user") => Some("ann".into()),
            (Variable::Cookies, "sid") => Some("s1".into()),
            (Variable::Query, "id") => Some("7".into()),
            _ => None,
        }
    }
}

fn example() -> Example {
    let json = json!({
        "status": "degraded", "cpu_usage": 45.5, "memory_usage": 80, "big": 18_446_744_073_709_551_615u64,
        "checks": [{ "name": "db", "ok": true }, { "name": "disk", "ok": false }], "none": null,
    });
    Example { body: json.to_string(), json }
}

fn result(text: &str, scope: Scope) -> Result<String, String> {
    let expression = Expression::compile(text, scope).map_err(|fault| fault.message)?;
    let example = example();
    let value = expression.evaluate(&example).map_err(|error| error.to_string())?;
    Ok(value.shown())
}

fn answer(text: &str) -> String {
    result(text, Scope::Answer).unwrap_or_else(|error| format!("error: {error}"))
}

#[test]
fn numbers_compare_whatever_their_form() {
    for truth in [
        "json.cpu_usage <= 90 && json.memory_usage <= 95",
        "json.cpu_usage == 45.5",
        "json.memory_usage == 80.0",
        "status == 200 && latency_ms < 13 && latency_ms > 12",
        "json.big > 9223372036854775807.0",
        "1 + 2 * 3 == 7 && 7 / 2 == 3 && 7 % 2 == 1 && -3 < 0 && 1.5 * 2 == 3.0",
        "0x10 == 16 && 5u == 5",
        "'a' < 'b' && 'ab' + 'c' == 'abc'",
        "1 != 'one' && null == json.none",
    ] {
        assert_eq!(answer(truth), "true", "{truth}");
    }
}

#[test]
fn maps_and_lists_are_looked_into() {
    for truth in [
        "json.checks.exists(c, c.name == 'disk' && !c.ok)",
        "json.checks.filter(c, c.ok).map(c, c.name) == ['db']",
        "!json.checks.all(c, c.ok) && json.checks.exists_one(c, c.ok)",
        "size(json.checks) == 2 && size('äö') == 2 && size({'a': 1}) == 1",
        "has(json.status) && !has(json.other) && 'status' in json && !('x' in json)",
        "status in [200, 204] && !(status in [500])",
        "{'degraded': 1, 'ok': 0}[json.status] == 1",
        "json['checks'][1].name.startsWith('di')",
        "'x-user' in headers && headers['X-User'] == 'ann' && !('x-other' in headers)",
        "json.status == 'degraded' ? true : false",
        "body.contains('degraded') && body.matches('\"cpu_usage\": *[0-9]') && body.endsWith('}')",
    ] {
        assert_eq!(answer(truth), "true", "{truth}");
    }
    assert_eq!(answer("json.checks.map(c, c.ok)[0]"), "true");
}

#[test]
fn requests_are_keyed_by_anything_in_them() {
    let key = |text: &str| {
        let expression = Expression::compile(text, Scope::Request).unwrap();
        let example = example();
        expression.evaluate(&example).ok().and_then(Value::into_key).map(Cow::into_owned)
    };
    assert_eq!(key("headers['x-user'] + '/' + cookies.sid").unwrap(), "ann/s1");
    assert_eq!(key("path.split('/')[1]").unwrap(), "v2");
    assert_eq!(key("'x-tenant' in headers ? headers['x-tenant'] : client_ip").unwrap(), "10.1.2.3");
    assert_eq!(key("int(query.id) % 4").unwrap(), "3");
    assert_eq!(key("client_ip.substring(0, 4) + method + host.upperAscii().substring(0,4)").unwrap(), "10.1GETSHOP");
    assert_eq!(key("headers['x-tenant']"), None);
    assert_eq!(key("headers"), None);
}

#[test]
fn what_has_no_value_says_why() {
    assert_eq!(answer("json.other > 1"), "error: there is no `other`");
    assert_eq!(answer("json.status > 1"), "error: a text can't be compared with a number");
    assert_eq!(answer("status.x"), "error: a number has no `x`");
    assert_eq!(answer("1 / 0"), "error: division by zero");
    assert_eq!(answer("9223372036854775807 + 1"), "error: a number is too large");
    assert_eq!(answer("json.checks[7]"), "error: there is no item 7");
    assert_eq!(answer("headers.all(h, true)"), "error: this map can only be asked for names");
    assert_eq!(answer("body.substring(5, 2)"), "error: there is no character 5 to 2 of the text");
    assert_eq!(
        Expression::compile("json.status", Scope::Answer).unwrap().holds(&example()).unwrap_err().to_string(),
        "it is a text, neither true nor false"
    );
}

#[test]
fn one_side_that_decides_makes_the_others_error_irrelevant() {
    assert_eq!(answer("json.other > 1 || status == 200"), "true");
    assert_eq!(answer("json.other > 1 && status == 500"), "false");
    assert_eq!(answer("[1, 'a', 3].exists(x, x > 2)"), "true");
    assert_eq!(answer("[1, 'a'].exists(x, x > 2)"), "error: a text can't be compared with a number");
}

#[test]
fn faults_point_at_their_place() {
    let fault = |text: &str| {
        let fault = Expression::compile(text, Scope::Answer).unwrap_err();
        (text[fault.at.clone()].to_owned(), fault.at.start, fault.message, fault.hint)
    };
    let found = |text, at, message: &str, hint: &str| (String::from(text), at, message.to_owned(), hint.to_owned());
    assert_eq!(fault("'ä' == 'x' && stats == 200"), found("stats", 15, "there is no variable `stats`", ""));
    let unknown = Expression::compile("path == '/'", Scope::Answer).unwrap_err().unknown.unwrap();
    assert_eq!((unknown.word.as_str(), unknown.known), ("path", vec!["status", "headers", "body", "json", "latency_ms"]));
    assert_eq!(fault("status = 200"), found("=", 7, "a single `=` compares nothing", "equality is `==`"));
    assert_eq!(fault("status == 200 &&\n 'ä' = 1").1, 23, "in bytes, over lines");
    assert_eq!(fault("size(stats, 'ä')").0, "stats");
    assert_eq!(fault("status == "), found("", 10, "the expression ends too early", ""));
    assert_eq!(fault(" ").2, "the expression is empty");
    assert_eq!(fault("status == 200 && body.contain('x')"), found("contain", 22, "there is no function `contain`", ""));
    assert_eq!(fault("body.contains()").2, "`contains` is called with the wrong number of arguments");
    assert_eq!(fault("body.matches(headers.x)").2, "`matches` takes a pattern that is written out");
    let (text, _, message, _) = fault("body.matches('[a')");
    assert_eq!((text.as_str(), message.as_str()), ("'[a'", "this pattern is no regular expression: unclosed character class"));
    assert_eq!(fault("b'x' == b'y'").2, "bytes are not part of this language");
    assert_eq!(fault(&"x".repeat(LONGEST + 1)).2, "the expression is longer than 2048 bytes");
}

#[test]
fn no_nesting_exhausts_the_stack() {
    for text in [
        "1+".repeat(LONGEST / 2 - 1) + "1",
        "(".repeat(LONGEST / 2 - 1) + "1" + &")".repeat(LONGEST / 2 - 1),
        "[".repeat(LONGEST / 2 - 1) + &"]".repeat(LONGEST / 2 - 1),
        "json".to_owned() + &".a".repeat(LONGEST / 2 - 4),
        "1<2?".repeat(400) + "1" + &":1".repeat(200),
        "(".repeat(LONGEST - 1),
    ] {
        assert!(Expression::compile(&text, Scope::Answer).is_err(), "{}", &text[..20]);
    }
}

#[test]
fn an_evaluation_ends_within_its_steps() {
    let long = "x".repeat(64 * 1024);
    let many: Vec<u32> = (0..500).collect();
    let example = Example { body: long, json: json!(many) };
    let run = |text: &str| Expression::compile(text, Scope::Answer).unwrap().evaluate(&example).map(|value| value.shown());
    assert_eq!(run("json.all(a, a < 500)").unwrap(), "true");
    for text in [
        "json.all(a, json.all(b, json.all(c, true)))",
        "json.exists(a, json.exists(b, a + b == 5000)) || true",
        "size(json.map(a, body + body)) > 0",
        "size(body + body + body + body + body + body + body + body) > 0",
    ] {
        assert_eq!(run(text), Err(Error::Exhausted), "{text}");
    }
}

#[test]
fn what_is_surely_no_condition_is_told() {
    let is_condition = |text: &str| Expression::compile(text, Scope::Answer).unwrap().is_condition();
    assert_eq!(is_condition("status == 200 && json.ok"), Some(true));
    assert_eq!(is_condition("json.ok"), None);
    assert_eq!(is_condition("json.list.all(x, x)"), None);
    for no in ["status", "'text'", "size(body)", "latency_ms * 2", "[true]"] {
        assert_eq!(is_condition(no), Some(false), "{no}");
    }
}

#[test]
fn findings_name_what_was_looked_at() {
    let expression =
        Expression::compile("json.cpu_usage <= 40 && json.checks[0].ok && json.x == headers['x-user']", Scope::Answer).unwrap();
    let found = expression.findings(&example());
    assert_eq!(found, "json.cpu_usage is 45.5, json.checks[0].ok is true, json.x is not there, headers['x-user'] is 'ann'");
    assert!(expression.uses(Variable::Json) && !expression.uses(Variable::Body));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9.'\"()\\[\\]{}!&|<>=+*/%?:, ä-]{0,60}") {
        for scope in [Scope::Request, Scope::Answer] {
            match Expression::compile(&text, scope) {
                Ok(expression) => drop(expression.evaluate(&example()).map(|value| value.shown())),
                Err(fault) => prop_assert!(text.get(fault.at).is_some()),
            }
        }
    }
}

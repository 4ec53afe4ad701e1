//! The tests that a configuration holds: run by every check, start and reload, before anything is changed.

use std::path::Path;

use config::model::{Config, Expect, Expected, Test};
use config::{Fault, Report};
use proxy::Plan;
use proxy::explain::{Explained, Field};

use crate::explain::{plan_of, question};

/// Reads the file at `path` and runs the tests in it.
///
/// # Errors
/// Everything that is wrong with it, each test that fails included.
pub fn load(path: &Path) -> Result<Config, Report> {
    passed(config::load(path)?)
}

/// The configuration if its tests pass.
fn passed(config: Config) -> Result<Config, Report> {
    if config.tests.is_empty() {
        return Ok(config);
    }
    let plan = plan_of(&config);
    let faults: Vec<Fault> = config.tests.iter().flat_map(|test| run(&plan, test)).collect();
    if faults.is_empty() { Ok(config) } else { Err(Report::new(faults)) }
}

/// What is otherwise than expected.
fn run(plan: &Plan, test: &Test) -> Vec<Fault> {
    let question = question(&test.method, &test.url, test.header.clone(), test.from, test.body.len() as u64);
    let explained = plan.explain(&question, 0);
    let wrong = |expected: &Expected| {
        let found = differs(&expected.what, &explained)?;
        let message = format!("the test \"{}\" fails: {found}", test.name.escape_debug());
        Some(test.fault(expected, message, hint(&explained, &expected.what)))
    };
    test.expect.iter().filter_map(wrong).collect()
}

/// What came of it instead; `None` where it is as expected.
fn differs(expected: &Expect, explained: &Explained) -> Option<String> {
    let pool = explained.pool.as_ref();
    let text = |what: &str, wanted: &str, found: Option<&str>| {
        let found_is = found.map_or_else(|| format!("there is no {what}"), |found| format!("the {what} is `{found}`"));
        (found != Some(wanted)).then_some(found_is)
    };
    match expected {
        Expect::Pool(wanted) => text("pool", wanted, pool.map(|pool| pool.name.as_str())),
        Expect::Route(wanted) => text("route", wanted, explained.route.as_deref()),
        Expect::Status(wanted) => (explained.status != *wanted).then(|| format!("the status is {}", explained.status)),
        Expect::Backend(wanted) => {
            let first = pool.and_then(|pool| pool.candidates.iter().find(|candidate| candidate.order == Some(1)));
            let is_it = first.is_some_and(|first| first.name == *wanted || first.address.to_string() == *wanted);
            (!is_it).then(|| first.map_or("no backend is asked".to_owned(), |first| format!("the backend is `{}`", first.name)))
        }
        Expect::Redirect(wanted) => {
            text("redirect", wanted, value(&explained.answer, "location").map(|field| field.value.as_str()))
        }
        Expect::Path(wanted) => text("path upstream", wanted, explained.upstream_path.as_deref()),
        Expect::Reason(wanted) => text("reason", wanted, explained.reason),
        Expect::Header(name, wanted) => field("the answer", &explained.answer, name, wanted.as_deref()),
        Expect::RequestHeader(name, wanted) => field("what goes upstream", &explained.upstream, name, wanted.as_deref()),
    }
}

fn value<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

fn field(where_: &str, fields: &[Field], name: &str, wanted: Option<&str>) -> Option<String> {
    let mut found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).peekable();
    match (wanted, found.peek()) {
        (None, None) => None,
        (None, Some(_)) => Some(format!("{where_} has a `{name}`")),
        (Some(_), None) => Some(format!("{where_} has no `{name}`")),
        (Some(wanted), Some(first)) => {
            let shown = if first.secret { "another" } else { first.value.as_str() };
            let message = format!("`{name}` of {where_} is `{shown}`");
            (!found.any(|field| field.value == wanted)).then_some(message)
        }
    }
}

/// How it came to that, in a line.
fn hint(explained: &Explained, expected: &Expect) -> String {
    if let Expect::Route(wanted) = expected
        && let Some(tried) = explained.routes.iter().find(|route| route.name == *wanted)
    {
        return format!("that route {}", tried.why);
    }
    let route =
        explained.route.as_ref().map_or_else(|| "no route takes it".to_owned(), |route| format!("the route `{route}` takes it"));
    match (explained.reason, explained.filters.last()) {
        (Some(reason), Some(filter)) if explained.pool.is_none() => format!("{route}; refused as {reason}: {filter}"),
        (Some(reason), _) => format!("{route}; refused as {reason}"),
        _ => format!("{route}; `evenkeel explain` shows why"),
    }
}

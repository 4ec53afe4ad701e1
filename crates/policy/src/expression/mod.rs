//! Expressions in the Common Expression Language: compiled once when the file is checked, evaluated with a bound on their cost.
//!
//! The `cel` crate reads the text; names, functions and patterns are resolved at once, so that what can be refused is refused with
//! its place in the text. The evaluation is ours: it borrows what it looks at, compiles no pattern, and counts its steps, since an
//! expression over an answer's body meets text that a backend chose.
//!
//! Source: the CEL specification, <https://github.com/google/cel-spec>, without bytes, unsigned numbers, times and messages.

mod compile;
mod evaluate;
mod functions;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use compile::Node;
pub use value::Value;

/// What an expression is about, and so which variables it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A request: `method`, `host`, `path`, `query`, `headers`, `cookies`, `client_ip`.
    Request,
    /// The answer to a health check: `status`, `headers`, `body`, `json`, `latency_ms`.
    Answer,
}

/// A name that an expression may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// The request's method.
    Method,
    /// The host asked for, in lower case, without its port.
    Host,
    /// The normalised path.
    Path,
    /// The parameters of the query, by name.
    Query,
    /// The header fields, by name in any case.
    Headers,
    /// The cookies, by name.
    Cookies,
    /// The client's address.
    ClientIp,
    /// The answer's status.
    Status,
    /// The answer's body as text.
    Body,
    /// The answer's body as JSON.
    Json,
    /// How long the answer took. Unit: milliseconds.
    LatencyMs,
}

impl Scope {
    fn variables(self) -> &'static [(&'static str, Variable)] {
        use Variable::{Body, ClientIp, Cookies, Headers, Host, Json, LatencyMs, Method, Path, Query, Status};
        match self {
            Self::Request => &[
                ("method", Method),
                ("host", Host),
                ("path", Path),
                ("query", Query),
                ("headers", Headers),
                ("cookies", Cookies),
                ("client_ip", ClientIp),
            ],
            Self::Answer => &[("status", Status), ("headers", Headers), ("body", Body), ("json", Json), ("latency_ms", LatencyMs)],
        }
    }
}

/// Where an expression finds what its variables stand for.
pub trait Facts {
    /// The value of a variable; [`Value::Fields`] for those that are looked into by name.
    fn value(&self, variable: Variable) -> Value<'_>;

    /// The entry of that name of a variable that is [`Value::Fields`].
    fn field(&self, of: Variable, name: &str) -> Option<Cow<'_, str>>;
}

/// A compiled expression. Two are the same if they were written the same.
#[derive(Clone)]
pub struct Expression {
    text: String,
    scope: Scope,
    root: Node,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What would be right; may be empty.
    pub hint: String,
    /// The name that is not known.
    pub unknown: Option<Unknown>,
    /// Where in the text, in bytes; may be empty at its end.
    pub at: Range<usize>,
}

/// A name that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// As written.
    pub word: String,
    /// Those that are.
    pub known: Vec<&'static str>,
}

/// Why an expression has no value for these facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A map has no such entry, or a list no such item.
    Absent(String),
    /// A function or operator does not take this.
    Unfit(String),
    /// A number that is too large, or a division by zero.
    Arithmetic(&'static str),
    /// It took more than [`STEPS`].
    Exhausted,
}

/// Most steps of one evaluation: each operator is one, and looking through a text one for every 16 bytes. About half a millisecond.
pub const STEPS: u32 = 20_000;

/// Longest text of an expression. Unit: bytes.
pub const LONGEST: usize = 2048;

impl Expression {
    /// Compiles it, for the variables of this scope.
    ///
    /// # Errors
    /// Where it is no expression, is too long or too deep, or names a variable or function that is not there.
    pub fn compile(text: &str, scope: Scope) -> Result<Self, Fault> {
        Ok(Self { text: text.to_owned(), scope, root: compile::compile(text, scope)? })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it yields true or false, as far as can be told without facts: `None` where it depends on them.
    pub fn is_condition(&self) -> Option<bool> {
        self.root.is_condition()
    }

    /// Whether it names this variable.
    pub fn uses(&self, variable: Variable) -> bool {
        let mut found = false;
        self.root.visit(&mut |node| found |= matches!(node, Node::Variable(name) if *name == variable));
        found
    }

    /// Its value. Cost: 20 to 50 ns a step and at most [`STEPS`] of them.
    ///
    /// # Errors
    /// Where it has none for these facts: see [`Error`].
    pub fn evaluate<'a>(&'a self, facts: &'a dyn Facts) -> Result<Value<'a>, Error> {
        evaluate::evaluate(&self.root, facts)
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// Where it has no value, or one that is neither true nor false.
    pub fn holds(&self, facts: &dyn Facts) -> Result<bool, Error> {
        match self.evaluate(facts)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(Error::Unfit(format!("it is {}, neither true nor false", other.kind()))),
        }
    }

    /// What its variables stand for, for a person: `json.cpu is 97, status is 200`. Long values are cut.
    pub fn findings(&self, facts: &dyn Facts) -> String {
        let mut paths: Vec<(String, &Node)> = Vec::new();
        self.root.paths(&mut |path, node| {
            if !paths.iter().any(|(known, _)| *known == path) {
                paths.push((path, node));
            }
        });
        let shown = paths.into_iter().map(|(path, node)| match evaluate::evaluate(node, facts) {
            Ok(value) => format!("{path} is {}", value.shown()),
            Err(_) => format!("{path} is not there"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope && self.text == other.text
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.scope, &self.text).hash(state);
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(what) => write!(f, "there is no {what}"),
            Self::Unfit(what) => f.write_str(what),
            Self::Arithmetic(what) => f.write_str(what),
            Self::Exhausted => f.write_str("it takes too many steps"),
        }
    }
}

impl std::error::Error for Error {}

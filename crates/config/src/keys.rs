//! Every key of the language, said once.
//!
//! From these tables come the parser's known keys, its defaults and ranges, the hints for misspelt keys, the JSON schema
//! ([`crate::schema`]) and the reference ([`crate::reference`]). A new key is one entry here and one line in `check` that reads
//! it; a key that is served for the first time loses its `planned` and gains a kind.

mod access;
mod adaptive;
mod guard;
mod health;
mod limit;
mod listener;
mod pool;
mod queue;
mod root;
mod route;
mod shape;
mod split;
mod sticky;
mod test;
#[cfg(test)]
mod tests;

pub(crate) use access::{BASIC_AUTH, FORWARD_AUTH, JWT};
pub(crate) use adaptive::ADAPTIVE;
pub(crate) use guard::{BREAKER, PASSIVE};
pub(crate) use health::{HEALTH, HEALTH_TLS};
pub(crate) use limit::{CONCURRENCY, RATE_LIMIT, REDIS};
pub(crate) use listener::{LIMITS, LISTENER, LISTENER_TIMEOUT};
pub(crate) use pool::{BACKEND, HASH, IDLE, POOL, RETRY};
pub(crate) use queue::QUEUE;
pub(crate) use root::{ADMIN, LOG, ROOT};
pub(crate) use route::{HEADER_EDITS, MATCH, REDIRECT, RESPOND, ROUTE, TIMEOUT};
pub(crate) use shape::{CORS, ERROR_PAGE, REWRITE, SECURITY_HEADERS};
pub(crate) use split::SHARE;
pub(crate) use sticky::STICKY;
pub(crate) use test::{EXPECT, TEST};

/// One table of the language.
#[derive(Debug)]
pub(crate) struct Table {
    /// As in a TOML header, `NAME` standing for the user's own: `pool.NAME.health`. Empty for the top level.
    pub(crate) path: &'static str,
    /// What it is for.
    pub(crate) doc: &'static str,
    /// In the order of the reference.
    pub(crate) keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// A legal value as TOML.
    pub(crate) example: &'static str,
    /// What, range beyond the kind's own, cost, what happens at the limit.
    pub(crate) doc: &'static str,
    /// What people coming from elsewhere call it.
    pub(crate) aliases: &'static [&'static str],
}

/// What a key may hold.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Text that must not be shown.
    Secret,
    /// Text of a certain form: what it is, and a pattern for the schema (`""` for none).
    Word(&'static str, &'static str),
    /// One of these; the second list is planned.
    Choice(&'static [&'static str], &'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// `false` alone.
    Off,
    /// A whole number within.
    Integer(i64, i64),
    /// A number within.
    Number(f64, f64),
    /// A duration within.
    Duration(&'static str, &'static str),
    /// A size within.
    Size(&'static str, &'static str),
    /// So many in a time.
    Rate,
    /// So many bytes a second.
    ByteRate,
    /// 0 to 100 per cent.
    Percent,
    /// Any number of them, in brackets.
    Array(&'static Kind),
    /// One, or several in brackets.
    OneOrMany(&'static Kind),
    /// A table with names of the user's own.
    Map(&'static Kind),
    /// A table of the language.
    Table(&'static Table),
    /// `[[name]]`, any number of times.
    Tables(&'static Table),
    /// `[name.NAME]`, with names of the user's own.
    Named(&'static Table),
    /// One of these forms.
    Either(&'static [Kind]),
    /// Part of the language, but not served yet.
    Planned,
}

/// What holds where a key is left out.
#[derive(Debug)]
pub(crate) enum Default {
    /// It can't be left out.
    Required,
    /// This value, written without quotes.
    Is(&'static str),
    /// Described in words; the code fills it in.
    Words(&'static str),
}

impl Table {
    /// The key of that name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Key {
    pub(crate) const fn is_planned(&self) -> bool {
        matches!(self.kind, Kind::Planned)
    }

    const fn also_called(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// By what exchanges are hashed, counted, queued or split; read by `check::key`.
pub(crate) const KEY: Kind = Kind::Word("a key", "^(client_ip|path|host|route|(header|cookie|query|cel):.+)$");

/// A key that must be there.
const fn required(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Default::Required, example, doc, aliases: &[] }
}

/// A key with a default value.
const fn with_default(name: &'static str, kind: Kind, default: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Default::Is(default), example, doc, aliases: &[] }
}

/// A key whose absence means something that is not a value.
const fn optional(name: &'static str, kind: Kind, default: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Default::Words(default), example, doc, aliases: &[] }
}

/// A key that later versions serve.
const fn planned(name: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Planned, default: Default::Words(""), example: "", doc, aliases: &[] }
}

impl Kind {
    /// For the sentence "`key` takes …".
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Secret => "a string of 16 or more visible characters".to_owned(),
            Self::Word(what, _) => (*what).to_owned(),
            Self::Choice(served, _) => one_of(served),
            Self::Flag => "true or false".to_owned(),
            Self::Off => "false".to_owned(),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Duration(..) => "a duration".to_owned(),
            Self::Size(..) => "a size".to_owned(),
            Self::Rate => "a rate".to_owned(),
            Self::ByteRate => "a size per second".to_owned(),
            Self::Percent => "a percentage".to_owned(),
            Self::Array(_) => "an array".to_owned(),
            Self::OneOrMany(item) => format!("{} or an array of them", item.describe()),
            Self::Map(_) | Self::Table(_) => "a table".to_owned(),
            Self::Tables(table) => format!("[[{}]] tables", table.path),
            Self::Named(table) => format!("[{}] tables", table.path),
            Self::Either(kinds) => kinds.iter().map(Self::describe).collect::<Vec<_>>().join(" or "),
            Self::Planned => "nothing yet".to_owned(),
        }
    }
}

/// `"a", "b" or "c"`.
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Every table, in the order of the reference.
pub(crate) const TABLES: &[&Table] = &[
    &ROOT,
    &ADMIN,
    &LOG,
    &LISTENER,
    &LISTENER_TIMEOUT,
    &LIMITS,
    &ROUTE,
    &MATCH,
    &SHARE,
    &RESPOND,
    &REDIRECT,
    &TIMEOUT,
    &HEADER_EDITS,
    &RATE_LIMIT,
    &CONCURRENCY,
    &REWRITE,
    &CORS,
    &SECURITY_HEADERS,
    &ERROR_PAGE,
    &BASIC_AUTH,
    &JWT,
    &FORWARD_AUTH,
    &POOL,
    &BACKEND,
    &HASH,
    &HEALTH,
    &HEALTH_TLS,
    &RETRY,
    &PASSIVE,
    &BREAKER,
    &IDLE,
    &STICKY,
    &QUEUE,
    &ADAPTIVE,
    &REDIS,
    &TEST,
    &EXPECT,
];

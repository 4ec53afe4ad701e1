//! Walks a parsed TOML document with the key tables in hand, and collects the faults on the way.
//!
//! A [`Section`] is a table of the language met in the file: opening one reports unknown, misspelt and planned keys. A [`Value`]
//! is what a key holds, a [`Text`] a string of it, given there or fetched from the environment or a file.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::keys::{Default, Key, Kind, Table, one_of};
use crate::nearest::{key_hint, nearest};
use crate::report::{Fault, Severity, Source, shown};
use crate::units::{self, Wrong};

type Span = Range<usize>;

/// The text being read and what was found wrong with it so far.
pub(crate) struct Doc<'a> {
    text: &'a str,
    /// Where `{ file = … }` begins.
    folder: PathBuf,
    /// The syntax itself is faulty: what seems to be missing may only have been unreadable.
    broken: bool,
    drafts: RefCell<Vec<Draft>>,
    /// Secrets written out in the text.
    masked: RefCell<Vec<Span>>,
}

struct Draft {
    severity: Severity,
    span: Span,
    message: String,
    hint: Option<String>,
}

impl<'a> Doc<'a> {
    pub(crate) fn new(name: &str, text: &'a str, broken: bool) -> Self {
        let folder = Path::new(name)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        Self {
            text,
            folder,
            broken,
            drafts: RefCell::default(),
            masked: RefCell::default(),
        }
    }

    pub(crate) fn fault(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.draft(Severity::Error, span, message.into(), hint.into());
    }

    pub(crate) fn warn(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.draft(Severity::Warning, span, message.into(), hint.into());
    }

    /// A fault about something that is not there, or not found elsewhere in the file.
    pub(crate) fn missing(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        if !self.broken {
            self.fault(span, message, hint);
        }
    }

    fn draft(&self, severity: Severity, span: Span, message: String, hint: String) {
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        self.drafts.borrow_mut().push(Draft {
            severity,
            span,
            message,
            hint,
        });
    }

    /// All faults in the order of the text, their source free of secrets.
    pub(crate) fn into_faults(self, name: &str) -> Vec<Fault> {
        let source = Arc::new(Source {
            name: name.to_owned(),
            text: mask(self.text, &self.masked.into_inner()),
        });
        let mut drafts = self.drafts.into_inner();
        drafts.sort_by_key(|draft| (draft.span.start, draft.span.end));
        drafts
            .into_iter()
            .map(|d| Fault::at(&source, d.severity, d.span, d.message, d.hint))
            .collect()
    }
}

/// The text with each of these spans starred out, byte by byte so that every place stays where it is.
fn mask(text: &str, spans: &[Span]) -> String {
    let mut masked = text.to_owned();
    for span in spans {
        let stars: String = text[span.clone()]
            .bytes()
            .map(|b| {
                if b == b'\n' || b == b'"' || b == b'\'' {
                    b as char
                } else {
                    '*'
                }
            })
            .collect();
        masked.replace_range(span.clone(), &stars);
    }
    masked
}

/// A table of the language as it stands in the file.
pub(crate) struct Section<'a> {
    pub(crate) doc: &'a Doc<'a>,
    table: &'static Table,
    /// As the user would write its header: `[pool.api]`.
    pub(crate) title: String,
    pub(crate) span: Span,
    /// `None` for one that is not in the file: every key has its default.
    entries: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    /// One that is not in the file.
    pub(crate) fn absent(doc: &'a Doc<'a>, table: &'static Table) -> Self {
        Self {
            doc,
            table,
            title: String::new(),
            span: 0..0,
            entries: None,
        }
    }

    /// Reports every key that has no business here.
    pub(crate) fn open(
        doc: &'a Doc<'a>,
        table: &'static Table,
        title: String,
        span: Span,
        entries: &'a DeTable<'a>,
    ) -> Self {
        for key in entries.keys() {
            let name = key.get_ref().as_ref();
            match table.key(name) {
                Some(known) if known.is_planned() => doc.fault(
                    key.span(),
                    format!("`{name}` is part of the language but not served by this version yet"),
                    "take it out: nothing would act on it",
                ),
                Some(_) => {}
                None => {
                    let place = if title.is_empty() {
                        "at the top level".to_owned()
                    } else {
                        format!("in {title}")
                    };
                    doc.fault(
                        key.span(),
                        format!("unknown key {} {place}", shown(name)),
                        key_hint(table, name),
                    );
                }
            }
        }
        Self {
            doc,
            table,
            title,
            span,
            entries: Some(entries),
        }
    }

    fn key(&self, name: &str) -> &'static Key {
        self.table
            .key(name)
            .expect("the checks name only keys of their table: each is read by a test")
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let key = self.key(name);
        let (at, raw) = self.entries?.get_key_value(name)?;
        Some(Value {
            doc: self.doc,
            key,
            at: at.span(),
            raw,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(name))
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&self, name: &str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            let place = if self.title.is_empty() {
                "the file"
            } else {
                &self.title
            };
            self.doc.missing(
                self.span.clone(),
                format!("{place} needs `{name}`"),
                format!("as in `{name} = {}`", self.key(name).example),
            );
        }
        value
    }

    fn default(&self, name: &str) -> &'static str {
        match self.key(name).default {
            Default::Is(text) => text,
            Default::Required | Default::Words(_) => "",
        }
    }

    /// The value, or the default of the table. The default also stands in for a faulty value, so that checking can go on.
    fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
        default: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> T {
        self.get(name).and_then(read).unwrap_or_else(|| {
            default(self.default(name))
                .unwrap_or_else(|wrong| panic!("default of `{name}`: {}", wrong.message))
        })
    }

    pub(crate) fn duration(&self, name: &str) -> Duration {
        self.read(name, Value::duration, units::duration)
    }

    pub(crate) fn size(&self, name: &str) -> u64 {
        self.read(name, Value::size, units::size)
    }

    /// A text that `parse` understands, as it does the default.
    pub(crate) fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        self.read(name, |value| value.text()?.read(&parse), &parse)
    }

    /// The range of the key's entry fits `T`.
    pub(crate) fn integer<T: TryFrom<i64>>(&self, name: &str) -> T {
        let value = self.read(name, Value::integer, |text| {
            text.parse().map_err(|_| Wrong::new("not a number", ""))
        });
        T::try_from(value).unwrap_or_else(|_| panic!("the range of `{name}` does not fit its type"))
    }

    /// As [`Section::integer`], for a key whose absence means something else.
    pub(crate) fn optional_integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        T::try_from(self.get(name)?.integer()?).ok()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.read(name, Value::flag, |text| Ok(text == "true"))
    }

    /// One of the words of the key's entry.
    pub(crate) fn choice(&self, name: &str) -> &'static str {
        self.get(name)
            .and_then(Value::choice)
            .unwrap_or_else(|| self.default(name))
    }

    /// A text with a default.
    pub(crate) fn string(&self, name: &str) -> String {
        self.get(name)
            .and_then(Value::text)
            .map_or_else(|| self.default(name).to_owned(), Text::into_string)
    }

    /// A text that stands for a key, given on the command line.
    pub(crate) fn argument(&self, name: &str, span: Span) -> Text<'a> {
        let text = self.doc.text[span.clone()].to_owned();
        Text {
            text,
            origin: Origin::Written(Some(span.start)),
            key: self.key(name),
            doc: self.doc,
            span,
        }
    }

    /// A table under this one; an absent one if it is not there.
    pub(crate) fn section(&self, name: &str, table: &'static Table) -> Section<'a> {
        self.get(name)
            .and_then(|value| value.section(table, self.under(name)))
            .unwrap_or_else(|| Section::absent(self.doc, table))
    }

    /// The header of a table under this one.
    pub(crate) fn under(&self, name: &str) -> String {
        match self.title.trim_matches(['[', ']']) {
            "" => format!("[{name}]"),
            title => format!("[{title}.{name}]"),
        }
    }
}

/// What a key holds.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(crate) doc: &'a Doc<'a>,
    key: &'static Key,
    /// The key itself.
    at: Span,
    raw: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(crate) fn span(&self) -> Span {
        self.raw.span()
    }

    /// Where the key stands.
    pub(crate) fn key_span(&self) -> Span {
        self.at.clone()
    }

    pub(crate) fn fault(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.doc.fault(self.span(), message, hint);
    }

    /// It is not of the kind its key takes.
    pub(crate) fn mismatch<T>(&self) -> Option<T> {
        let found = match self.raw.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let number = match self.raw.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            _ => None,
        };
        let hint = match (&self.key.kind, number) {
            (Kind::Duration(..), Some(n)) => {
                format!("write \"{n}s\" for seconds or \"{n}ms\" for milliseconds")
            }
            (Kind::Size(..), Some(n)) => format!("write \"{n}B\" for bytes or \"{n}KiB\""),
            (Kind::Rate, Some(n)) => format!("write \"{n}/s\""),
            (Kind::Percent, Some(n)) => format!("write \"{n}%\""),
            _ => format!("as in `{} = {}`", self.key.name, self.key.example),
        };
        self.fault(
            format!(
                "`{}` takes {}, not {found}",
                self.key.name,
                self.key.kind.describe()
            ),
            hint,
        );
        None
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.raw.get_ref(), DeValue::Table(table) if secret_source(table).is_none())
    }

    pub(crate) fn as_flag(&self) -> Option<bool> {
        self.raw.get_ref().as_bool()
    }

    pub(crate) fn flag(self) -> Option<bool> {
        self.as_flag().or_else(|| self.mismatch())
    }

    /// Within the range of the key's entry.
    pub(crate) fn integer(self) -> Option<i64> {
        let Kind::Integer(min, max) = self.key.kind else {
            return self.mismatch();
        };
        let Some(integer) = self.raw.get_ref().as_integer() else {
            return self.mismatch();
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let legal = number.filter(|number| (min..=max).contains(number));
        if legal.is_none() {
            self.fault(
                format!("`{}` is from {min} to {max}", self.key.name),
                format!("{integer} is not"),
            );
        }
        legal
    }

    /// A number within the range of the key's entry.
    pub(crate) fn number(self) -> Option<f64> {
        let Kind::Number(min, max) = self.key.kind else {
            return self.mismatch();
        };
        let number = match self.raw.get_ref() {
            DeValue::Integer(number) => number.to_string().parse::<f64>().ok(),
            DeValue::Float(number) => number.to_string().parse::<f64>().ok(),
            _ => return self.mismatch(),
        };
        let legal = number.filter(|number| (min..=max).contains(number));
        if legal.is_none() {
            self.fault(
                format!("`{}` is from {min} to {max}", self.key.name),
                format!("as in `{} = {}`", self.key.name, self.key.example),
            );
        }
        legal
    }

    /// Within the range of the key's entry.
    pub(crate) fn duration(self) -> Option<Duration> {
        let text = self.text()?;
        let duration = text.read(units::duration)?;
        let Kind::Duration(min, max) = text.key.kind else {
            return Some(duration);
        };
        text.within(
            duration,
            units::duration(min),
            units::duration(max),
            min,
            max,
        )
    }

    /// Within the range of the key's entry.
    pub(crate) fn size(self) -> Option<u64> {
        let text = self.text()?;
        let size = text.read(units::size)?;
        let Kind::Size(min, max) = text.key.kind else {
            return Some(size);
        };
        text.within(size, units::size(min), units::size(max), min, max)
    }

    /// One of the words of the key's entry.
    pub(crate) fn choice(self) -> Option<&'static str> {
        let (served, planned) = match &self.key.kind {
            Kind::Choice(served, planned) => (*served, *planned),
            Kind::Either([Kind::Choice(served, planned), ..]) => (*served, *planned),
            _ => return self.mismatch(),
        };
        let name = self.key.name;
        self.text()?.read(|text| {
            if let Some(word) = served.iter().find(|word| **word == text) {
                return Ok(*word);
            }
            if planned.contains(&text) {
                return Err(Wrong::new(
                    format!(
                        "{} is part of the language but not served by this version yet",
                        shown(text)
                    ),
                    format!("this version serves {}", one_of(served)),
                ));
            }
            let hint = nearest(text, served.iter().copied()).map_or_else(
                || format!("it is one of {}", one_of(served)),
                |word| format!("did you mean \"{word}\"?"),
            );
            Err(Wrong::new(
                format!("`{name}` can't be {}", shown(text)),
                hint,
            ))
        })
    }

    /// A text, written out or fetched.
    pub(crate) fn text(self) -> Option<Text<'a>> {
        match self.raw.get_ref() {
            DeValue::String(text) => Some(Text {
                origin: Origin::Written(self.inside(text)),
                text: text.clone().into_owned(),
                key: self.key,
                doc: self.doc,
                span: self.span(),
            }),
            DeValue::Table(table) => match secret_source(table) {
                Some((kind, name)) => self.fetch(kind, name),
                None => self.mismatch(),
            },
            _ => self.mismatch(),
        }
    }

    /// As [`Value::text`], and starred out wherever this text would be shown.
    pub(crate) fn secret(self) -> Option<Text<'a>> {
        if let DeValue::String(_) = self.raw.get_ref() {
            self.doc.masked.borrow_mut().push(self.span());
        }
        let mut text = self.text()?;
        if let Origin::Written(_) = text.origin {
            text.origin = Origin::Fetched("this text".to_owned());
        }
        Some(text)
    }

    fn fetch(self, kind: &str, name: &Spanned<DeValue<'a>>) -> Option<Text<'a>> {
        let Some(given) = name.get_ref().as_str() else {
            self.doc.fault(
                name.span(),
                format!("`{kind}` takes a string"),
                format!(
                    "as in {{ {kind} = \"{}\" }}",
                    if kind == "env" { "TOKEN" } else { "token.txt" }
                ),
            );
            return None;
        };
        let (fetched, origin) = if kind == "env" {
            (
                from_environment(given),
                format!("the value of the environment variable {}", shown(given)),
            )
        } else {
            (
                from_file(&self.doc.folder.join(given)),
                format!("the content of the file {}", shown(given)),
            )
        };
        match fetched {
            Ok(text) => Some(Text {
                origin: Origin::Fetched(origin),
                text,
                key: self.key,
                doc: self.doc,
                span: self.span(),
            }),
            Err(why) => {
                self.doc
                    .fault(name.span(), format!("{origin} can't be read"), why);
                None
            }
        }
    }

    /// Where the text begins between its quotes, if it stands there letter by letter.
    fn inside(&self, text: &str) -> Option<usize> {
        let span = self.span();
        let raw = self.doc.text.get(span.clone())?;
        [1, 3, 4]
            .into_iter()
            .find(|quotes| raw.get(*quotes..quotes + text.len()) == Some(text))
            .map(|quotes| span.start + quotes)
    }

    /// The items of an array.
    pub(crate) fn array(self) -> Option<Vec<Value<'a>>> {
        match self.raw.get_ref() {
            DeValue::Array(items) => Some(
                items
                    .iter()
                    .map(|raw| Value {
                        raw,
                        ..self.clone()
                    })
                    .collect(),
            ),
            _ => self.mismatch(),
        }
    }

    /// The items of an array, or the one value alone.
    pub(crate) fn one_or_many(self) -> Vec<Value<'a>> {
        match self.raw.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|raw| Value {
                    raw,
                    ..self.clone()
                })
                .collect(),
            _ => vec![self],
        }
    }

    /// The entries of a table whose names are the user's own, in the order of the text.
    pub(crate) fn map(self) -> Option<Vec<(Name<'a>, Value<'a>)>> {
        let DeValue::Table(table) = self.raw.get_ref() else {
            return self.mismatch();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(name, raw)| {
                (
                    Name {
                        text: name.get_ref(),
                        span: name.span(),
                    },
                    Value {
                        at: name.span(),
                        raw,
                        ..self.clone()
                    },
                )
            })
            .collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        Some(entries)
    }

    /// It as a table of the language.
    pub(crate) fn section(&self, table: &'static Table, title: String) -> Option<Section<'a>> {
        match self.raw.get_ref() {
            DeValue::Table(entries) => {
                Some(Section::open(self.doc, table, title, self.span(), entries))
            }
            _ => self.mismatch(),
        }
    }
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
fn secret_source<'t, 'a>(table: &'t DeTable<'a>) -> Option<(&'t str, &'t Spanned<DeValue<'a>>)> {
    let (name, value) = table.iter().next().filter(|_| table.len() == 1)?;
    let name = name.get_ref().as_ref();
    matches!(name, "env" | "file").then_some((name, value))
}

fn from_environment(name: &str) -> Result<String, String> {
    // `std::env::var` panics at these.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("this can't be the name of an environment variable".to_owned());
    }
    std::env::var(name).map_err(|why| match why {
        std::env::VarError::NotPresent => "it is not set".to_owned(),
        std::env::VarError::NotUnicode(_) => "it is not UTF-8".to_owned(),
    })
}

fn from_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    const LARGEST: u64 = 1 << 20;
    let file = std::fs::File::open(path).map_err(|why| why.to_string())?;
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err("it is not a file".to_owned());
    }
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|why| why.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let line = text.strip_suffix('\n').map_or(text.len(), |line| {
        line.strip_suffix('\r').unwrap_or(line).len()
    });
    text.truncate(line);
    Ok(text)
}

/// A name the user chose.
#[derive(Clone)]
pub(crate) struct Name<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

/// A string of the file.
pub(crate) struct Text<'a> {
    text: String,
    origin: Origin,
    key: &'static Key,
    doc: &'a Doc<'a>,
    span: Span,
}

enum Origin {
    /// In the file, and where it begins if no escapes are in it.
    Written(Option<usize>),
    /// From elsewhere, so it is never shown; where from.
    Fetched(String),
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// It came from the environment or a file.
    pub(crate) fn is_fetched(&self) -> bool {
        matches!(self.origin, Origin::Fetched(_))
    }

    /// For messages: the text, or where it came from if it must not be shown.
    pub(crate) fn shown(&self) -> String {
        match &self.origin {
            Origin::Written(_) => shown(&self.text),
            Origin::Fetched(origin) => origin.clone(),
        }
    }

    /// Reads it as something, or reports why it is not.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        match read(&self.text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(wrong);
                None
            }
        }
    }

    /// Reports a fault in it, without showing it if it was fetched.
    pub(crate) fn wrong(&self, wrong: Wrong) {
        match &self.origin {
            Origin::Fetched(origin) => {
                self.doc.fault(
                    self.span(),
                    format!("{origin} is not what `{}` takes", self.key.name),
                    format!("it takes {}", self.key.kind.describe()),
                );
            }
            Origin::Written(inside) => {
                let at = inside.zip(wrong.at).map_or_else(
                    || self.span(),
                    |(start, at)| start + at.start..start + at.end,
                );
                self.doc.fault(at, wrong.message, wrong.hint);
            }
        }
    }

    fn within<T: PartialOrd>(
        &self,
        value: T,
        least: Result<T, Wrong>,
        most: Result<T, Wrong>,
        min: &str,
        max: &str,
    ) -> Option<T> {
        let too_small = least.is_ok_and(|least| value < least);
        if too_small || most.is_ok_and(|most| value > most) {
            let hint = if too_small {
                format!("the least is \"{min}\"")
            } else {
                format!("the most is \"{max}\"")
            };
            self.wrong(Wrong::new(
                format!("`{}` is from {min} to {max}", self.key.name),
                hint,
            ));
            return None;
        }
        Some(value)
    }
}

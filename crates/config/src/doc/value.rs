//! What a key holds.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::text::{Origin, from_environment, from_file};
use super::{Doc, Section, Span, Text};
use crate::keys::{Key, Kind, Table, one_of};
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::{self, Wrong};

/// What a key holds, an item of it or an entry of it.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(crate) doc: &'a Doc<'a>,
    key: &'static Key,
    /// What it must be: the key's kind, or that of its items.
    pub(super) kind: &'static Kind,
    /// What messages call it.
    pub(super) label: String,
    /// The key itself.
    at: Span,
    raw: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(super) fn of_key(doc: &'a Doc<'a>, key: &'static Key, at: Span, raw: &'a Spanned<DeValue<'a>>) -> Self {
        Self { doc, key, kind: &key.kind, label: format!("`{}`", key.name), at, raw }
    }

    /// An item of the array that this value is.
    fn item(&self, raw: &'a Spanned<DeValue<'a>>) -> Self {
        let kind = match self.kind {
            Kind::Array(item) | Kind::OneOrMany(item) => item,
            kind => kind,
        };
        Self { kind, label: format!("an item of {}", self.label), raw, ..self.clone() }
    }

    /// An entry of the table that this value is.
    fn entry(&self, name: &Spanned<std::borrow::Cow<'a, str>>, raw: &'a Spanned<DeValue<'a>>) -> Self {
        let kind = match self.kind {
            Kind::Map(entry) => entry,
            kind => kind,
        };
        Self { kind, label: shown(name.get_ref()), at: name.span(), raw, ..self.clone() }
    }

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
        let message = format!("{} must be {}, not {found}", self.label, self.kind.describe());
        self.fault(message, self.instead());
        None
    }

    /// What to write for a value of the wrong kind: the user's own where it only lacks a unit or brackets.
    fn instead(&self) -> String {
        let raw = &self.doc.text[self.span()];
        let number = self.raw.get_ref().is_integer() || self.raw.get_ref().is_float();
        match self.kind {
            Kind::Duration(..) if number => {
                format!("write \"{raw}s\" for seconds or \"{raw}ms\" for milliseconds")
            }
            Kind::Size(..) if number => format!("write \"{raw}B\" for bytes or \"{raw}KiB\""),
            Kind::Rate if number => format!("write \"{raw}/s\""),
            Kind::Percent if number => format!("write \"{raw}%\""),
            Kind::Array(_) if self.raw.get_ref().is_str() => {
                format!("write `{} = [{raw}]`", self.key.name)
            }
            kind if std::ptr::eq(kind, &self.key.kind) => {
                format!("as in `{} = {}`", self.key.name, self.key.example)
            }
            _ => format!("as in {}", self.key.example),
        }
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
        let Kind::Integer(min, max) = *self.kind else {
            return self.mismatch();
        };
        let Some(integer) = self.raw.get_ref().as_integer() else {
            return self.mismatch();
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let legal = number.filter(|number| (min..=max).contains(number));
        if legal.is_none() {
            self.fault(format!("{} must be from {min} to {max}", self.label), format!("{integer} is not"));
        }
        legal
    }

    /// A number within the range of the key's entry.
    pub(crate) fn number(self) -> Option<f64> {
        let Kind::Number(min, max) = *self.kind else {
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
                format!("{} must be from {min} to {max}", self.label),
                format!("as in `{} = {}`", self.key.name, self.key.example),
            );
        }
        legal
    }

    /// Within the range of the key's entry.
    pub(crate) fn duration(self) -> Option<Duration> {
        let text = self.text()?;
        let duration = text.read(units::duration)?;
        let Kind::Duration(min, max) = *text.kind else {
            return Some(duration);
        };
        text.within(duration, units::duration(min), units::duration(max), min, max)
    }

    /// Within the range of the key's entry.
    pub(crate) fn size(self) -> Option<u64> {
        let text = self.text()?;
        let size = text.read(units::size)?;
        let Kind::Size(min, max) = *text.kind else {
            return Some(size);
        };
        text.within(size, units::size(min), units::size(max), min, max)
    }

    /// One of the words of the key's entry.
    pub(crate) fn choice(self) -> Option<&'static str> {
        let (served, planned) = match self.kind {
            Kind::Choice(served, planned) => (*served, *planned),
            Kind::Either([Kind::Choice(served, planned), ..]) => (*served, *planned),
            _ => return self.mismatch(),
        };
        let label = self.label.clone();
        self.text()?.read(|text| {
            if let Some(word) = served.iter().find(|word| **word == text) {
                return Ok(*word);
            }
            if planned.contains(&text) {
                return Err(Wrong::new(
                    format!("{} is part of the language but not served by this version yet", shown(text)),
                    format!("this version serves {}", one_of(served)),
                ));
            }
            let hint = nearest(text, served.iter().copied())
                .map_or_else(|| format!("it is one of {}", one_of(served)), |word| format!("did you mean \"{word}\"?"));
            Err(Wrong::new(format!("{label} can't be {}", shown(text)), hint))
        })
    }

    /// A text, written out or fetched.
    pub(crate) fn text(self) -> Option<Text<'a>> {
        match self.raw.get_ref() {
            DeValue::String(text) => Some(Text::new(&self, text.clone().into_owned(), Origin::Written(self.inside(text)))),
            DeValue::Table(table) => match secret_source(table) {
                Some((kind, name)) => self.fetch(kind, name),
                None => self.mismatch(),
            },
            _ => self.mismatch(),
        }
    }

    /// As [`Value::text`], and starred out wherever this text would be shown.
    pub(crate) fn secret(self) -> Option<Text<'a>> {
        let fetched = matches!(self.raw.get_ref(), DeValue::Table(table) if secret_source(table).is_some());
        if !fetched {
            self.doc.hide(self.span());
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
                format!("as in {{ {kind} = \"{}\" }}", if kind == "env" { "TOKEN" } else { "token.txt" }),
            );
            return None;
        };
        let (fetched, origin) = if kind == "env" {
            (from_environment(given), format!("the environment variable {}", shown(given)))
        } else {
            (from_file(&self.doc.folder.join(given)), format!("the file {}", shown(given)))
        };
        match fetched {
            Ok(text) => Some(Text::new(&self, text, Origin::Fetched(origin))),
            Err(why) => {
                self.doc.fault(name.span(), format!("{origin} can't be read"), why);
                None
            }
        }
    }

    /// Where the text begins between its quotes, if it stands there letter by letter.
    fn inside(&self, text: &str) -> Option<usize> {
        let span = self.span();
        let raw = self.doc.text.get(span.clone())?;
        [1, 3, 4].into_iter().find(|quotes| raw.get(*quotes..quotes + text.len()) == Some(text)).map(|quotes| span.start + quotes)
    }

    /// The items of an array.
    pub(crate) fn array(self) -> Option<Vec<Value<'a>>> {
        match self.raw.get_ref() {
            DeValue::Array(items) => Some(items.iter().map(|raw| self.item(raw)).collect()),
            _ => self.mismatch(),
        }
    }

    /// The items of an array, or the one value alone.
    pub(crate) fn one_or_many(self) -> Vec<Value<'a>> {
        match self.raw.get_ref() {
            DeValue::Array(items) => items.iter().map(|raw| self.item(raw)).collect(),
            _ => vec![self],
        }
    }

    /// The entries of a table whose names are the user's own, in the order of the text.
    pub(crate) fn map(self) -> Option<Vec<(Name<'a>, Value<'a>)>> {
        let DeValue::Table(table) = self.raw.get_ref() else {
            return self.mismatch();
        };
        let mut entries: Vec<_> =
            table.iter().map(|(name, raw)| (Name { text: name.get_ref(), span: name.span() }, self.entry(name, raw))).collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        Some(entries)
    }

    /// It as a table of the language.
    pub(crate) fn section(&self, table: &'static Table, title: String) -> Option<Section<'a>> {
        match self.raw.get_ref() {
            DeValue::Table(entries) => Some(Section::open(self.doc, table, title, self.span(), entries)),
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

/// A name the user chose.
#[derive(Clone)]
pub(crate) struct Name<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

//! A table of the language as it stands in the file.

use std::time::Duration;

use toml::de::DeTable;

use super::{Doc, Span, Text, Value};
use crate::keys::{Default, Key, Kind, Table};
use crate::nearest::key_hint;
use crate::report::shown;
use crate::units::{self, Wrong};

/// A table of the language as it stands in the file.
pub(crate) struct Section<'a> {
    pub(crate) doc: &'a Doc<'a>,
    table: &'static Table,
    /// As the user would write its header: `[pool.api]`.
    pub(crate) title: String,
    pub(crate) span: Span,
    /// `None` for one that is not in the file: every key has its default.
    entries: Option<&'a DeTable<'a>>,
    /// Keys that are there, but misspelt: reported once is enough.
    meant: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// One that is not in the file.
    pub(crate) fn absent(doc: &'a Doc<'a>, table: &'static Table) -> Self {
        Self { doc, table, title: String::new(), span: 0..0, entries: None, meant: Vec::new() }
    }

    /// Reports every key that has no business here.
    pub(crate) fn open(doc: &'a Doc<'a>, table: &'static Table, title: String, span: Span, entries: &'a DeTable<'a>) -> Self {
        let mut meant = Vec::new();
        for (key, value) in entries {
            let name = key.get_ref().as_ref();
            match table.key(name) {
                Some(known) if known.is_planned() => doc.fault(
                    key.span(),
                    format!("`{name}` is part of the language but not served by this version yet"),
                    "take it out: nothing would act on it",
                ),
                Some(_) => {}
                None => {
                    let place = if title.is_empty() { "at the top level".to_owned() } else { format!("in {title}") };
                    let (hint, key_meant) = key_hint(table, name);
                    if key_meant.is_some_and(|meant| matches!(meant.kind, Kind::Secret)) {
                        doc.hide(value.span());
                    }
                    meant.extend(key_meant.map(|key| key.name));
                    doc.fault(key.span(), format!("unknown key {} {place}", shown(name)), hint);
                }
            }
        }
        Self { doc, table, title, span, entries: Some(entries), meant }
    }

    fn key(&self, name: &str) -> &'static Key {
        self.table.key(name).expect("the checks name only keys of their table: each is read by a test")
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let key = self.key(name);
        let (at, raw) = self.entries?.get_key_value(name)?;
        Some(Value::of_key(self.doc, key, at.span(), raw))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(name))
    }

    /// Whether nothing stands in it, not even what is at fault.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_none_or(|entries| entries.is_empty())
    }

    /// Whether a misspelt key stands for this one.
    pub(crate) fn meant(&self, name: &str) -> bool {
        self.meant.contains(&name)
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&self, name: &str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() && !self.meant(name) {
            let place = if self.title.is_empty() { "the file" } else { &self.title };
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
    fn read<T>(&self, name: &str, read: impl FnOnce(Value<'a>) -> Option<T>, default: impl FnOnce(&str) -> Result<T, Wrong>) -> T {
        self.get(name)
            .and_then(read)
            .unwrap_or_else(|| default(self.default(name)).unwrap_or_else(|wrong| panic!("default of `{name}`: {}", wrong.message)))
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
        let value = self.read(name, Value::integer, |text| text.parse().map_err(|_| Wrong::new("not a number", "")));
        T::try_from(value).unwrap_or_else(|_| panic!("the range of `{name}` does not fit its type"))
    }

    /// As [`Section::integer`], for a key whose absence means something else.
    pub(crate) fn optional_integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        T::try_from(self.get(name)?.integer()?).ok()
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.read(name, Value::number, |text| text.parse().map_err(|_| Wrong::new("not a number", "")))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.read(name, Value::flag, |text| Ok(text == "true"))
    }

    /// One of the words of the key's entry.
    pub(crate) fn choice(&self, name: &str) -> &'static str {
        self.get(name).and_then(Value::choice).unwrap_or_else(|| self.default(name))
    }

    /// A text with a default.
    pub(crate) fn string(&self, name: &str) -> String {
        self.get(name).and_then(Value::text).map_or_else(|| self.default(name).to_owned(), Text::into_string)
    }

    /// A text that stands for a key, given on the command line.
    pub(crate) fn argument(&self, name: &str, span: Span) -> Text<'a> {
        Text::argument(self.doc, self.key(name), span)
    }

    /// A table under this one; an absent one if it is not there.
    pub(crate) fn section(&self, name: &str, table: &'static Table) -> Section<'a> {
        self.get(name).and_then(|value| value.section(table, self.under(name))).unwrap_or_else(|| Section::absent(self.doc, table))
    }

    /// The header of a table under this one.
    pub(crate) fn under(&self, name: &str) -> String {
        match self.title.trim_matches(['[', ']']) {
            "" => format!("[{name}]"),
            title => format!("[{title}.{name}]"),
        }
    }
}

//! A string of the file, given there or fetched.

use std::path::Path;

use super::{Doc, Span, Value};
use crate::keys::{Key, Kind};
use crate::report::shown;
use crate::units::Wrong;

/// A string of the file.
pub(crate) struct Text<'a> {
    text: String,
    pub(super) origin: Origin,
    pub(super) kind: &'static Kind,
    label: String,
    doc: &'a Doc<'a>,
    span: Span,
}

pub(super) enum Origin {
    /// In the file, and where it begins if no escapes are in it.
    Written(Option<usize>),
    /// Never to be shown: from elsewhere, or a credential. What messages call it.
    Fetched(String),
}

impl<'a> Text<'a> {
    pub(super) fn new(value: &Value<'a>, text: String, origin: Origin) -> Self {
        Self { text, origin, kind: value.kind, label: value.label.clone(), doc: value.doc, span: value.span() }
    }

    /// A part of the text that is no TOML.
    pub(super) fn argument(doc: &'a Doc<'a>, key: &'static Key, span: Span) -> Self {
        let text = doc.text[span.clone()].to_owned();
        Self { text, origin: Origin::Written(Some(span.start)), kind: &key.kind, label: key.name.into(), doc, span }
    }

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

    /// As [`Text::read`], of the file that it names, beginning where the configuration stands.
    pub(crate) fn read_file<T>(&self, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let told = from_file(&self.doc.folder.join(&self.text))
            .map_err(|why| Wrong::new(format!("the file {} can't be read", shown(&self.text)), why));
        match told.and_then(|text| read(&text)) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(Wrong { at: None, ..wrong });
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
                    format!("{origin} is not a legal {}", self.label),
                    format!("it must be {}", self.kind.describe()),
                );
            }
            Origin::Written(inside) => {
                let at = inside
                    .zip(wrong.at.filter(|at| !at.is_empty()))
                    .map_or_else(|| self.span(), |(start, at)| start + at.start..start + at.end);
                self.doc.fault(at, wrong.message, wrong.hint);
            }
        }
    }

    pub(super) fn within<T: PartialOrd>(
        &self,
        value: T,
        least: Result<T, Wrong>,
        most: Result<T, Wrong>,
        min: &str,
        max: &str,
    ) -> Option<T> {
        let too_small = least.is_ok_and(|least| value < least);
        if too_small || most.is_ok_and(|most| value > most) {
            let hint = if too_small { format!("the least is \"{min}\"") } else { format!("the most is \"{max}\"") };
            self.wrong(Wrong::new(format!("{} must be from {min} to {max}", self.label), hint));
            return None;
        }
        Some(value)
    }
}

pub(super) fn from_environment(name: &str) -> Result<String, String> {
    // `std::env::var` panics at these.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("this can't be the name of an environment variable".to_owned());
    }
    std::env::var(name).map_err(|why| match why {
        std::env::VarError::NotPresent => "it is not set".to_owned(),
        std::env::VarError::NotUnicode(_) => "it is not UTF-8".to_owned(),
    })
}

pub(super) fn from_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    const LARGEST: u64 = 1 << 20;
    // Asked before it is opened: opening a pipe would wait for whoever writes to it.
    let about = std::fs::metadata(path).map_err(|why| why.to_string())?;
    if !about.is_file() {
        return Err("it is not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|why| why.to_string())?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|why| why.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let line = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(line);
    Ok(text)
}

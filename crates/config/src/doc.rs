//! Walks a parsed TOML document with the key tables in hand, and collects the faults on the way.
//!
//! A [`Section`] is a table of the language met in the file: opening one reports unknown, misspelt and planned keys. A [`Value`]
//! is what a key holds, a [`Text`] a string of it, given there or fetched from the environment or a file.

mod secrets;
mod section;
mod text;
mod value;

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::secrets::is_sensitive;
pub(crate) use self::section::Section;
pub(crate) use self::text::Text;
pub(crate) use self::value::{Name, Value};
use crate::report::{Fault, Severity, Source};

type Span = Range<usize>;

/// The text being read and what was found wrong with it so far.
pub(crate) struct Doc<'a> {
    text: &'a str,
    /// Where `{ file = … }` begins.
    folder: PathBuf,
    /// What the parser could not read. What seems to be missing may have stood there.
    unreadable: Vec<Span>,
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
    pub(crate) fn new(name: &str, text: &'a str) -> Self {
        let folder = Path::new(name).parent().map(Path::to_path_buf).unwrap_or_default();
        Self { text, folder, unreadable: Vec::new(), drafts: RefCell::default(), masked: RefCell::new(secrets::written(text)) }
    }

    pub(crate) fn fault(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.draft(Severity::Error, span, message.into(), hint.into());
    }

    pub(crate) fn warn(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.draft(Severity::Warning, span, message.into(), hint.into());
    }

    /// A fault about something that is not there, or not found elsewhere in the file.
    pub(crate) fn missing(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        if self.unreadable.is_empty() {
            self.fault(span, message, hint);
        }
    }

    /// Nothing found here later is a fault of its own.
    ///
    /// To be called in the order of the text.
    pub(crate) fn unreadable(&mut self, span: Span) {
        match self.unreadable.last_mut() {
            Some(last) if last.end >= span.start => last.end = last.end.max(span.end),
            _ => self.unreadable.push(span),
        }
    }

    pub(crate) fn is_unreadable(&self, at: usize) -> bool {
        let after = self.unreadable.partition_point(|span| span.start <= at);
        after > 0 && self.unreadable[after - 1].end > at
    }

    /// A secret stands here.
    pub(crate) fn hide(&self, span: Span) {
        self.masked.borrow_mut().push(span);
    }

    /// Whether a secret stands here.
    pub(crate) fn is_secret(&self, at: usize) -> bool {
        self.masked.borrow().iter().any(|span| span.contains(&at))
    }

    fn draft(&self, severity: Severity, span: Span, message: String, hint: String) {
        if self.is_unreadable(span.start) {
            return;
        }
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        self.drafts.borrow_mut().push(Draft { severity, span, message, hint });
    }

    /// All faults in the order of the text, their source free of secrets.
    pub(crate) fn into_faults(self, name: &str) -> (Vec<Fault>, Arc<Source>) {
        let text = secrets::mask(self.text, &self.masked.into_inner());
        let source = Arc::new(Source::new(name.to_owned(), text));
        let mut drafts = self.drafts.into_inner();
        drafts.sort_by_key(|draft| (draft.span.start, draft.span.end));
        (drafts.into_iter().map(|d| Fault::at(&source, d.severity, d.span, d.message, d.hint)).collect(), source)
    }
}

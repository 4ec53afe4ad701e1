//! What users see of a faulty configuration: every fault with its place, the line it stands on and what to do about it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Everything wrong with a configuration, in the order of the text.
#[derive(Clone, Debug)]
pub struct Report {
    faults: Vec<Fault>,
}

impl Report {
    /// Of these faults, in the order of the text; there must be one.
    pub fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// The faults, in the order of the text. Never empty.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// All faults for people, one below the other, in the manner of rustc. With `colour`, ANSI escapes are used.
    pub fn render(&self, colour: bool) -> String {
        let rendered: Vec<String> = self.faults.iter().map(|fault| fault.render(colour)).collect();
        rendered.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// How bad a [`Fault`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is legal, but hardly meant.
    Warning,
}

/// One thing wrong with a configuration.
#[derive(Clone)]
pub struct Fault {
    /// Errors refuse the configuration, warnings do not.
    pub severity: Severity,
    /// From 1; 0 when the fault has no place in the text, such as an unreadable file.
    pub line: usize,
    /// From 1, in characters; 0 as above.
    pub column: usize,
    /// Bytes of the text, within it and at character boundaries.
    pub span: Range<usize>,
    /// What is wrong, in one sentence. Never shows a secret.
    pub message: String,
    /// What to write instead, or why it is wrong.
    pub hint: Option<String>,
    source: Arc<Source>,
}

/// The text that faults point into. Secrets in it are already masked.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: String, text: String) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let lines = std::iter::once(0).chain(after_newlines).collect();
        Self { name, text, lines }
    }

    /// The number of the line that holds `at`, from 1, and where it begins.
    fn line(&self, at: usize) -> (usize, usize) {
        let number = self.lines.partition_point(|start| *start <= at);
        (number, self.lines[number - 1])
    }
}

impl Fault {
    /// A fault at `span`, which is moved into the text and onto character boundaries.
    pub(crate) fn at(source: &Arc<Source>, severity: Severity, span: Range<usize>, message: String, hint: Option<String>) -> Self {
        let text = &source.text;
        let start = floor(text, span.start);
        let end = ceil(text, span.end).max(start);
        let (line, line_start) = source.line(start);
        Self {
            severity,
            line,
            column: text[line_start..start].chars().count() + 1,
            span: start..end,
            message,
            hint,
            source: Arc::clone(source),
        }
    }

    /// A fault of the file as a whole.
    pub(crate) fn without_place(name: String, message: String, hint: Option<String>) -> Self {
        let source = Arc::new(Source::new(name, String::new()));
        Self { severity: Severity::Error, line: 0, column: 0, span: 0..0, message, hint, source }
    }

    /// The file, or whatever the text was called.
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// This fault for people: place, line, caret, hint. With `colour`, ANSI escapes are used. Ends with a newline.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message);
        if self.line == 0 {
            let hint = self.hint.as_ref().map(|hint| Level::HELP.message(hint));
            return renderer.render(&[title.elements(hint)]) + "\n";
        }
        // The line of the fault alone: what runs over several lines is pointed at where it begins.
        let text = &self.source.text;
        let (_, start) = self.source.line(self.span.start);
        let end = text[self.span.start..].find('\n').map_or(text.len(), |newline| self.span.start + newline);
        let end = if text[start..end].ends_with('\r') { end - 1 } else { end };
        let caret = self.span.start.min(end) - start..self.span.end.min(end) - start;
        let snippet = Snippet::source(&text[start..end])
            .path(&self.source.name)
            .line_start(self.line)
            .annotation(AnnotationKind::Primary.span(caret).label(self.hint.as_deref()));
        renderer.render(&[title.element(snippet)]) + "\n"
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {:?}: {}", self.file(), self.line, self.column, self.severity, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (at..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

/// Text of the user's own, fit to stand in a message: control characters escaped, long ones cut.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.is_empty() {
        return "an empty text".to_owned();
    }
    let mut escaped = String::from("`");
    for (at, c) in text.chars().enumerate() {
        if at == LONGEST {
            escaped.push('…');
            break;
        }
        if c.is_control() {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped.push('`');
    escaped
}

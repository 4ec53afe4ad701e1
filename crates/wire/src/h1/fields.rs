//! Field lines: their grammar (row A5), and a head's worth of them.

use super::bytes::{TOKEN_CLASS, UNDERSCORE, find_control, trim, trimmed_range};
use super::fault::Syntax;
use super::lines::Progress;
use super::name::Name;
use super::{Limits, Span};

/// One field line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name as it came: any case, never empty, a token.
    pub name: Span,
    /// Its value without spaces and tabs around it. No control byte but tab; may have bytes from 0x80.
    pub value: Span,
    /// Which it is, if the proxy acts on it.
    pub known: Name,
    /// Never forwarded as is: [`Name::is_hop`], or nominated by `Connection` (row D4).
    pub hop: bool,
    /// The name has a `_` (row D5).
    pub underscore: bool,
}

/// Where the parts of a legal field line are.
struct Line {
    start: usize,
    /// Of the colon.
    name_end: usize,
    /// Of the CRLF.
    end: usize,
    /// What kinds of bytes are in the name.
    classes: u8,
}

impl Line {
    /// Reads the line that begins at `start`, if it is as nearly all are: whole, legal, of at most `most` bytes with its CRLF, no tab
    /// in it. One pass over the bytes; for any other line [`Line::parse`] has the verdict.
    #[inline]
    fn parse_usual(buf: &[u8], start: usize, most: usize) -> Option<Line> {
        let (name_len, classes) = scan_name(buf.get(start..)?);
        let name_end = start + name_len;
        if name_len == 0 || *buf.get(name_end)? != b':' {
            return None;
        }
        let end = find_control(buf, name_end + 1)?;
        if buf.get(end..end + 2)? != b"\r\n" || end + 2 - start > most {
            return None;
        }
        Some(Line { start, name_end, end, classes })
    }

    /// Reads one line without its CRLF.
    fn parse(buf: &[u8], line: Span) -> Result<Line, Syntax> {
        let text = line.of(buf);
        let (name_len, classes) = scan_name(text);
        if text.get(name_len) != Some(&b':') || name_len == 0 {
            return Err(name_fault(text, name_len));
        }
        check_controls(&text[name_len + 1..])?;
        let start = line.start as usize;
        Ok(Line { start, name_end: start + name_len, end: line.end(), classes })
    }

    #[inline]
    fn field(&self, buf: &[u8]) -> Field {
        let known = Name::of(&buf[self.start..self.name_end]);
        Field {
            name: Span::new(self.start, self.name_end),
            value: trimmed(&buf[self.name_end + 1..self.end], self.name_end + 1),
            known,
            hop: known.is_hop(),
            underscore: self.classes & UNDERSCORE != 0,
        }
    }
}

/// How many token bytes the line begins with, and which kinds of them.
#[inline]
fn scan_name(text: &[u8]) -> (usize, u8) {
    let mut classes = 0;
    for (i, &b) in text.iter().enumerate() {
        let class = TOKEN_CLASS[usize::from(b)];
        if class == 0 {
            return (i, classes);
        }
        classes |= class;
    }
    (text.len(), classes)
}

/// The span of `value`, which begins at offset `start`, without the spaces and tabs around it.
#[inline]
fn trimmed(value: &[u8], start: usize) -> Span {
    // Nearly every value is one space, then text that ends in no space.
    if let [b' ', first, .., last] = value
        && *first > b' '
        && *last > b' '
    {
        return Span::new(start + 1, start + value.len());
    }
    let text = trimmed_range(value);
    Span::new(start + text.start, start + text.end)
}

#[cold]
fn name_fault(text: &[u8], name_len: usize) -> Syntax {
    match text.get(name_len) {
        None => Syntax::NoColon,
        Some(b' ' | b'\t') if name_len == 0 => Syntax::FoldedLine,
        Some(b' ' | b'\t') if trim(&text[name_len..]).first() == Some(&b':') => Syntax::SpaceBeforeColon,
        Some(b'\r') => Syntax::BareCr,
        Some(_) => Syntax::FieldName,
    }
}

fn check_controls(value: &[u8]) -> Result<(), Syntax> {
    match value.iter().find(|b| b.is_ascii_control() && **b != b'\t') {
        None => Ok(()),
        Some(b'\r') => Err(Syntax::BareCr),
        Some(_) => Err(Syntax::ControlByte),
    }
}

/// Which known names a head has: one bit a name, so that what is absent is not searched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Present(u64);

impl Present {
    #[inline]
    pub(super) fn add(&mut self, name: Name) {
        self.0 |= 1 << name as u64;
    }

    #[inline]
    pub(super) fn has(self, name: Name) -> bool {
        self.0 & (1 << name as u64) != 0
    }
}

/// Reads field lines as long as there are whole ones. True if the empty line is reached: `progress` then stands before it.
pub(super) fn parse_lines(
    buf: &[u8],
    all: &mut Vec<Field>,
    present: &mut Present,
    progress: &mut Progress,
    limits: &Limits,
) -> Result<bool, Syntax> {
    loop {
        let usual = match progress.most_if_fresh(limits) {
            Some(most) => Line::parse_usual(buf, progress.line, most),
            None => None,
        };
        let line = match usual {
            Some(line) => line,
            None => match progress.next_line(buf, limits.line, limits)? {
                None => return Ok(false),
                Some(line) if line.is_empty() => return Ok(true),
                Some(line) => Line::parse(buf, line)?,
            },
        };
        if all.len() >= limits.fields {
            return Err(Syntax::TooManyFields);
        }
        let field = line.field(buf);
        present.add(field.known);
        all.push(field);
        progress.accept(line.end);
    }
}

/// The fields of a head while its whole is judged.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) buf: &'a [u8],
    pub(super) all: &'a [Field],
    pub(super) present: Present,
}

impl<'a> Fields<'a> {
    /// Every value of a known name.
    pub(super) fn values(self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        let all = if self.present.has(name) { self.all } else { &[] };
        all.iter().filter(move |f| f.known == name).map(move |f| f.value.of(self.buf))
    }

    /// The value of a name that may stand once.
    pub(super) fn single(self, name: Name) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Repeated),
        }
    }
}

/// A field that may stand once stands more often.
#[derive(Debug)]
pub(super) struct Repeated;

/// Fields of any name, `lower` being in lower case. Shared by requests and responses.
pub(super) fn named<'a>(fields: &'a [Field], buf: &[u8], lower: &[u8]) -> impl Iterator<Item = &'a Field> {
    fields.iter().filter(move |f| f.name.of(buf).eq_ignore_ascii_case(lower))
}

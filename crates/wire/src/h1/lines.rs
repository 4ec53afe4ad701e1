//! Cutting a head into lines, as the bytes come in. Here lives row A13: the same lines and the same verdict however they arrive.

use super::fault::Syntax;
use super::{Limits, Span};
use memchr::memchr;

/// How far a head has been looked at. Start each message with the default; it is back at the default when the head is complete.
///
/// Because of it no byte is searched twice: a head that comes one byte at a time costs O(n), not O(n²).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Where the line begins that is not yet complete.
    pub(super) line: usize,
    /// No LF between `line` and here.
    pub(super) scanned: usize,
    /// The start line is behind us.
    pub(super) in_fields: bool,
}

impl Progress {
    /// The line that begins at `self.line`, without its CRLF, if it is all there. `longest` is what it may have without the CRLF.
    pub(super) fn next_line(
        &mut self,
        buf: &[u8],
        longest: usize,
        limits: &Limits,
    ) -> Result<Option<Span>, Syntax> {
        let most = self.most(longest, limits);
        let seen = buf.len().min(self.line + most);
        let fresh = buf.get(self.scanned..seen).unwrap_or_default();
        let Some(found) = memchr(b'\n', fresh) else {
            if seen == self.line + most {
                let is_line = most == longest.saturating_add(2);
                return Err(if is_line {
                    Syntax::LineTooLong
                } else {
                    Syntax::HeadTooLarge
                });
            }
            self.scanned = self.scanned.max(seen);
            return Ok(None);
        };
        let lf = self.scanned + found;
        if lf == self.line || buf[lf - 1] != b'\r' {
            return Err(Syntax::BareLf);
        }
        Ok(Some(Span::new(self.line, lf - 1)))
    }

    /// Most bytes that the line which begins at `self.line` may have with its CRLF, if `longest` without is the limit for the line.
    #[inline]
    pub(super) fn most(&self, longest: usize, limits: &Limits) -> usize {
        let left = limits.head.min(u32::MAX as usize).saturating_sub(self.line);
        left.min(longest.saturating_add(2))
    }

    /// The line that ends at `end`, its CRLF not counted, has been judged and is good; go on behind it.
    #[inline]
    pub(super) fn accept(&mut self, end: usize) {
        self.line = end + 2;
        self.scanned = self.line;
        self.in_fields = true;
    }

    /// The empty line has been judged. Gives the length of the head and goes back to the start.
    pub(super) fn finish(&mut self) -> usize {
        let len = self.line + 2;
        *self = Progress::default();
        len
    }
}

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
    #[inline]
    pub(super) fn next_line(
        &mut self,
        buf: &[u8],
        longest: usize,
        limits: &Limits,
    ) -> Result<Option<Span>, Syntax> {
        let left = limits.head.min(u32::MAX as usize).saturating_sub(self.line);
        let most = left.min(longest.saturating_add(2));
        let seen = buf.len().min(self.line + most);
        let fresh = buf.get(self.scanned..seen).unwrap_or_default();
        let Some(found) = memchr(b'\n', fresh) else {
            if seen == self.line + most {
                return Err(if left > longest.saturating_add(2) {
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

    /// The line has been judged and is good; go on behind its CRLF.
    #[inline]
    pub(super) fn accept(&mut self, line: Span) {
        self.line = line.end() + 2;
        self.scanned = self.line;
        self.in_fields = true;
    }
}

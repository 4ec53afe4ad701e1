//! Cutting a head into lines, as the bytes come in. Here lives row A13: the same lines and the same verdict however they arrive.

use super::fault::Syntax;
use super::{Limits, Span};
use memchr::memchr;

/// How far a head has been looked at. Start each message with the default; it is back at the default when the head is complete.
///
/// Because of it no byte is searched again and again: a head that comes one byte at a time costs O(n), not O(n²).
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
    pub(super) fn next_line(&mut self, buf: &[u8], longest: usize, limits: &Limits) -> Result<Option<Span>, Syntax> {
        let most = self.most(longest, limits);
        let seen = buf.len().min(self.line + most);
        let fresh = buf.get(self.scanned..seen).unwrap_or_default();
        let Some(found) = memchr(b'\n', fresh) else {
            if seen == self.line + most {
                let is_line = most == longest.saturating_add(2);
                return Err(if is_line { Syntax::LineTooLong } else { Syntax::HeadTooLarge });
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

    /// Most bytes that the next field line may have with its CRLF, unless a part of it has been looked at before.
    #[inline]
    pub(super) fn most_if_fresh(&self, limits: &Limits) -> Option<usize> {
        (self.scanned == self.line).then(|| self.most(limits.line, limits))
    }

    /// Most bytes that the line which begins at `self.line` may have with its CRLF, if `longest` without is the limit for the line.
    #[inline]
    fn most(&self, longest: usize, limits: &Limits) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_looked_at_once_is_never_read_from_its_start_again_a13() {
        let mut progress = Progress::default();
        let limits = Limits::DEFAULT;
        assert!(progress.most_if_fresh(&limits).is_some());
        assert_eq!(progress.next_line(b"X: ab", 100, &limits), Ok(None));
        assert_eq!((progress.scanned, progress.most_if_fresh(&limits)), (5, None));
        let line = progress.next_line(b"X: ab\r\nY", 100, &limits);
        assert_eq!(line, Ok(Some(Span::new(0, 5))));
        progress.accept(5);
        assert!(progress.most_if_fresh(&limits).is_some());
    }

    #[test]
    fn the_limit_that_is_reached_first_is_the_one_named_a12() {
        let verdict = |head: usize| {
            let limits = Limits { head, ..Limits::DEFAULT };
            Progress::default().next_line(&[b'a'; 200], 100, &limits)
        };
        assert_eq!(verdict(101), Err(Syntax::HeadTooLarge));
        assert_eq!(verdict(102), Err(Syntax::LineTooLong));
    }
}

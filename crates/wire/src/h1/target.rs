//! The request target in its three forms (RFC 9112 3.2; row A11). The fourth, of `CONNECT`, never gets here.

use super::Span;
use super::fault::Reject;
use memchr::memchr;

/// A target cut into its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Target {
    /// From the path on.
    pub(super) origin: Span,
    pub(super) path: Span,
    pub(super) query: Span,
    pub(super) form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Form {
    #[default]
    Origin,
    Asterisk,
    /// The authority it names, and the port that its scheme implies.
    Absolute {
        authority: Span,
        port: u16,
    },
}

impl Target {
    /// Reads the target that lies at `span`. `is_options` because only `OPTIONS` may ask for `*`.
    pub(super) fn parse(buf: &[u8], span: Span, is_options: bool) -> Result<Target, Reject> {
        let text = span.of(buf);
        if text.iter().fold(false, |bad, &b| bad | !(0x21..=0x7e).contains(&b) | (b == b'#')) {
            return Err(Reject::BadTarget);
        }
        match text {
            [b'/', ..] => Ok(Target::from_path(buf, span, Form::Origin)),
            b"*" if is_options => Ok(Target { origin: span, form: Form::Asterisk, ..Target::default() }),
            _ => Target::absolute(buf, span),
        }
    }

    fn absolute(buf: &[u8], span: Span) -> Result<Target, Reject> {
        let text = span.of(buf);
        let has_scheme = |scheme: &[u8]| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let (scheme_len, port) = match () {
            () if has_scheme(b"http://") => (7, 80),
            () if has_scheme(b"https://") => (8, 443),
            () => return Err(Reject::BadTarget),
        };
        let start = span.start as usize + scheme_len;
        let authority_len = text[scheme_len..].iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(text.len() - scheme_len);
        let origin = Span::new(start + authority_len, span.end());
        let form = Form::Absolute { authority: Span::new(start, start + authority_len), port };
        Ok(Target::from_path(buf, origin, form))
    }

    fn from_path(buf: &[u8], origin: Span, form: Form) -> Target {
        let (start, end) = (origin.start as usize, origin.end());
        let (path, query) = match memchr(b'?', origin.of(buf)) {
            Some(at) => (Span::new(start, start + at), Span::new(start + at + 1, end)),
            None => (origin, Span::new(end, end)),
        };
        Target { origin, path, query, form }
    }
}

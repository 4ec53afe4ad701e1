//! A reader of chunked bodies without any state: slow, whole input only, and plain enough to be believed.

pub fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// The payload and the length of the whole body, if it is all there and legal.
pub fn chunked(data: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut payload = Vec::new();
    let (mut at, mut overhead) = (0, 0);
    loop {
        let line = line(&data[at..])?;
        at += line.len() + 2;
        overhead += line.len() + 2;
        if line.len() > 256 || overhead > payload.len() * 16 + 4096 {
            return None;
        }
        let digits = line.iter().position(|&b| b == b';').unwrap_or(line.len());
        let size = size(&line[..digits])?;
        if !are_extensions(&line[digits..]) {
            return None;
        }
        if size == 0 {
            return trailers(&data[at..]).map(|len| (payload, at + len));
        }
        payload.extend_from_slice(data.get(at..at.checked_add(size)?)?);
        at += size + 2;
        overhead += 2;
        if data.get(at - 2..at)? != b"\r\n" {
            return None;
        }
    }
}

fn line(data: &[u8]) -> Option<&[u8]> {
    data.windows(2).position(|pair| pair == b"\r\n").map(|end| &data[..end])
}

fn size(digits: &[u8]) -> Option<usize> {
    if digits.len() > 13 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn are_extensions(text: &[u8]) -> bool {
    let Some((b';', text)) = text.split_first() else {
        return text.is_empty();
    };
    let Some(text) = after_token(text) else {
        return false;
    };
    match text.split_first() {
        Some((b'=', [b'"', quoted @ ..])) => after_quoted(quoted).is_some_and(are_extensions),
        Some((b'=', value)) => after_token(value).is_some_and(are_extensions),
        _ => are_extensions(text),
    }
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|&&b| is_token_byte(b)).count();
    (len > 0).then(|| &text[len..])
}

fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'"', rest @ ..] => Some(rest),
        [b'\\', b, rest @ ..] | [b, rest @ ..] if !b.is_ascii_control() => after_quoted(rest),
        _ => None,
    }
}

/// The length of the trailer section with its empty line.
fn trailers(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line(&data[at..])?;
        if line.is_empty() {
            return (at <= 8192).then_some(at + 2);
        }
        at += line.len() + 2;
        let (b':', value) = after_token(line)?.split_first()? else {
            return None;
        };
        if value.iter().any(|&b| b.is_ascii_control() && b != b'\t') {
            return None;
        }
    }
}

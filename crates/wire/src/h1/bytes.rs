//! Which byte may stand where: the tables and scans the parsers share.

/// A byte of a token (RFC 9110 5.6.2).
const TOKEN: u8 = 1;
/// `_`: a token byte that names of fields had better not have (row D5).
pub(super) const UNDERSCORE: u8 = 2;

/// For each byte, 0 if it can't be in a token, else [`TOKEN`] and perhaps [`UNDERSCORE`].
pub(super) static TOKEN_CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            table[b] = if byte == b'_' {
                TOKEN | UNDERSCORE
            } else {
                TOKEN
            };
        }
        b += 1;
    }
    table
};

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_CLASS[usize::from(byte)] != 0
}

pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_byte(b))
}

/// Whether any byte is a control (below space, or DEL). A tab counts as one: the caller looks closer, it is rare.
#[inline]
pub(super) fn has_control(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else {
        return text.iter().any(|b| b.is_ascii_control());
    };
    // Whole words from the front, then the last eight bytes again, which may overlap: no tail to loop over.
    let (words, _) = text.as_chunks::<8>();
    let mut found = control_bits(*last);
    for word in words {
        found |= control_bits(*word);
    }
    found != 0
}

/// Nonzero if a byte of the word is below 0x20 or equal to 0x7f.
#[inline]
fn control_bits(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(word);
    let delete = word ^ (ONES * 0x7f);
    ((word.wrapping_sub(ONES * 0x20) & !word) | (delete.wrapping_sub(ONES) & !delete))
        & (ONES * 0x80)
}

/// `text` in any case is `lower`. Exact for token bytes only, which is all that names and codings consist of: among them only
/// capitals become a letter or `-` by setting the bit.
#[inline]
pub(super) fn is<const N: usize>(text: &[u8], lower: &[u8; N]) -> bool {
    match <&[u8; N]>::try_from(text) {
        Ok(text) => text.map(|b| b | 0x20) == *lower,
        Err(_) => false,
    }
}

/// Without the spaces and tabs around it (RFC 9110 5.6.3).
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let is_text = |b: &u8| !matches!(b, b' ' | b'\t');
    match (
        text.iter().position(is_text),
        text.iter().rposition(is_text),
    ) {
        (Some(first), Some(last)) => &text[first..=last],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_byte_is_found_at_every_place() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=255u8 {
                    let mut text = vec![b'a'; len];
                    text[at] = byte;
                    assert_eq!(
                        has_control(&text),
                        byte.is_ascii_control(),
                        "{byte} at {at} of {len}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_token_byte_but_a_capital_folds_to_a_letter_or_hyphen() {
        for byte in (0..=255u8).filter(|&b| is_token_byte(b)) {
            let folded = byte | 0x20;
            if folded.is_ascii_lowercase() || folded == b'-' {
                assert_eq!(folded, byte.to_ascii_lowercase());
            }
        }
    }
}

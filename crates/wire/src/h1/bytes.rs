//! Which byte may stand where: the tables and scans the parsers share.

use std::ops::Range;

/// One in every byte of a word.
const ONES: u64 = u64::from_le_bytes([1; 8]);
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
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
        {
            table[b] = if byte == b'_' { TOKEN | UNDERSCORE } else { TOKEN };
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

/// Index of the first control byte from `start` on, tabs included. Cost: eight bytes a step.
#[inline]
pub(super) fn find_control(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = control_bits(*word);
        if found != 0 {
            // Little-endian words have their first byte lowest; the lowest bit found is exact, those above it may not be.
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    text.get(at..)?.iter().position(u8::is_ascii_control).map(|found| at + found)
}

/// Nonzero if a byte of the word is below 0x20 or equal to 0x7f.
#[inline]
fn control_bits(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let delete = word ^ (ONES * 0x7f);
    ((word.wrapping_sub(ONES * 0x20) & !word) | (delete.wrapping_sub(ONES) & !delete)) & (ONES * 0x80)
}

/// `text` in any case is `lower`: letters, digits and `-`, at most 24 bytes. Exact where `text` has no control byte, and so for all
/// names and values: of the other bytes only capitals become one of those by setting the bit.
///
/// Cost: one to three compares of words, which may overlap; the compiler knows which.
#[inline]
pub(super) fn is<const N: usize>(text: &[u8], lower: &[u8; N]) -> bool {
    const { assert!(N <= 24) }
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return false;
    };
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let middle = N.min(16) - 8;
        fold8(*first) == lower_word(lower, 0)
            && fold8(*last) == lower_word(lower, N - 8)
            && (N <= 16 || fold8(word_at(text, middle)) == lower_word(lower, middle))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        fold4(*first) == u32::from_le_bytes(word_at(lower, 0)) && fold4(*last) == u32::from_le_bytes(word_at(lower, N - 4))
    } else {
        text.map(|b| b | 0x20) == *lower
    }
}

fn fold8(word: [u8; 8]) -> u64 {
    u64::from_le_bytes(word) | (ONES * 0x20)
}

fn fold4(word: [u8; 4]) -> u32 {
    u32::from_le_bytes(word) | 0x2020_2020
}

fn lower_word<const N: usize>(lower: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(word_at(lower, at))
}

/// The bytes from `at`; zeros if there are not so many, which no caller asks for.
fn word_at<const N: usize, const W: usize>(text: &[u8; N], at: usize) -> [u8; W] {
    text.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; W])
}

/// Without the spaces and tabs around it (RFC 9110 5.6.3).
pub(super) fn trim(text: &[u8]) -> &[u8] {
    &text[trimmed_range(text)]
}

/// Where in `text` the part is that [`trim`] leaves. At its start if nothing is left.
pub(super) fn trimmed_range(text: &[u8]) -> Range<usize> {
    let is_text = |b: &u8| !matches!(b, b' ' | b'\t');
    match (text.iter().position(is_text), text.iter().rposition(is_text)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
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
                    assert_eq!(has_control(&text), byte.is_ascii_control(), "{byte} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn the_first_control_byte_is_found_from_every_start() {
        for len in 0..30 {
            for at in 0..len {
                let mut text = vec![b'\xe9'; len];
                text[at..].fill(b'\r');
                for start in 0..=len {
                    let found = find_control(&text, start);
                    assert_eq!(found, (start < len).then_some(start.max(at)), "{at} of {len}");
                }
            }
        }
    }

    #[test]
    fn no_byte_but_a_capital_folds_to_a_letter_digit_or_hyphen() {
        for byte in (0..=255u8).filter(|b| !b.is_ascii_control()) {
            let folded = byte | 0x20;
            if folded.is_ascii_lowercase() || folded.is_ascii_digit() || folded == b'-' {
                assert_eq!(folded, byte.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn a_name_of_any_length_is_compared_to_its_last_byte() {
        fn check<const N: usize>(lower: &[u8; N]) {
            let upper = lower.to_ascii_uppercase();
            assert!(is(&upper, lower) && is(lower, lower));
            assert!(!is(&upper[1..], lower) && !is(b"", lower));
            for at in 0..N {
                let mut other = *lower;
                other[at] = b'!';
                assert!(!is(&other, lower), "{at} of {N}");
            }
        }
        check(b"te");
        check(b"via");
        check(b"host");
        check(b"cookie");
        check(b"upgrade");
        check(b"location");
        check(b"forwarded");
        check(b"accept-encoding");
        check(b"proxy-connection");
        check(b"transfer-encoding");
        check(b"proxy-authorization");
        check(b"sec-websocket-version");
        check(b"abcdefghijklmnopqrstuvwx");
    }
}

//! The opening handshake of RFC 6455, as far as a proxy needs it: what a key looks like and what must answer it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What every accept key is salted with (RFC 6455 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 4.2.2).
///
/// Cost: one SHA-1 over 60 bytes, no allocation. The key is not checked here, see [`is_valid_key`].
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(28), "20 bytes are 28 in base64");
    accept
}

/// Whether this can be a `Sec-WebSocket-Key`: 16 bytes in base64, so 22 letters of its alphabet and two `=`.
///
/// The four spare bits of the last letter are not looked at: clients that leave them set exist, and nothing hangs on them.
pub fn is_valid_key(key: &[u8]) -> bool {
    let is_letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(is_letter) && &key[22..] == b"=="
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_sixteen_bytes_of_base64_are_a_key() {
        assert!(is_valid_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        let bad: [&[u8]; 6] = [
            b"",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQ===",
            b"dGhlIHNhbXBsZSBub25jZQ=a",
            b"dGhlIHNhbXBsZSBub25j====",
            b"dGhlIHNhbXBsZSBub25j,Q==",
        ];
        for key in bad {
            assert!(!is_valid_key(key), "{key:?}");
        }
    }
}

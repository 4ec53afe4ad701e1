//! The token in a sticky cookie: AES-256-GCM-SIV (RFC 8452), so that a nonce that comes twice tells nothing but that the two are equal.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const TAG: usize = 16;
const SEALED: usize = NONCE_LEN + 8 + TAG;
/// Length of a token: fits a cookie, and every character of it counts.
pub const TOKEN: usize = SEALED / 3 * 4;

/// Keys that can be rotated: the first seals, every one opens.
///
/// To rotate, put a new one first and take the old one out once the cookies that it sealed have expired.
pub struct Keys(Box<[LessSafeKey]>);

/// What a token said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The backend's identity, as it was sealed.
    pub backend: u64,
    /// Sealed with the first key; another one is about to go.
    pub is_current: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// From secrets of any length, of which the user answers for the strength.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(secrets.into_iter().map(key).collect())
    }

    /// Seals a backend's identity for one use of it, `scope`: a token opens nowhere else. `nonce` is drawn anew for each token.
    ///
    /// Cost: 0.5 µs.
    pub fn seal(&self, backend: u64, scope: &[u8], nonce: [u8; NONCE_LEN]) -> [u8; TOKEN] {
        let mut sealed = [0; SEALED];
        let (head, rest) = sealed.split_at_mut(NONCE_LEN);
        head.copy_from_slice(&nonce);
        let (text, tag) = rest.split_at_mut(8);
        text.copy_from_slice(&backend.to_be_bytes());
        let made =
            self.0.first().map(|key| key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(scope), text));
        // Without a tag it opens nowhere, which is what a token that could not be sealed must do.
        if let Some(Ok(made)) = made {
            tag.copy_from_slice(made.as_ref());
        }
        let mut token = [0; TOKEN];
        // The length fits exactly: three bytes are four characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(sealed, &mut token);
        token
    }

    /// What the token says, if one of the keys sealed it for `scope`. Whatever else a client sends opens as nothing.
    ///
    /// Cost: 0.5 µs for each key tried.
    pub fn open(&self, token: &[u8], scope: &[u8]) -> Option<Opened> {
        let mut sealed = [0; SEALED];
        if token.len() != TOKEN || URL_SAFE_NO_PAD.decode_slice(token, &mut sealed).ok()? != SEALED {
            return None;
        }
        let (nonce, rest) = sealed.split_at(NONCE_LEN);
        self.0.iter().enumerate().find_map(|(i, key)| {
            let mut text = [0; 8 + TAG];
            text.copy_from_slice(rest);
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let opened = key.open_in_place(nonce, Aad::from(scope), &mut text).ok()?;
            Some(Opened { backend: u64::from_be_bytes(<[u8; 8]>::try_from(&*opened).ok()?), is_current: i == 0 })
        })
    }
}

fn key(secret: &[u8]) -> LessSafeKey {
    let mut digest = Context::new(&SHA256);
    digest.update(b"evenkeel sticky 1\0");
    digest.update(secret);
    let unbound = UnboundKey::new(&AES_256_GCM_SIV, digest.finish().as_ref());
    LessSafeKey::new(unbound.expect("SHA-256 gives the 32 bytes that the key has"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(secrets: &[&str]) -> Keys {
        Keys::new(secrets.iter().map(|secret| secret.as_bytes()))
    }

    #[test]
    fn a_token_opens_where_it_was_sealed_and_nowhere_else() {
        let token = keys(&["a"]).seal(7, b"app ek", [1; 12]);
        assert_eq!(keys(&["a"]).open(&token, b"app ek"), Some(Opened { backend: 7, is_current: true }));
        assert_eq!(keys(&["a"]).open(&token, b"web ek"), None);
        assert_eq!(keys(&["b"]).open(&token, b"app ek"), None);
    }

    #[test]
    fn keys_rotate_the_first_seals_and_all_open() {
        let old = keys(&["old"]).seal(7, b"", [1; 12]);
        let both = keys(&["new", "old"]);
        assert_eq!(both.open(&old, b""), Some(Opened { backend: 7, is_current: false }));
        let new = both.seal(7, b"", [2; 12]);
        assert_eq!(both.open(&new, b""), Some(Opened { backend: 7, is_current: true }));
        assert_eq!(keys(&["old"]).open(&new, b""), None);
    }

    #[test]
    fn a_token_is_of_characters_a_cookie_may_have() {
        let token = keys(&["a"]).seal(u64::MAX, b"", [255; 12]);
        assert!(token.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)));
    }

    proptest! {
        #[test]
        fn a_token_with_any_character_changed_is_no_token(at in 0..TOKEN, to in prop::sample::select(&b"ABCwxyz019-_ =;\0\xff"[..])) {
            let mut token = keys(&["a"]).seal(7, b"", [9; 12]);
            prop_assume!(token[at] != to);
            token[at] = to;
            prop_assert_eq!(keys(&["a"]).open(&token, b""), None);
        }

        #[test]
        fn whatever_a_client_makes_up_opens_as_nothing(token in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(keys(&["a", "b"]).open(&token, b""), None);
        }
    }
}

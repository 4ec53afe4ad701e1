//! Names and passwords (RFC 7617) against the hashes that htpasswd and its like write.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longer credentials are nobody's: the bound keeps what a client can have hashed small.
const LONGEST: usize = 1024;

/// Name and password of an `Authorization` value of the scheme Basic; `None` for anything else.
///
/// The name is up to the first colon. Either may be empty.
pub fn credentials(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > LONGEST {
        return None;
    }
    let mut name = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = name.iter().position(|b| *b == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((name, password))
}

/// Whether this is a hash that [`verify`] understands.
///
/// # Errors
/// What it is instead, for the operator.
pub fn check(hash: &str) -> Result<(), &'static str> {
    if hash.starts_with("$argon2") {
        let hash = PasswordHash::new(hash).map_err(|_| "this argon2 hash is damaged")?;
        let whole = hash.hash.is_some() && hash.salt.is_some() && argon2::Params::try_from(&hash).is_ok();
        return whole.then_some(()).ok_or("this argon2 hash is damaged");
    }
    if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|start| hash.starts_with(start)) {
        return hash.parse::<bcrypt::HashParts>().map(|_| ()).map_err(|_| "this bcrypt hash is damaged");
    }
    Err(match hash {
        _ if hash.starts_with("$apr1$") || hash.starts_with("$1$") => "this is MD5, which is guessed in no time",
        _ if hash.starts_with("{SHA}") => "this is SHA-1, which is guessed in no time",
        _ if hash.starts_with("$5$") || hash.starts_with("$6$") => "hashes of crypt are not served",
        _ => "this is no hash of argon2 or bcrypt",
    })
}

/// Whether the password is the one of the hash. False for a hash that [`check`] refuses.
///
/// Cost: what the hash was made to cost, 10 to 500 ms of one core; never to be called where others wait.
pub fn verify(password: &[u8], hash: &str) -> bool {
    if hash.starts_with("$argon2") {
        return PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok());
    }
    bcrypt::verify(password, hash).unwrap_or(false)
}

/// What stands for `value` under `context` in a cache; who does not know `secret` can tell nothing from it.
pub fn fingerprint(secret: &[u8; 32], context: &[u8], value: &[u8]) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    digest.update(secret);
    digest.update(&(context.len() as u64).to_le_bytes());
    digest.update(context);
    digest.update(value);
    let mut print = [0; 32];
    print.copy_from_slice(digest.finish().as_ref());
    print
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// "secret", at the least cost.
    const BCRYPT: &str = "$2y$04$W0wGPS0gvYFqpPLI1/hs6uSI1AYGUm9Bq7JSAgDp9nKs3Gx0cu0RG";

    #[test]
    fn credentials_are_read_as_rfc_7617_writes_them() {
        let read = |value: &str| {
            credentials(value.as_bytes())
                .map(|(name, password)| (String::from_utf8(name).unwrap(), String::from_utf8(password).unwrap()))
        };
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(read("bAsIc YTpiOmM="), pair("a", "b:c"), "the name ends at the first colon");
        assert_eq!(read("Basic Og=="), pair("", ""));
        for bad in ["", "Basic", "Basic !", "Bearer YTpi", "Basic YWI=", "Basic YTpi=", &format!("Basic {}", "QUFB".repeat(300))] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_fits_its_own_hash_alone() {
        let bcrypt = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string();
        let salt = argon2::password_hash::SaltString::encode_b64(b"salt of its own!").unwrap();
        let params = argon2::Params::new(64, 1, 1, None).unwrap();
        let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let argon = argon2::PasswordHasher::hash_password(&argon, b"secret", &salt).unwrap().to_string();
        for hash in [&bcrypt, &argon] {
            assert_eq!(check(hash), Ok(()), "{hash}");
            assert!(verify(b"secret", hash) && !verify(b"Secret", hash) && !verify(b"", hash), "{hash}");
            assert!(check(&hash[..hash.len() - 30]).is_err());
        }
        assert_eq!(check(BCRYPT), Ok(()), "as htpasswd -B writes it");
        for bad in ["", "secret", "$apr1$a$b", "{SHA}abc", "$6$a$b", "$argon2id$v=19$m=1$a", "$2y$04$abc"] {
            assert!(check(bad).is_err() && !verify(b"secret", bad), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_of_secret_context_and_value_together() {
        let one = fingerprint(&[1; 32], b"ab", b"c");
        assert_eq!(one, fingerprint(&[1; 32], b"ab", b"c"));
        for other in [fingerprint(&[2; 32], b"ab", b"c"), fingerprint(&[1; 32], b"a", b"bc"), fingerprint(&[1; 32], b"ab", b"d")] {
            assert_ne!(one, other);
        }
    }
}

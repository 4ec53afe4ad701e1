//! JSON Web Tokens (RFC 7519) against a set of public keys (RFC 7517): signature, issuer, audience, time.
//!
//! Which algorithms are good is said by the operator and the key, never by the token: `none` and the HMAC family do not exist here,
//! so a public key can't be taken for a secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// Larger tokens are refused unread.
const LARGEST: usize = 16 * 1024;

/// The algorithms a token may be signed with, by their names in RFC 7518 and RFC 8037.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The public keys of an issuer.
#[derive(Clone)]
pub struct Keys {
    all: Vec<Key>,
    /// What they were read from.
    text: Box<[u8]>,
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// Those it can be used with.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|key| (&key.id, &key.algorithms))).finish()
    }
}

impl Keys {
    /// Reads a JSON Web Key Set. Keys of kinds that are not served, and those for encryption, are left out.
    ///
    /// # Errors
    /// What is wrong with it, also where no key is left.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("it is no key set: it has no array `keys`")?;
        let keys: Vec<Key> = keys.iter().filter_map(|key| Key::read(serde_json::from_value(key.clone()).ok()?)).collect();
        if keys.is_empty() {
            return Err("it has no public key of RSA, P-256, P-384 or Ed25519 for signatures".to_owned());
        }
        Ok(Self { all: keys, text: text.into() })
    }

    /// How many keys there are.
    #[expect(clippy::len_without_is_empty, reason = "a set without keys does not exist")]
    pub fn len(&self) -> usize {
        self.all.len()
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let fit: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => {
                &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512]
            }
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => return None,
        };
        // A key that names its algorithm is for that one alone (RFC 7517 section 4.4).
        let named = jwk.common.key_algorithm.map(|named| named.to_string());
        let algorithms: Vec<Algorithm> =
            fit.iter().copied().filter(|fit| named.as_ref().is_none_or(|named| *named == format!("{fit:?}"))).collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then_some(Self { id: jwk.common.key_id, algorithms, key })
    }
}

/// What a token must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// One of these issued it; empty is anybody whose key is in the set.
    pub issuers: Vec<String>,
    /// It is for one of these; empty is for anybody.
    pub audiences: Vec<String>,
    /// Of [`ALGORITHMS`]; none other is good.
    pub algorithms: Vec<&'static str>,
    /// How far clocks may be apart. Unit: seconds.
    pub leeway: u64,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no token.
    Malformed,
    /// It names an algorithm that is not allowed, or that its key is not for.
    Algorithm,
    /// Its key is not in the set; perhaps the set is old.
    UnknownKey,
    /// It was not signed with its key.
    Signature,
    /// Its time is over, or it says none.
    Expired,
    /// Its time has not come.
    NotYet,
    /// Somebody else issued it.
    Issuer,
    /// It is for somebody else.
    Audience,
}

impl Refusal {
    /// For a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed => "it is not a token",
            Self::Algorithm => "its algorithm is not allowed",
            Self::UnknownKey => "its key is not known",
            Self::Signature => "its signature is wrong",
            Self::Expired => "it has expired",
            Self::NotYet => "it is not valid yet",
            Self::Issuer => "it is of another issuer",
            Self::Audience => "it is for another audience",
        }
    }
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// Until when it is good, leeway included. Unit: seconds since 1970.
    pub until: u64,
    all: Value,
}

impl Claims {
    /// A claim as text: a string as it is, numbers and truth as JSON writes them, an array of these joined by commas. `a.b` is `b` within
    /// `a`, unless a claim has that very name. `None` where it is not there or could not stand in a header.
    pub fn text(&self, name: &str) -> Option<String> {
        let text = match self.find(name)? {
            Value::Array(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>()?.join(","),
            value => scalar(value)?,
        };
        let legal = !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
        legal.then_some(text)
    }

    /// Whether the claim, by its name as in [`Claims::text`], is one of these values or an array that holds one.
    pub fn holds(&self, name: &str, values: &[String]) -> bool {
        let is = |value: &Value| scalar(value).is_some_and(|text| values.contains(&text));
        self.find(name).is_some_and(|found| found.as_array().map_or_else(|| is(found), |items| items.iter().any(is)))
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.all.get(name).or_else(|| name.split('.').try_fold(&self.all, |value, key| value.get(key)))
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Judges a token. `now` is the wall clock's seconds since 1970. Cost: one check of a signature, 20 to 100 µs; another for each further key
/// that could be meant where the token names none.
///
/// # Errors
/// Why it is not good.
pub fn verify(token: &[u8], keys: &Keys, rules: &Rules, now: u64) -> Result<Claims, Refusal> {
    let token = std::str::from_utf8(token).ok().filter(|token| token.len() <= LARGEST).ok_or(Refusal::Malformed)?;
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
    let header = json(header)?;
    // What must be understood is not (RFC 7515 section 4.1.11).
    if header.get("crit").is_some() {
        return Err(Refusal::Malformed);
    }
    let named = header.get("alg").and_then(Value::as_str).ok_or(Refusal::Malformed)?;
    if !rules.algorithms.contains(&named) {
        return Err(Refusal::Algorithm);
    }
    let algorithm: Algorithm = named.parse().map_err(|_| Refusal::Algorithm)?;
    let id = header.get("kid").map(|id| id.as_str().ok_or(Refusal::Malformed)).transpose()?;
    let mut refusal = Refusal::UnknownKey;
    for key in keys.all.iter().filter(|key| id.is_none() || key.id.as_deref() == id) {
        if !key.algorithms.contains(&algorithm) {
            if id.is_some() {
                refusal = Refusal::Algorithm;
            }
            continue;
        }
        if jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, algorithm).unwrap_or(false) {
            return judge(json(payload)?, rules, now);
        }
        refusal = Refusal::Signature;
    }
    Err(refusal)
}

fn json(part: &str) -> Result<Value, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object).ok_or(Refusal::Malformed)
}

/// The claims of a token whose signature is good. One without an end is refused: it could never be taken back.
fn judge(all: Value, rules: &Rules, now: u64) -> Result<Claims, Refusal> {
    let seconds = |name: &str| match all.get(name) {
        None => Ok(None),
        // Fractions are legal (RFC 7519 section 2).
        Some(value) => value.as_f64().filter(|n| *n >= 0.0).map(|n| Some(n as u64)).ok_or(Refusal::Malformed),
    };
    let until = seconds("exp")?.ok_or(Refusal::Expired)?.saturating_add(rules.leeway);
    if now >= until {
        return Err(Refusal::Expired);
    }
    if seconds("nbf")?.is_some_and(|from| now.saturating_add(rules.leeway) < from) {
        return Err(Refusal::NotYet);
    }
    let is_one_of = |claim: &str, wanted: &[String]| match all.get(claim) {
        _ if wanted.is_empty() => true,
        Some(Value::String(text)) => wanted.contains(text),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(|text| wanted.iter().any(|w| w == text)),
        _ => false,
    };
    if !is_one_of("iss", &rules.issuers) {
        return Err(Refusal::Issuer);
    }
    if !is_one_of("aud", &rules.audiences) {
        return Err(Refusal::Audience);
    }
    Ok(Claims { until, all })
}

#[cfg(test)]
mod tests;

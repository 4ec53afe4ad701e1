#![allow(clippy::unwrap_used)]
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA512, RsaKeyPair,
};
use serde_json::json;

use super::*;

/// Who signs.
struct Issuer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn set(&self) -> Value {
        let point = |pair: &EcdsaKeyPair| {
            let key = pair.public_key().as_ref();
            let (x, y) = key[1..].split_at(key.len() / 2);
            (b64(x), b64(y))
        };
        let ((x, y), (x3, y3)) = (point(&self.p256), point(&self.p384));
        let rsa = self.rsa.public_key();
        let n = b64(rsa.modulus().big_endian_without_leading_zero());
        let e = b64(rsa.exponent().big_endian_without_leading_zero());
        json!({ "keys": [
            { "kty": "RSA", "kid": "rsa", "n": n, "e": e },
            { "kty": "EC", "kid": "p256", "crv": "P-256", "x": x, "y": y },
            { "kty": "EC", "kid": "p384", "crv": "P-384", "alg": "ES384", "x": x3, "y": y3 },
            { "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(self.ed.public_key()) },
            { "kty": "oct", "kid": "shared", "k": "AAAA" },
            { "kty": "XYZ", "kid": "new" },
        ]})
    }

    fn keys(&self) -> Keys {
        Keys::parse(self.set().to_string().as_bytes()).unwrap()
    }

    /// A token of this header and these claims, signed with the key that the algorithm of `by` needs.
    fn sign(&self, by: &str, header: &Value, claims: &Value) -> Vec<u8> {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let rng = SystemRandom::new();
        let rsa = |padding: &'static dyn aws_lc_rs::signature::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &rng, message.as_bytes(), &mut signature).unwrap();
            signature
        };
        let signature = match by {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS512" => rsa(&RSA_PSS_SHA512),
            "ES256" => self.p256.sign(&rng, message.as_bytes()).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&rng, message.as_bytes()).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{message}.{}", b64(signature)).into_bytes()
    }
}

fn rules() -> Rules {
    Rules { algorithms: ALGORITHMS.to_vec(), leeway: 5, ..Rules::default() }
}

const NOW: u64 = 1_800_000_000;

#[test]
fn a_token_of_every_algorithm_is_verified_and_a_changed_one_is_not() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    assert_eq!(keys.len(), 4, "secrets and kinds nobody knows are no keys");
    let claims = json!({ "sub": "alice", "exp": NOW + 60 });
    for (by, id) in [("RS256", "rsa"), ("PS512", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed")] {
        for header in [json!({ "alg": by, "kid": id }), json!({ "alg": by })] {
            let token = issuer.sign(by, &header, &claims);
            let good = verify(&token, &keys, &rules(), NOW).unwrap();
            assert_eq!((good.text("sub").as_deref(), good.until), (Some("alice"), NOW + 65), "{by}");
            let text = String::from_utf8(token).unwrap();
            let mut parts = text.splitn(3, '.');
            let (head, _, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let other = format!("{head}.{}.{signature}", b64(json!({ "sub": "root", "exp": NOW + 60 }).to_string()));
            assert_eq!(verify(other.as_bytes(), &keys, &rules(), NOW).unwrap_err(), Refusal::Signature, "{by}");
            let stranger = Issuer::new().keys();
            assert_eq!(verify(text.as_bytes(), &stranger, &rules(), NOW).unwrap_err(), Refusal::Signature, "{by}");
        }
    }
}

#[test]
fn what_the_token_says_of_its_algorithm_is_not_believed() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let claims = json!({ "exp": NOW + 60 });
    let refused = |token: &[u8], rules: &Rules| verify(token, &keys, rules, NOW).unwrap_err();
    for alg in ["none", "None", "NONE", "HS256", "HS512", "", "rs256"] {
        let token = issuer.sign("none", &json!({ "alg": alg, "kid": "rsa" }), &claims);
        assert_eq!(refused(&token, &rules()), Refusal::Algorithm, "{alg}");
    }
    // The public key as a secret of HMAC, even where somebody could allow it.
    let message = format!("{}.{}", b64(json!({ "alg": "HS256", "kid": "rsa" }).to_string()), b64(claims.to_string()));
    let n = issuer.set()["keys"][0]["n"].as_str().unwrap().to_owned();
    let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, n.as_bytes()), message.as_bytes());
    let token = format!("{message}.{}", b64(tag));
    assert_eq!(refused(token.as_bytes(), &rules()), Refusal::Algorithm);
    let all = Rules { algorithms: vec!["HS256"], ..rules() };
    assert_eq!(refused(token.as_bytes(), &all), Refusal::Algorithm);
    // A key of another kind, or one that names its algorithm.
    let token = issuer.sign("ES256", &json!({ "alg": "ES256", "kid": "rsa" }), &claims);
    assert_eq!(refused(&token, &rules()), Refusal::Algorithm);
    // An algorithm that the operator left out.
    let token = issuer.sign("RS256", &json!({ "alg": "RS256", "kid": "rsa" }), &claims);
    assert_eq!(refused(&token, &Rules { algorithms: vec!["ES256"], ..rules() }), Refusal::Algorithm);
    let token = issuer.sign("RS256", &json!({ "alg": "RS256", "kid": "gone" }), &claims);
    assert_eq!(refused(&token, &rules()), Refusal::UnknownKey);
    let token = issuer.sign("RS256", &json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false }), &claims);
    assert_eq!(refused(&token, &rules()), Refusal::Malformed);
}

#[test]
fn issuer_audience_and_times_are_judged_with_leeway() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let rules = Rules { issuers: vec!["https://id".into()], audiences: vec!["shop".into(), "api".into()], ..rules() };
    let judged = |claims: Value| {
        let token = issuer.sign("EdDSA", &json!({ "alg": "EdDSA", "kid": "ed" }), &claims);
        verify(&token, &keys, &rules, NOW).map(|_| ())
    };
    let with = |more: Value| {
        let mut claims = json!({ "iss": "https://id", "aud": "shop", "exp": NOW + 1 });
        for (key, value) in more.as_object().unwrap() {
            claims[key] = value.clone();
        }
        judged(claims)
    };
    assert_eq!(with(json!({})), Ok(()));
    assert_eq!(with(json!({ "aud": ["x", "api"], "nbf": NOW + 5, "exp": NOW as f64 - 3.5 })), Ok(()));
    assert_eq!(with(json!({ "exp": NOW - 5 })), Err(Refusal::Expired));
    assert_eq!(with(json!({ "nbf": NOW + 6 })), Err(Refusal::NotYet));
    assert_eq!(with(json!({ "iss": "https://other" })), Err(Refusal::Issuer));
    assert_eq!(with(json!({ "aud": "other" })), Err(Refusal::Audience));
    assert_eq!(with(json!({ "exp": "soon" })), Err(Refusal::Malformed));
    assert_eq!(judged(json!({ "iss": "https://id", "aud": "shop" })), Err(Refusal::Expired), "one that never ends");
    assert_eq!(judged(json!({ "aud": "shop", "exp": NOW + 1 })), Err(Refusal::Issuer), "one that does not say whose it is");
    assert_eq!(judged(json!({ "iss": "https://id", "exp": NOW + 1 })), Err(Refusal::Audience));
}

#[test]
fn claims_become_text_that_can_stand_in_a_header() {
    let claims = Claims {
        until: 0,
        all: json!({ "sub": "alice", "n": 7, "yes": true, "roles": ["a", "b"], "realm": { "level": 3 }, "a.b": "dotted", "bad": "x\r\nY: z",
            "none": null, "deep": [["a"]], "empty": "" }),
    };
    let text = |name| claims.text(name);
    assert_eq!(text("sub").as_deref(), Some("alice"));
    assert_eq!(text("n").as_deref(), Some("7"));
    assert_eq!(text("yes").as_deref(), Some("true"));
    assert_eq!(text("roles").as_deref(), Some("a,b"));
    assert_eq!(text("realm.level").as_deref(), Some("3"));
    assert_eq!(text("a.b").as_deref(), Some("dotted"));
    let holds = |name, value: &str| claims.holds(name, &["x".to_owned(), value.to_owned()]);
    assert!(holds("sub", "alice") && holds("roles", "b") && holds("realm.level", "3") && holds("yes", "true"));
    assert!(!holds("roles", "a,b") && !holds("sub", "alic") && !holds("realm", "3") && !holds("other", ""));
    for none in ["bad", "none", "deep", "empty", "other", "realm", "realm.x"] {
        assert_eq!(text(none), None, "{none}");
    }
}

#[test]
fn bytes_that_are_no_token_are_refused_and_no_more() {
    let keys = Issuer::new().keys();
    for bad in ["", ".", "..", "...", "a.b.c", "e30.e30.", "bnVsbA.e30.", &"a".repeat(20_000), "é.é.é"] {
        assert_eq!(verify(bad.as_bytes(), &keys, &rules(), NOW).unwrap_err(), Refusal::Malformed, "{bad:.20}");
    }
    for bad in ["", "{}", "[]", "{\"keys\": []}", "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\"}]}", "{\"keys\": 1}"] {
        assert!(Keys::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

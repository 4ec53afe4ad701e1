//! Tokens: who has a good one is let in, and the backend is told what it says.
#![allow(clippy::unwrap_used)]

mod verb;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::Evenkeel;
use testkit::backend::{Recording, Script};
use testkit::client::{Response, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

struct Issuer {
    key: Ed25519KeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        Self { key: Ed25519KeyPair::generate().unwrap(), id }
    }

    fn set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x }] }).to_string()
    }

    fn token(&self, claims: &Value) -> String {
        self.signed(&json!({ "alg": "EdDSA", "kid": self.id }), claims)
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn claims(more: Value) -> Value {
    let mut all = json!({ "sub": "alice", "iss": "https://id.test", "aud": ["shop"], "exp": now() + 60, "role": "admin" });
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn ask(evenkeel: &Evenkeel, fields: &str) -> Response {
    exchange(evenkeel.address(), format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn a_good_token_lets_in_and_its_claims_become_headers() {
    let (backend, issuer) = (Recording::start("app"), Issuer::new("one"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, issuer.set()).unwrap();
    let evenkeel = Evenkeel::start(
        &testkit::binary(BINARY),
        &format!(
            "[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n[route.jwt]\njwks = {{ file = \"{}\" }}\nissuer = \"https://id.test\"\n\
             audience = \"shop\"\nleeway = \"0s\"\ncookie = \"session\"\nclaims_to_headers = {{ X-User = \"sub\", X-Tier = \"tier\" }}\nrequire = {{ role = [\"admin\"] }}\nstrip = true\n\
             [pool.app]\nbackends = [\"{}\"]\n",
            file.display(),
            backend.address()
        ),
    );
    let good = issuer.token(&claims(json!({})));
    for _ in 0..2 {
        let let_in = ask(&evenkeel, &format!("{}X-User: root\r\nX-Tier: gold\r\n", bearer(&good)));
        assert_eq!((let_in.status, let_in.echoed("x-user"), let_in.echoed("x-tier")), (200, vec!["alice".to_owned()], vec![]));
        assert_eq!(let_in.echoed("authorization"), [""; 0]);
    }
    assert_eq!(ask(&evenkeel, &format!("Cookie: a=b; session={good}\r\n")).echoed("x-user"), ["alice"]);
    let seen = backend.count();
    let none = ask(&evenkeel, "");
    assert_eq!((none.status, none.get("WWW-Authenticate")), (401, Some("Bearer")));
    // What is no token of the issuer's is refused, whatever it says of itself (D12).
    let stranger = Issuer::new("one");
    let unsigned = good.rsplit_once('.').unwrap().0.to_owned() + ".";
    let none_alg = issuer.signed(&json!({ "alg": "none", "kid": "one" }), &claims(json!({})));
    let hmac = issuer.signed(&json!({ "alg": "HS256", "kid": "one" }), &claims(json!({})));
    for (bad, why) in [
        (issuer.token(&claims(json!({ "exp": now() - 1 }))), "expired"),
        (issuer.token(&claims(json!({ "nbf": now() + 100 }))), "not valid yet"),
        (issuer.token(&claims(json!({ "iss": "https://other.test" }))), "another issuer"),
        (issuer.token(&claims(json!({ "aud": "bank" }))), "another audience"),
        (stranger.token(&claims(json!({}))), "signature is wrong"),
        (unsigned, "signature is wrong"),
        (none_alg, "algorithm is not allowed"),
        (hmac, "algorithm is not allowed"),
        ("rubbish".to_owned(), "not a token"),
    ] {
        let refused = ask(&evenkeel, &bearer(&bad));
        let told = refused.get("WWW-Authenticate").unwrap_or_default();
        assert!(refused.status == 401 && told.contains("invalid_token") && told.contains(why), "{why}: {refused:?}");
    }
    assert_eq!(ask(&evenkeel, &bearer(&issuer.token(&claims(json!({ "role": "guest" }))))).reason().as_deref(), Some("denied"));
    assert_eq!(backend.count(), seen, "the backend sees only what was let in");
    // A token that was verified is refused all the same once its time is over.
    let short = issuer.token(&claims(json!({ "exp": now() + 2 })));
    assert_eq!(ask(&evenkeel, &bearer(&short)).status, 200);
    verb::wait("an expired token is still let in", || ask(&evenkeel, &bearer(&short)).status == 401);
    evenkeel.stop();
}

#[test]
fn keys_are_fetched_before_the_first_request_and_again_when_they_change() {
    let (old, new) = (Issuer::new("one"), Issuer::new("two"));
    let answer = |set: &str| Script::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len()));
    let server = Recording::with("id", answer(&old.set()));
    let evenkeel = Evenkeel::start(
        &testkit::binary(BINARY),
        &format!(
            "[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\njwt = {{ jwks = \"http://{}/keys?key=hidden\", refresh = \"1s\" }}\nrespond = {{ body = \"in\" }}\n",
            server.address()
        ),
    );
    let token = |issuer: &Issuer| bearer(&issuer.token(&claims(json!({}))));
    assert_eq!((ask(&evenkeel, &token(&old)).status, ask(&evenkeel, &token(&new)).status), (200, 401));
    server.agenda().set_default(answer(&new.set()));
    verb::wait("the new keys don't come", || ask(&evenkeel, &token(&new)).status == 200);
    assert_eq!(ask(&evenkeel, &token(&old)).status, 401, "keys that were taken back are no longer good, remembered or not");
    // A server that fails takes no keys away.
    server.agenda().set_default(Script::fixed("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"));
    let metrics = || verb::ask(evenkeel.admin(), "/metrics").text();
    let url = format!("url=\"http://{}/keys\"", server.address());
    verb::wait("the failure is not shown", || metrics().contains(&format!("evenkeel_jwks_stale{{{url}}} 1")));
    assert!(metrics().contains(&format!("evenkeel_jwks_keys{{{url}}} 1")));
    let status = verb::ask(evenkeel.admin(), "/status").json();
    assert_eq!(
        (status["issuers"][0]["keys"].as_u64(), status["issuers"][0]["fault"].as_str()),
        (Some(1), Some("status 500, wanted 200"))
    );
    assert!(!status.to_string().contains("hidden"), "a query may hold a secret (D9)");
    assert_eq!(ask(&evenkeel, &token(&new)).status, 200);
    evenkeel.stop();
}

#[test]
fn without_keys_nobody_is_let_in_and_nobody_is_accused() {
    let refusing = testkit::backend::Refusing::start();
    let evenkeel = Evenkeel::start(
        &testkit::binary(BINARY),
        &format!(
            "[listener.web]\nlisten = \"LISTEN\"\n[[route]]\njwt = {{ jwks = \"http://{}/\", optional = true }}\nrespond = {{ body = \"in\" }}\n",
            refusing.address()
        ),
    );
    let unavailable = ask(&evenkeel, &bearer(&Issuer::new("one").token(&claims(json!({})))));
    assert_eq!((unavailable.status, unavailable.reason().as_deref()), (503, Some("auth_unavailable")));
    assert_eq!(ask(&evenkeel, "").text(), "in", "where a token is optional none is needed");
    evenkeel.stop();
}

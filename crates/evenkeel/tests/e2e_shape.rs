//! What requests and answers are made to look like: paths, headers, pages, sizes.
#![allow(clippy::unwrap_used)]

use testkit::Evenkeel;
use testkit::backend::{Recording, Script};
use testkit::client::{Connection, Response, exchange, get};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// A proxy with these routes before one backend, the pool `app`.
fn with(backend: &Recording, routes: &str) -> Evenkeel {
    let address = backend.address();
    let text = format!(
        "[listener.web]\nlisten = \"LISTEN\"\ntrusted_proxies = \"127.0.0.1\"\n{routes}\n[pool.app]\nbackends = [\"{address}\"]\n"
    );
    Evenkeel::start(&testkit::binary(BINARY), &text)
}

fn send(evenkeel: &Evenkeel, line: &str, fields: &str) -> Response {
    exchange(evenkeel.address(), format!("{line} HTTP/1.1\r\nHost: shop.test:8000\r\n{fields}\r\n").as_bytes())
}

#[test]
fn the_backend_gets_another_path_and_matching_goes_by_the_clients() {
    let backend = Recording::start("app");
    let evenkeel = with(
        &backend,
        "[[route]]\nmatch = { path = \"/api/\" }\nrewrite = { strip_prefix = \"/api\", add_prefix = \"/v2\" }\npool = \"app\"\n\
         request_headers = { set = { X-Was = \"{path}\" } }\n\
         [[route]]\nmatch = { path = \"/users/\" }\nrewrite = { regex = \"^/users/([^/]*)/\", to = \"/u/$1/\" }\npool = \"app\"\n\
         [[route]]\nmatch = { path = \"/out/\" }\nrewrite = { regex = \"^/out/(.*)%41(.*)\", to = \"/$1%4$2\" }\npool = \"app\"\n",
    );
    for (asked, gets) in [
        ("/api/x?a=b", "/v2/x?a=b"),
        ("/api", "/v2"),
        ("/api/../api/./x", "/v2/x"),
        ("/users/7/photos?x", "/u/7/photos?x"),
        ("/users//7/", "/u/7/"),
        ("/users/", "/users/"),
    ] {
        let answer = get(evenkeel.address(), asked);
        assert_eq!(answer.json()["target"], gets, "{asked}");
    }
    assert_eq!(get(evenkeel.address(), "/api/x").echoed("x-was"), ["/api/x"]);
    evenkeel.stop();
}

#[test]
fn header_values_hold_parts_of_the_request() {
    let backend = Recording::start("app");
    let evenkeel = with(
        &backend,
        "[[route]]\npool = \"app\"\nrequest_headers = { set = { X-All = \"{header:X-Tier}|{cookie:sid}|{query:id}|{peer_ip}|{client_ip}|{header:none}\" } }\n\
         response_headers = { set = { X-Echo = \"{header:X-Tier}\" } }\n",
    );
    let answer = send(&evenkeel, "GET /?a=1&id=7", "x-tier: gold\r\nCookie: a=b; sid=s1\r\nX-Forwarded-For: 1.2.3.4\r\n");
    assert_eq!(answer.echoed("x-all"), ["gold|s1|7|127.0.0.1|1.2.3.4|"]);
    assert_eq!(answer.get("X-Echo"), Some("gold"));
    evenkeel.stop();
}

#[test]
fn pages_of_the_named_sites_may_read_answers_and_preflights_are_answered_here() {
    let backend =
        Recording::with("app", Script::fixed("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok"));
    let evenkeel = with(
        &backend,
        "[[route]]\nmatch = { path = \"/\" }\ncors = { origins = [\"https://app.test\", \"https://*.app.test\"], credentials = true, expose = \"X-Total\", max_age = \"1h\" }\npool = \"app\"\n\
         [[route]]\nmatch = { path = \"/any\" }\ncors = {}\nallow = \"10.0.0.0/8\"\nrespond = { body = \"any\" }\n",
    );
    let preflight = |origin: &str| {
        send(
            &evenkeel,
            "OPTIONS /x",
            &format!("Origin: {origin}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a, x-b\r\n"),
        )
    };
    for origin in ["https://app.test", "https://a.app.test", "https://a.b.app.test", "https://APP.test"] {
        let answer = preflight(origin);
        assert_eq!((answer.status, answer.get("Access-Control-Allow-Origin")), (204, Some(origin)));
        assert_eq!(answer.get("Access-Control-Allow-Methods"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
        assert_eq!(answer.get("Access-Control-Allow-Headers"), Some("x-a, x-b"));
        assert_eq!((answer.get("Access-Control-Max-Age"), answer.get("Vary")), (Some("3600"), Some("Origin")));
    }
    for origin in [
        "http://app.test",
        "https://xapp.test",
        "https://.app.test",
        "https://app.test.evil.test",
        "https://evil.test/.app.test",
        "null",
    ] {
        let answer = preflight(origin);
        assert_eq!((answer.status, answer.get("Access-Control-Allow-Origin")), (403, None), "{origin}");
    }
    assert_eq!(backend.count(), 0);
    let good = send(&evenkeel, "GET /x", "Origin: https://app.test\r\n");
    let fields: Vec<_> =
        good.head.fields.iter().filter(|(name, _)| name.to_lowercase().starts_with("access-control-allow-origin")).collect();
    assert_eq!(fields.len(), 1, "the backend's own is replaced: {fields:?}");
    assert_eq!(
        (good.get("Access-Control-Allow-Origin"), good.get("Access-Control-Allow-Credentials")),
        (Some("https://app.test"), Some("true"))
    );
    assert_eq!(good.get("Access-Control-Expose-Headers"), Some("X-Total"));
    let other = send(&evenkeel, "GET /x", "Origin: https://evil.test\r\n");
    assert_eq!((other.status, other.get("Access-Control-Allow-Origin"), other.get("Vary")), (200, None, Some("Origin")));
    let plain = send(&evenkeel, "OPTIONS /x", "Origin: https://app.test\r\n");
    assert_eq!((plain.status, backend.count()), (200, 3), "an OPTIONS that is no preflight goes upstream");
    let any = send(&evenkeel, "GET /any", "Origin: https://evil.test\r\nX-Forwarded-For: 10.1.1.1\r\n");
    assert_eq!((any.text().as_str(), any.get("Access-Control-Allow-Origin"), any.get("Vary")), ("any", Some("*"), None));
    evenkeel.stop();
}

#[test]
fn browsers_are_told_to_be_careful_unless_the_backend_says_otherwise() {
    let backend = Recording::with(
        "app",
        Script::fixed(
            "HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nX-Powered-By: magic\r\nX-Frame-Options: DENY\r\nContent-Length: 2\r\n\r\nok",
        ),
    );
    let evenkeel = with(
        &backend,
        "[[route]]\nmatch = { path = \"/\" }\nsecurity_headers = true\nresponse_headers = { set = { Referrer-Policy = \"no-referrer\" } }\npool = \"app\"\n\
         [[route]]\nmatch = { path = \"/own\" }\nsecurity_headers = { frame = \"off\", csp = \"default-src 'self'\", hsts = \"1d\", subdomains = true }\nrespond = { body = \"own\", headers = { referrer-policy = \"origin\" } }\n",
    );
    let answer = get(evenkeel.address(), "/");
    let all = |answer: &Response, name: &str| -> Vec<String> {
        answer.head.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(all(&answer, "X-Content-Type-Options"), ["nosniff"]);
    assert_eq!(
        (all(&answer, "X-Frame-Options"), all(&answer, "Referrer-Policy")),
        (vec!["DENY".to_owned()], vec!["no-referrer".to_owned()])
    );
    assert_eq!((answer.get("Server"), answer.get("X-Powered-By")), (None, None));
    assert_eq!(answer.get("Strict-Transport-Security"), None, "never over plain http");
    let secure = send(&evenkeel, "GET /", "X-Forwarded-Proto: https\r\n");
    assert_eq!(secure.get("Strict-Transport-Security"), Some("max-age=31536000"));
    let own = send(&evenkeel, "GET /own", "X-Forwarded-Proto: https\r\n");
    assert_eq!((own.text().as_str(), all(&own, "Referrer-Policy")), ("own", vec!["origin".to_owned()]));
    assert_eq!((own.get("Content-Security-Policy"), own.get("X-Frame-Options")), (Some("default-src 'self'"), None));
    assert_eq!(own.get("Strict-Transport-Security"), Some("max-age=86400; includeSubDomains"));
    evenkeel.stop();
}

#[test]
fn a_body_over_the_routes_limit_is_refused_whether_it_says_so_or_not() {
    let backend = Recording::start("app");
    let evenkeel = with(
        &backend,
        "[[route]]\nmatch = { path = \"/small\" }\nmax_body = \"10B\"\npool = \"app\"\n[[route]]\nmatch = { path = \"/\" }\npool = \"app\"\n",
    );
    let post =
        |path: &str, body: &str| exchange(evenkeel.address(), format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
    assert_eq!(post("/small", "Content-Length: 10\r\n\r\n0123456789").status, 200);
    let seen = backend.count();
    let declared = post("/small", "Content-Length: 11\r\n\r\n0123456789a");
    assert_eq!((declared.status, declared.reason().as_deref()), (413, Some("body_too_large")));
    assert_eq!(backend.count(), seen, "nothing of it goes upstream");
    let chunked = post("/small", "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n");
    assert_eq!((chunked.status, chunked.reason().as_deref()), (413, Some("body_too_large")));
    assert_eq!(post("/other", "Content-Length: 11\r\n\r\n0123456789a").status, 200);
    evenkeel.stop();
}

#[test]
fn errors_have_the_pages_of_their_route() {
    let backend = Recording::with("app", Script::fixed("HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 4\r\n\r\nhers"));
    let refusing = testkit::backend::Refusing::start();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("back-soon.html");
    std::fs::write(&page, "<h1>Back soon</h1>").unwrap();
    let evenkeel = with(
        &backend,
        &format!(
            "[[route]]\nmatch = {{ path = \"/down\" }}\npool = \"down\"\nerror_pages = {{ \"502-504\" = {{ file = \"{}\" }} }}\n\
             [[route]]\nmatch = {{ path = \"/ours\" }}\npool = \"app\"\nerror_pages = {{ 404 = {{ body = \"ours\", content_type = \"text/x-page\", upstream = true }} }}\n\
             [[route]]\nmatch = {{ path = \"/hers\" }}\npool = \"app\"\nerror_pages = {{ 404 = \"ours\" }}\n\
             [[route]]\nmatch = {{ path = \"/denied\" }}\npool = \"app\"\nallow = \"10.0.0.0/8\"\nerror_pages = {{ \"400-499\" = \"go away\" }}\n\
             [pool.down]\nbackends = [\"{}\"]\nhealth = false\n",
            page.display(),
            refusing.address()
        ),
    );
    let down = get(evenkeel.address(), "/down");
    assert_eq!(
        (down.status / 100, down.text().as_str(), down.get("Content-Type")),
        (5, "<h1>Back soon</h1>", Some("text/html; charset=utf-8"))
    );
    assert!(down.get("X-Request-Id").is_some());
    let mut client = Connection::open(evenkeel.address()).unwrap();
    for _ in 0..2 {
        let ours = client.exchange(b"GET /ours HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(
            (ours.status, ours.text().as_str(), ours.get("Content-Type"), ours.get("X-A")),
            (404, "ours", Some("text/x-page"), None)
        );
    }
    let head = client.exchange(b"HEAD /ours HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.status, head.get("Content-Length"), head.body.len()), (404, Some("4"), 0));
    let connections: Vec<u64> = backend.exchanges().iter().map(|exchange| exchange.connection).collect();
    assert_eq!(connections, [1, 1, 1], "the backend's connection is kept");
    assert_eq!(client.exchange(b"GET /hers HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(), "hers");
    let denied = get(evenkeel.address(), "/denied");
    assert_eq!((denied.status, denied.text().as_str()), (403, "go away"));
    evenkeel.stop();
}

#[test]
fn a_listener_sends_everybody_to_https() {
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), "[listener.web]\nlisten = \"LISTEN\"\nredirect = \"https\"\n");
    let sent = send(&evenkeel, "GET /a/../b?c=d", "");
    assert_eq!((sent.status, sent.get("Location")), (301, Some("https://shop.test/b?c=d")));
    let posted = exchange(evenkeel.address(), b"POST /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((posted.status, posted.get("Location")), (308, Some("https://shop.test/x")));
    evenkeel.stop();
}

#[test]
fn early_hints_reach_the_client_before_the_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let backend = Recording::with("app", Script::fixed(hints));
    let evenkeel = with(&backend, "[[route]]\npool = \"app\"\n");
    let answer = get(evenkeel.address(), "/");
    assert_eq!((answer.status, answer.interim.len()), (200, 1));
    assert_eq!(
        (answer.interim[0].line.as_str(), answer.interim[0].get("Link")),
        ("HTTP/1.1 103 Early Hints", Some("</a.css>; rel=preload"))
    );
    evenkeel.stop();
}

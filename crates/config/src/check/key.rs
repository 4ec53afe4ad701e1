//! Keys: the part of a request by which exchanges are hashed, counted, queued or split.

use policy::Key;

use super::headers;
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::Wrong;

/// `"client_ip"`, `"header:X-User"` and so on.
pub(super) fn read(text: &str) -> Result<Key, Wrong> {
    const PLAIN: [&str; 4] = ["client_ip", "path", "host", "route"];
    const NAMED: [&str; 3] = ["header", "cookie", "query"];
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    match (kind, name) {
        ("client_ip", None) => Ok(Key::ClientIp),
        ("path", None) => Ok(Key::Path),
        ("host", None) => Ok(Key::Host),
        ("route", None) => Ok(Key::Route),
        ("header", Some(name)) if headers::is_token(name) => Ok(Key::Header(name.to_ascii_lowercase())),
        ("cookie", Some(name)) if headers::is_token(name) => Ok(Key::Cookie(name.to_owned())),
        ("query", Some(name)) if !name.is_empty() => Ok(Key::Query(name.to_owned())),
        ("cel", Some(_)) => Err(Wrong::new(
            "`cel:` is part of the language but not served by this version yet",
            "take a header, a cookie or a query parameter",
        )),
        (kind, None) if NAMED.contains(&kind) => Err(Wrong::new(format!("`{kind}` needs a name"), format!("as in \"{kind}:id\""))),
        (kind, Some(name)) if NAMED.contains(&kind) => {
            Err(Wrong::new(format!("{} is not the name of a {kind}", shown(name)), format!("as in \"{kind}:id\"")))
        }
        _ => {
            let hint = nearest(kind, PLAIN.into_iter().chain(NAMED)).map_or_else(
                || "it is client_ip, path, host, route, header:NAME, cookie:NAME or query:NAME".to_owned(),
                |known| {
                    if NAMED.contains(&known) {
                        format!("did you mean \"{known}:{}\"?", name.unwrap_or("NAME").escape_debug())
                    } else {
                        format!("did you mean \"{known}\"?")
                    }
                },
            );
            Err(Wrong::new(format!("{} is not a part of a request", shown(text)), hint))
        }
    }
}

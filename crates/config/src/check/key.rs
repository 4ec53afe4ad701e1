//! Keys: by what exchanges are hashed, counted, queued and split. And expressions, of which a key may be made.

use std::sync::Arc;

use policy::Key;
use policy::expression::{Expression, Scope};

use super::headers;
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::Wrong;

/// `client_ip`, `header:X-User`, `cel:headers['x-user']` and so on. Names of headers come out in lower case.
pub(super) fn read(text: &str) -> Result<Key, Wrong> {
    const PLAIN: [&str; 4] = ["client_ip", "path", "host", "route"];
    const NAMED: [&str; 4] = ["header", "cookie", "query", "cel"];
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    match (kind, name) {
        ("client_ip", None) => Ok(Key::ClientIp),
        ("path", None) => Ok(Key::Path),
        ("host", None) => Ok(Key::Host),
        ("route", None) => Ok(Key::Route),
        ("header", Some(name)) if headers::is_token(name) => Ok(Key::Header(name.to_ascii_lowercase())),
        ("cookie", Some(name)) if headers::is_token(name) => Ok(Key::Cookie(name.to_owned())),
        ("query", Some(name)) if !name.is_empty() => Ok(Key::Query(name.to_owned())),
        ("cel", Some(text)) => by_expression(text).map_err(|wrong| shifted(wrong, "cel:".len())),
        ("cel", None) => Err(Wrong::new("`cel` needs an expression", "as in \"cel:headers['x-user']\"")),
        (kind, None) if NAMED.contains(&kind) => Err(Wrong::new(format!("`{kind}` needs a name"), format!("as in \"{kind}:id\""))),
        (kind, Some(name)) if NAMED.contains(&kind) => {
            Err(Wrong::new(format!("{} is not the name of a {kind}", shown(name)), format!("as in \"{kind}:id\"")))
        }
        _ => {
            let hint = nearest(kind, PLAIN.into_iter().chain(NAMED)).map_or_else(
                || "it is client_ip, path, host, route, header:NAME, cookie:NAME, query:NAME or cel:EXPRESSION".to_owned(),
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

fn by_expression(text: &str) -> Result<Key, Wrong> {
    let expression = expression(text, Scope::Request)?;
    Ok(Key::Expression(Arc::new(expression)))
}

/// An expression that is true or false.
pub(super) fn condition(text: &str, scope: Scope) -> Result<Arc<Expression>, Wrong> {
    let expression = expression(text, scope)?;
    if expression.is_condition() == Some(false) {
        return Err(Wrong::new("this expression is neither true nor false", "compare it with something, as in `status == 200`"));
    }
    Ok(Arc::new(expression))
}

fn expression(text: &str, scope: Scope) -> Result<Expression, Wrong> {
    Expression::compile(text, scope).map_err(|fault| {
        let hint = fault.unknown.map(|unknown| match nearest(&unknown.word, unknown.known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("there are {}", unknown.known.join(", ")),
        });
        Wrong::new(fault.message, hint.unwrap_or(fault.hint)).at(fault.at)
    })
}

/// For a text that begins so many bytes into the one that is shown.
fn shifted(wrong: Wrong, by: usize) -> Wrong {
    Wrong { at: wrong.at.map(|at| at.start + by..at.end + by), ..wrong }
}

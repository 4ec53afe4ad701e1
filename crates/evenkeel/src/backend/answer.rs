//! What the sample backend says: who it is and what it was sent, as JSON.

use serde_json::{Map, Value, json};
use wire::h1::Request;

use super::Character;

/// An answer, ready to be framed.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The backend's, fit for a header field.
    pub(super) name: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn new(character: &Character, status: u16, body: &Value) -> Self {
        // One object a line, so that the answers of several `curl`s stay apart.
        let body = format!("{body}\n").into_bytes();
        let name = character.name.chars().filter(|c| c.is_ascii_graphic()).collect();
        Self { status, name, body }
    }

    /// To what is no request.
    pub(super) fn refusal(character: &Character, status: u16, reason: &str) -> Self {
        Self::new(character, status, &json!({ "backend": character.name, "error": reason }))
    }
}

/// The answer to a request with this head and body.
pub(super) fn answer(character: &Character, request: &Request, head: &[u8], body: &[u8]) -> Answer {
    if request.path.of(head) == b"/health" {
        return Answer::new(character, 200, &health(character));
    }
    if character.fail > 0.0 && character.dice.borrow_mut().f64() < character.fail {
        return Answer::new(character, 500, &json!({ "backend": character.name, "error": "failed as --fail asks" }));
    }
    let target = if request.target.is_empty() { "/".to_owned() } else { text(request.target.of(head)) };
    let echo = json!({
        "backend": character.name,
        "server": character.name,
        "port": character.address.port(),
        "method": text(request.method_text.of(head)),
        "path": target,
        "headers": headers(request, head),
        "body": text(body),
    });
    Answer::new(character, 200, &echo)
}

fn health(character: &Character) -> Value {
    let machine = &character.machine;
    json!({
        "status": "healthy",
        "cpu_usage": machine.cpu_usage(),
        "memory_usage": machine.memory_usage(),
        "name": character.name,
    })
}

/// Names as they came; the values of a name that came twice are joined as RFC 9110 5.3 has it.
fn headers(request: &Request, head: &[u8]) -> Value {
    let mut headers = Map::new();
    for field in &request.fields {
        let value = text(field.value.of(head));
        match headers.entry(text(field.name.of(head))) {
            serde_json::map::Entry::Vacant(entry) => {
                entry.insert(value.into());
            }
            serde_json::map::Entry::Occupied(mut entry) => {
                let joined = format!("{}, {value}", entry.get().as_str().unwrap_or_default());
                entry.insert(joined.into());
            }
        }
    }
    headers.into()
}

/// JSON holds text only; what is none is shown by replacement characters.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! Which pages of other sites may read a route's answers (the Fetch standard, section 3.2).

use config::model::{self, Origin};
use wire::h1::encode;

use super::{Effects, Ending, Step};
use crate::error::Reason;
use crate::message::Asked;

/// The fields that are ours alone where a route has this.
pub(crate) const FIELDS: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// Answers preflights, and says on other answers which page may read them.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Option<Vec<Origin>>,
    /// Whole lines for an answer to a preflight; the fields asked for are mirrored where there is no list.
    preflight: Box<[u8]>,
    mirror: bool,
    /// Whole lines for any other answer.
    answer: Box<[u8]>,
}

impl Cors {
    pub(crate) fn compile(cors: &model::Cors) -> Self {
        let line = |name: &str, value: &str| format!("{name}: {value}\r\n");
        let list = |name: &str, values: &[String]| if values.is_empty() { String::new() } else { line(name, &values.join(", ")) };
        let credentials = if cors.credentials { line("Access-Control-Allow-Credentials", "true") } else { String::new() };
        let preflight = [
            list("Access-Control-Allow-Methods", &cors.methods),
            list("Access-Control-Allow-Headers", cors.headers.as_deref().unwrap_or_default()),
            line("Access-Control-Max-Age", &cors.max_age.as_secs().to_string()),
            credentials.clone(),
        ];
        Self {
            origins: cors.origins.clone(),
            preflight: preflight.concat().into_bytes().into(),
            mirror: cors.headers.is_none(),
            answer: (list("Access-Control-Expose-Headers", &cors.expose) + &credentials).into_bytes().into(),
        }
    }

    pub(crate) fn request(&self, asked: &Asked<'_>, effects: &mut Effects) -> Step {
        let origin = asked.value(b"origin");
        let allowed = origin.is_some_and(|origin| self.allows(origin));
        if is_preflight(asked) {
            if !allowed {
                return Step::End(Ending::refuse(Reason::Denied));
            }
            let mut fields = self.preflight.to_vec();
            self.write_origin(origin, &mut fields);
            if let Some(wanted) = asked.value(b"access-control-request-headers").filter(|_| self.mirror) {
                encode::field(&mut fields, b"Access-Control-Allow-Headers", wanted);
            }
            return Step::End(Ending { status: 204, reason: None, body: Some((String::new(), Vec::new())), fields });
        }
        if allowed {
            self.write_origin(origin, &mut effects.response);
            effects.response.extend_from_slice(&self.answer);
        } else if self.origins.is_some() {
            // A cache must not give this answer to a page that may read it.
            effects.response.extend_from_slice(VARY);
        }
        Step::Next
    }

    pub(crate) fn describe(&self, asked: &Asked<'_>) -> String {
        let allowed = asked.value(b"origin").map(|origin| self.allows(origin));
        let does = match (is_preflight(asked), allowed) {
            (true, Some(true)) => "a preflight, answered with 204",
            (true, _) => "a preflight of a page that may not: 403 denied",
            (false, None) => "no page of another site asks",
            (false, Some(true)) => "the page that asks may read the answer",
            (false, Some(false)) => "the page that asks may not read the answer",
        };
        format!("cors: {does}")
    }

    fn allows(&self, origin: &[u8]) -> bool {
        let Some(origins) = &self.origins else { return true };
        origins.iter().any(|known| match known {
            Origin::Exact(known) => origin.eq_ignore_ascii_case(known.as_bytes()),
            Origin::Below { start, end } => {
                let is = |part: Option<&[u8]>, text: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(text.as_bytes()));
                let label = origin.len().checked_sub(start.len() + end.len()).map(|len| origin.get(start.len()..start.len() + len));
                is(origin.get(..start.len()), start)
                    && origin.len() > start.len() + end.len()
                    && is(origin.get(origin.len() - end.len()..), end)
                    && label.flatten().is_some_and(|label| label.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b)))
            }
        })
    }

    fn write_origin(&self, origin: Option<&[u8]>, out: &mut Vec<u8>) {
        if self.origins.is_none() {
            out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n");
        } else {
            encode::field(out, b"Access-Control-Allow-Origin", origin.unwrap_or_default());
            out.extend_from_slice(VARY);
        }
    }
}

const VARY: &[u8] = b"Vary: Origin\r\n";

fn is_preflight(asked: &Asked<'_>) -> bool {
    asked.method() == b"OPTIONS" && asked.value(b"origin").is_some() && asked.value(b"access-control-request-method").is_some()
}

//! Tokens. Whether one is good is judged in `policy`; here it is found, remembered once verified, and told to the backend.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use config::model::{self, JwtKeys};
use policy::auth::jwt::{self, Claims, Keys, Refusal};
use policy::balance::hash_key;

use super::basic::one_authorization;
use super::{Effects, Ending, Here, Step};
use crate::board::{Board, KeySet};
use crate::error::Reason;
use crate::message::Asked;

/// Lets in who has a token.
#[derive(Debug)]
pub(crate) struct Jwt {
    settings: model::Jwt,
    keys: Arc<KeySet>,
    /// What tokens verified by these settings are remembered under.
    id: u64,
    /// The field's name in lower case.
    header: Box<[u8]>,
    /// A token there has `Bearer` before it.
    is_authorization: bool,
}

/// A token that was verified.
pub(crate) struct Token {
    /// With these.
    keys: Arc<Keys>,
    /// Seconds since 1970.
    until: u64,
    /// Lines for the backend; `None` where it is not enough for this route.
    lines: Option<Box<[u8]>>,
}

impl Jwt {
    pub(crate) fn compile(settings: &model::Jwt, board: &Board) -> Self {
        let header = settings.header.to_ascii_lowercase();
        Self {
            keys: match &settings.keys {
                JwtKeys::Fixed(keys) => Arc::new(KeySet::of(keys.clone())),
                JwtKeys::At { url, .. } => board.key_set(url),
            },
            id: hash_key(format!("{settings:?}").as_bytes()),
            is_authorization: header == "authorization",
            header: header.into_bytes().into(),
            settings: settings.clone(),
        }
    }

    pub(crate) fn request(&self, here: &Here<'_>, effects: &mut Effects) -> Step {
        let Some(token) = self.find(&here.asked) else {
            return if self.settings.optional { Step::Next } else { Step::End(refusal(None)) };
        };
        let Some(keys) = self.keys.load() else { return Step::End(Ending::refuse(Reason::AuthUnavailable)) };
        let now = wall_seconds();
        let kept = &here.worker.kept;
        let known = kept.token(self.id, token).filter(|known| Arc::ptr_eq(&known.keys, &keys) && now < known.until);
        let verified = match known {
            Some(known) => known,
            None => match jwt::verify(token, &keys, &self.settings.rules, now) {
                Ok(claims) => {
                    let verified = Rc::new(Token { keys, until: claims.until, lines: self.lines(&claims) });
                    kept.keep_token(self.id, token, verified.clone());
                    verified
                }
                Err(why) => {
                    if why == Refusal::UnknownKey {
                        self.keys.want();
                    }
                    return Step::End(refusal(Some(why)));
                }
            },
        };
        match &verified.lines {
            Some(lines) => {
                effects.request.extend_from_slice(lines);
                Step::Next
            }
            None => Step::End(Ending::refuse(Reason::Denied)),
        }
    }

    pub(crate) fn describe(&self, asked: &Asked<'_>) -> String {
        let told = match (self.find(asked), self.keys.load()) {
            (None, _) if self.settings.optional => "none is needed, and none is there".to_owned(),
            (None, _) => "none is there, which is 401 unauthorized".to_owned(),
            (Some(_), None) => "there are no keys yet, which is 503 auth_unavailable".to_owned(),
            (Some(token), Some(keys)) => match jwt::verify(token, &keys, &self.settings.rules, wall_seconds()) {
                Err(why) => format!("the one there is refused, {}: 401 unauthorized", why.text()),
                Ok(claims) if self.lines(&claims).is_none() => {
                    "the one there is good, but not for this route: 403 denied".to_owned()
                }
                Ok(_) => "the one there is good".to_owned(),
            },
        };
        format!("jwt: asks for a token; {told}")
    }

    /// The token, wherever it may stand.
    fn find<'a>(&self, asked: &Asked<'a>) -> Option<&'a [u8]> {
        let in_header = if self.is_authorization {
            one_authorization(asked).and_then(bearer)
        } else {
            asked.value(&self.header).map(|value| bearer(value).unwrap_or(value))
        };
        in_header.or_else(|| asked.cookie(self.settings.cookie.as_ref()?.as_bytes())).filter(|token| !token.is_empty())
    }

    /// What the backend is told, if the token says what it must.
    fn lines(&self, claims: &Claims) -> Option<Box<[u8]>> {
        let is_enough = self.settings.require.iter().all(|(claim, values)| claims.holds(claim, values));
        let lines = self.settings.claims.iter().filter_map(|(field, claim)| Some(format!("{field}: {}\r\n", claims.text(claim)?)));
        is_enough.then(|| lines.collect::<String>().into_bytes().into())
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// RFC 6750 section 3.
fn refusal(why: Option<Refusal>) -> Ending {
    let challenge = match why {
        None => "WWW-Authenticate: Bearer\r\n".to_owned(),
        Some(why) => format!("WWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"{}\"\r\n", why.text()),
    };
    Ending { fields: challenge.into_bytes(), ..Ending::refuse(Reason::Unauthorized) }
}

/// The times in a token are those of the wall clock, which no deadline goes by.
fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

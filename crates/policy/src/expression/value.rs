//! What an expression works with. Texts and JSON are borrowed from the facts.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value as Json;

use super::Variable;

/// A value of an expression.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Nothing, as in JSON.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list that the expression made.
    List(Rc<[Value<'a>]>),
    /// A map that the expression made, in the order written.
    Map(Rc<[(Value<'a>, Value<'a>)]>),
    /// An array or object of the facts.
    Json(&'a Json),
    /// A variable that is looked into by name.
    Fields(Variable),
}

impl<'a> Value<'a> {
    /// A borrowed text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value of a JSON value.
    pub fn json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::text(text),
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }

    /// What it is, for a person.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) | Self::Json(Json::Array(_)) => "a list",
            Self::Map(_) | Self::Json(_) | Self::Fields(_) => "a map",
        }
    }

    /// As a key of an exchange: texts as they are, numbers and flags as they are written; `None` for what is no key.
    pub fn into_key(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            Self::Double(number) => Some(Cow::Owned(number.to_string())),
            Self::Bool(flag) => Some(Cow::Borrowed(if flag { "true" } else { "false" })),
            _ => None,
        }
    }

    /// For a person, cut where it is long.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) => cut(format!("'{}'", text.escape_debug())),
            Self::Json(json) => cut(json.to_string()),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Map(entries) => format!("a map of {}", entries.len()),
            Self::Double(number) => format!("{}", (number * 1000.0).round() / 1000.0),
            Self::Bool(_) | Self::Int(_) => self.clone().into_key().unwrap_or_default().into_owned(),
            Self::Fields(_) => "a map".to_owned(),
        }
    }
}

fn cut(mut text: String) -> String {
    const MOST: usize = 64;
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

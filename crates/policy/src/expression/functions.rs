//! The functions an expression may call; a method's target is its first argument.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::rc::Rc;

use serde_json::Value as Json;

use super::evaluate::Budget;
use super::{Error, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    Substring,
    Int,
    Double,
    String,
}

const TABLE: [(&str, Function); 12] = [
    ("size", Function::Size),
    ("contains", Function::Contains),
    ("startsWith", Function::StartsWith),
    ("endsWith", Function::EndsWith),
    ("lowerAscii", Function::LowerAscii),
    ("upperAscii", Function::UpperAscii),
    ("trim", Function::Trim),
    ("split", Function::Split),
    ("substring", Function::Substring),
    ("int", Function::Int),
    ("double", Function::Double),
    ("string", Function::String),
];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(name, _)| *name)
    }

    fn name(self) -> &'static str {
        TABLE.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| *name)
    }

    pub(super) fn takes(self) -> RangeInclusive<usize> {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::Split => 2..=2,
            Self::Substring => 2..=3,
            _ => 1..=1,
        }
    }

    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Size => "as in size(json.items)",
            Self::Contains => "as in body.contains('ready')",
            Self::StartsWith => "as in path.startsWith('/v1/')",
            Self::EndsWith => "as in host.endsWith('.example.com')",
            Self::LowerAscii => "as in headers['x-tier'].lowerAscii()",
            Self::UpperAscii => "as in headers['x-tier'].upperAscii()",
            Self::Trim => "as in body.trim()",
            Self::Split => "as in path.split('/')[1]",
            Self::Substring => "as in client_ip.substring(0, 4)",
            Self::Int => "as in int(headers['x-load'])",
            Self::Double => "as in double(headers['x-load'])",
            Self::String => "as in string(status)",
        }
    }

    pub(super) fn is_condition(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith | Self::EndsWith)
    }

    /// Calls it with as many arguments as it takes.
    pub(super) fn call<'a>(self, args: &[Value<'a>], budget: &mut Budget) -> Result<Value<'a>, Error> {
        for arg in args {
            if let Value::Text(text) = arg {
                budget.text(text)?;
            }
        }
        match (self, args) {
            (Self::Size, [Value::Text(text)]) => whole(text.chars().count()),
            (Self::Size, [Value::List(items)]) => whole(items.len()),
            (Self::Size, [Value::Map(entries)]) => whole(entries.len()),
            (Self::Size, [Value::Json(Json::Array(items))]) => whole(items.len()),
            (Self::Size, [Value::Json(Json::Object(entries))]) => whole(entries.len()),
            (Self::Contains, [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.contains(&**part))),
            (Self::StartsWith, [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.starts_with(&**part))),
            (Self::EndsWith, [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
            (Self::LowerAscii, [Value::Text(text)]) => Ok(Value::Text(text.to_ascii_lowercase().into())),
            (Self::UpperAscii, [Value::Text(text)]) => Ok(Value::Text(text.to_ascii_uppercase().into())),
            (Self::Trim, [Value::Text(text)]) => Ok(part(text, |text| text.trim())),
            (Self::Split, [Value::Text(text), Value::Text(by)]) if !by.is_empty() => split(text, by, budget),
            (Self::Substring, [Value::Text(text), Value::Int(from), rest @ ..]) => substring(text, *from, rest),
            (Self::Int, [Value::Int(number)]) => Ok(Value::Int(*number)),
            (Self::Int, [Value::Double(number)]) if number.abs() < 9e18 => Ok(Value::Int(*number as i64)),
            (Self::Int, [Value::Text(text)]) => {
                text.parse().map(Value::Int).map_err(|_| Error::Unfit(format!("'{}' is no whole number", text.escape_debug())))
            }
            (Self::Double, [Value::Double(number)]) => Ok(Value::Double(*number)),
            (Self::Double, [Value::Int(number)]) => Ok(Value::Double(*number as f64)),
            (Self::Double, [Value::Text(text)]) => {
                text.parse().map(Value::Double).map_err(|_| Error::Unfit(format!("'{}' is no number", text.escape_debug())))
            }
            (Self::String, [value]) if value.clone().into_key().is_some() => {
                Ok(value.clone().into_key().map_or(Value::Null, Value::Text))
            }
            _ => Err(Error::Unfit(format!("`{}` does not take {}", self.name(), args.first().map_or("nothing", Value::kind)))),
        }
    }
}

fn whole<'a>(count: usize) -> Result<Value<'a>, Error> {
    i64::try_from(count).map(Value::Int).map_err(|_| Error::Arithmetic("a number is too large"))
}

/// A part of a text, borrowed where the text is.
fn part<'a>(text: &Cow<'a, str>, cut: impl Fn(&str) -> &str) -> Value<'a> {
    match text {
        Cow::Borrowed(text) => Value::text(cut(text)),
        Cow::Owned(text) => Value::Text(Cow::Owned(cut(text).to_owned())),
    }
}

fn split<'a>(text: &Cow<'a, str>, by: &str, budget: &mut Budget) -> Result<Value<'a>, Error> {
    let mut parts = Vec::new();
    match text {
        Cow::Borrowed(text) => parts.extend(text.split(by).map(Value::text)),
        Cow::Owned(text) => parts.extend(text.split(by).map(|part| Value::Text(Cow::Owned(part.to_owned())))),
    }
    budget.steps(parts.len())?;
    Ok(Value::List(Rc::from(parts)))
}

/// By characters, from `from` to the end or up to the next argument.
fn substring<'a>(text: &Cow<'a, str>, from: i64, rest: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let to = match rest {
        [] => None,
        [Value::Int(to)] => Some(*to),
        _ => return Err(Error::Unfit("`substring` takes whole numbers".to_owned())),
    };
    let place = |text: &str, at: i64| -> Option<usize> {
        let at = usize::try_from(at).ok()?;
        text.char_indices().map(|(i, _)| i).chain([text.len()]).nth(at)
    };
    let start = place(text, from);
    let end = to.map_or(Some(text.len()), |to| place(text, to));
    match (start, end) {
        (Some(start), Some(end)) if start <= end => Ok(part(text, |text| &text[start..end])),
        _ => Err(Error::Absent(format!("character {from} to {} of the text", to.unwrap_or(0)))),
    }
}

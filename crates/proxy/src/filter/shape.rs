//! Small steps that look at one part of a request: the size of its body, its path.

use policy::Rewrite;
use wire::h1::Framing;
use wire::h1::path::{Normal, Policy, normalise};

use super::{Effects, Ending, Step};
use crate::error::Reason;
use crate::message::Asked;

/// Refuses a body that says it is larger. One that does not say is cut off where it becomes so.
pub(crate) fn body(most: u64, asked: &Asked<'_>) -> Step {
    match asked.head.framing {
        Framing::Length(n) if n > most => Step::End(Ending::refuse(Reason::BodyTooLarge)),
        _ => Step::Next,
    }
}

pub(crate) fn describe_body(most: u64, asked: &Asked<'_>) -> String {
    match asked.head.framing {
        Framing::Length(n) if n > most => format!("max_body: {n} B are more than {most}: 413 body_too_large"),
        _ => format!("max_body: at most {most} B"),
    }
}

/// Gives the backend another path.
pub(crate) fn rewrite(rewrite: &Rewrite, asked: &Asked<'_>, effects: &mut Effects) -> Step {
    match rewritten(rewrite, asked.path) {
        Ok(path) => {
            effects.path = path;
            Step::Next
        }
        Err(()) => Step::End(Ending::refuse(Reason::BadPath)),
    }
}

pub(crate) fn describe_rewrite(rewrite: &Rewrite, asked: &Asked<'_>) -> String {
    match rewritten(rewrite, asked.path) {
        Ok(Some(path)) => format!("rewrite: the backend gets {}", String::from_utf8_lossy(&path)),
        Ok(None) => "rewrite: the path stays".to_owned(),
        Err(()) => "rewrite: comes to no legal path: 400 bad_path".to_owned(),
    }
}

fn rewritten(rewrite: &Rewrite, path: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut new = Vec::with_capacity(path.len() + 32);
    if !rewrite.apply(path, &mut new) {
        return Ok(None);
    }
    // An escaped slash that got here was let in.
    let mut normal = Vec::new();
    match normalise(&new, Policy { keep_encoded_slash: true }, &mut normal) {
        Ok(Normal::Unchanged) => Ok(Some(new)),
        Ok(Normal::Rewritten) => Ok(Some(normal)),
        Err(_) => Err(()),
    }
}

//! `[log]` and `[admin]`.

use std::path::PathBuf;

use crate::doc::{Section, Value};
use crate::model::{AccessFormat, AccessTo, Admin, Level, Log, Secret};
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::Wrong;

use super::listener::{self, Taken};
use super::network;

pub(super) fn log(section: &Section<'_>) -> Log {
    Log {
        access: section.parsed("access", access),
        format: match section.choice("format") {
            "common" => AccessFormat::Common,
            "text" => AccessFormat::Text,
            _ => AccessFormat::Json,
        },
        level: match section.choice("level") {
            "error" => Level::Error,
            "warn" => Level::Warn,
            "debug" => Level::Debug,
            "trace" => Level::Trace,
            _ => Level::Info,
        },
    }
}

fn access(text: &str) -> Result<AccessTo, Wrong> {
    match text {
        "off" => Ok(AccessTo::Off),
        "stdout" => Ok(AccessTo::Stdout),
        // A bare word is rather a misspelt one than a file in the working directory.
        path if path.contains(['/', '.']) && !path.contains('\0') => Ok(AccessTo::File(PathBuf::from(path))),
        word => {
            let hint = nearest(word, ["off", "stdout"]).map_or_else(
                || "it is \"off\", \"stdout\" or the path of a file, such as \"/var/log/evenkeel/access.log\"".to_owned(),
                |word| format!("did you mean \"{word}\"?"),
            );
            Err(Wrong::new(format!("`access` can't be {}", shown(word)), hint))
        }
    }
}

/// Shorter ones are guessed too soon.
const SHORTEST_TOKEN: usize = 16;

pub(super) fn admin(section: &Section<'_>, taken: &mut Taken) -> Admin {
    let token = section.get("token").and_then(Value::secret).and_then(|text| {
        text.read(|token| {
            let legal = token.len() >= SHORTEST_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
            legal.then(|| Secret::new(token)).ok_or_else(|| Wrong::new("", ""))
        })
    });
    let listen = section.parsed("listen", network::one_address);
    let span = section.get("listen").map_or(section.span.clone(), |value| value.span());
    listener::take(section.doc, listen, span.clone(), taken);
    if !listen.ip().is_loopback() && !section.has("token") {
        section.doc.warn(
            span,
            "other machines can reach the admin listener, and it has no token",
            "set `token = { env = \"EVENKEEL_TOKEN\" }` or listen on 127.0.0.1",
        );
    }
    Admin { listen, token }
}

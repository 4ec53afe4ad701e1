//! Text to checked configuration.
//!
//! One TOML file goes in, one [`model::Config`] comes out, or a [`Report`] of everything that is wrong with it: the place, the
//! line, a caret under the fault and the nearest legal key. What the language knows is said once, in `keys`; the parser, the
//! hints, [`schema`] and [`reference()`] all read it there.
//!
//! ```
//! let config = config::parse("evenkeel.toml", r#"
//!     listen   = "127.0.0.1:8000"
//!     backends = ["127.0.0.1:8001", "127.0.0.1:8002"]
//! "#)?;
//! assert_eq!(config.pools[0].backends.len(), 2);
//!
//! let report = config::parse("evenkeel.toml", "lisen = ':80'").expect_err("a misspelt key");
//! assert!(report.to_string().contains("did you mean `listen`?"));
//! # Ok::<(), config::Report>(())
//! ```
//!
//! Never: no I/O but reading the file and `{ file = … }` secrets, no type of TOML in the model.

mod check;
mod doc;
mod keys;
pub mod model;
mod nearest;
mod reference;
mod report;
mod schema;
mod short;
mod syntax;
mod units;

use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use crate::doc::{Doc, Section};
use crate::model::Config;
pub use crate::reference::reference;
pub use crate::report::{Fault, Report, Severity};
pub use crate::schema::schema;
pub use crate::short::short;

/// Reads and checks the file at `path`.
///
/// A file that can't be read, is not UTF-8 or is larger than 16 MiB is a report too.
pub fn load(path: &Path) -> Result<Config, Report> {
    let name = path.display().to_string();
    let text = read(path)
        .map_err(|why| Report::new(vec![Fault::without_place(name.clone(), format!("can't read {name}: {why}"), None)]))?;
    let mut config = parse(&name, &text)?;
    config.source = Some(path.to_path_buf());
    Ok(config)
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    const LARGEST: u64 = 16 << 20;
    let file = std::fs::File::open(path).map_err(|why| why.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|why| why.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 16 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|why| format!("it is not UTF-8 from byte {} on", why.utf8_error().valid_up_to()))
}

/// Checks `text`. Faults call it `name`; `{ file = … }` is read relative to the folder of `name`.
///
/// Every fault is reported: one of the syntax does not hide the others, and none hides the next.
pub fn parse(name: &str, text: &str) -> Result<Config, Report> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut doc = Doc::new(name, text);
    syntax::report(&mut doc, text, &errors);
    let first_key = root.get_ref().keys().map(|key| key.span()).min_by_key(|span| span.start);
    let section = Section::open(&doc, &keys::ROOT, String::new(), first_key.unwrap_or(0..0), root.get_ref());
    let config = check::config(&section);
    drop(section);
    finish(doc, name, config)
}

/// Reads a duration as the language writes it, such as `250ms`, `5s` or `1m30s`; for arguments of the command line.
///
/// # Errors
/// What is wrong and what to write instead, in one line.
pub fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.hint))
}

/// Reads a percentage such as `10%` as a fraction, here 0.1; for arguments of the command line.
///
/// # Errors
/// As [`duration`].
pub fn percent(text: &str) -> Result<f64, String> {
    units::percent(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.hint))
}

/// Reads a URL such as `https://shop.example.com/api?page=2`; for arguments of the command line.
///
/// # Errors
/// As [`duration`].
pub fn url(text: &str) -> Result<model::Url, String> {
    check::test::url(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.hint))
}

/// The configuration with its warnings if nothing is an error, the report otherwise.
fn finish(doc: Doc<'_>, name: &str, mut config: Config) -> Result<Config, Report> {
    let (faults, source) = doc.into_faults(name);
    let (errors, warnings): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.severity == Severity::Error);
    // Beside errors, warnings mislead: a pool seems unused because its route is at fault.
    if !errors.is_empty() {
        return Err(Report::new(errors));
    }
    config.tests.iter_mut().for_each(|test| test.place = model::Place(Some(source.clone())));
    Ok(Config { warnings, ..config })
}

//! The configuration of `evenkeel proxy LISTEN BACKEND...`: the short form given as arguments.

use crate::check;
use crate::doc::Doc;
use crate::model::Config;
use crate::report::Report;

/// What faults call the text.
const NAME: &str = "command line";

/// One listener, one route and one pool of these backends, with every default.
///
/// Arguments are read as in the short form: `":8000"` listens on every address, `http://` before a backend is dropped, a port left
/// out is 80. Faults point into the arguments joined by spaces.
pub fn short(listen: &str, backends: &[String]) -> Result<Config, Report> {
    let mut line = listen.to_owned();
    let mut spans = Vec::with_capacity(backends.len());
    for backend in backends {
        line.push(' ');
        spans.push(line.len()..line.len() + backend.len());
        line.push_str(backend);
    }
    let doc = Doc::new(NAME, &line);
    let config = check::from_arguments(&doc, 0..listen.len(), &spans);
    crate::finish(doc, NAME, config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arguments_come_to_what_the_short_form_comes_to() {
        let backends = ["http://127.0.0.1:8001".to_owned(), "app".to_owned()];
        let from_arguments = short(":8000", &backends).unwrap();
        let text = "listen = ':8000'\nbackends = ['http://127.0.0.1:8001', 'app']";
        let from_text = crate::parse("evenkeel.toml", text).unwrap();
        assert_eq!(format!("{from_arguments:?}"), format!("{from_text:?}"));
    }

    #[test]
    fn a_fault_points_at_its_argument() {
        let report = short("8000", &["a:80".to_owned(), "https://b".to_owned(), "a".to_owned()]).unwrap_err();
        let faults: Vec<_> = report.faults().iter().map(|fault| (fault.column, fault.message.as_str())).collect();
        assert_eq!(
            faults,
            [
                (1, "`8000` is not an address to listen on"),
                (11, "`https://` backends are part of the language but not served by this version yet"),
                (21, "a:80 is in this pool twice"),
            ]
        );
        assert!(report.to_string().contains("--> command line:1:11"), "{report}");
    }

    #[test]
    fn no_backend_is_a_fault() {
        assert_eq!(short(":8000", &[]).unwrap_err().faults().len(), 1);
    }
}

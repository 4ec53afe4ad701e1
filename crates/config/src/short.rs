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
    let mut spans = vec![0..line.len()];
    for backend in backends {
        line.push(' ');
        spans.push(line.len()..line.len() + backend.len());
        line.push_str(backend);
    }
    let doc = Doc::new(NAME, &line);
    let config = check::from_arguments(&doc, &spans);
    crate::finish(doc, NAME, config)
}

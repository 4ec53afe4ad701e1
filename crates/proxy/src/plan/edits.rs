//! Header edits, compiled.

use config::model::{HeaderEdits, Part, Template, Variable};

/// Gives the value of a variable of this exchange.
pub(crate) trait Facts {
    fn write(&self, variable: Variable, out: &mut Vec<u8>);
}

/// Writes the template with its variables filled in.
///
/// Nothing a client sent can end the line: heads with control characters are refused before they get here, and the path and
/// query of a target hold none.
pub(crate) fn fill(template: &Template, facts: &impl Facts, out: &mut Vec<u8>) {
    for part in template.parts() {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Variable(variable) => facts.write(*variable, out),
        }
    }
}

/// Fields to take away and fields to write.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Lower case.
    dropped: Vec<Box<[u8]>>,
    written: Vec<(Box<[u8]>, Template)>,
}

impl Edits {
    pub(crate) fn compile(edits: &HeaderEdits) -> Self {
        let set = edits.set.iter().map(|(name, _)| name.to_ascii_lowercase());
        Self {
            dropped: edits.remove.iter().cloned().chain(set).map(|name| name.into_bytes().into()).collect(),
            written: edits.set.iter().chain(&edits.add).map(owned).collect(),
        }
    }

    /// Fields to write, none to take away.
    pub(crate) fn of_fields(fields: &[(String, Template)]) -> Self {
        Self { dropped: Vec::new(), written: fields.iter().map(owned).collect() }
    }

    /// Whether a field of this name is taken away.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// Whether the value of a field of this name must not be shown.
    pub(crate) fn hides(&self, name: &str) -> bool {
        self.written.iter().any(|(known, template)| template.is_secret() && known.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Appends the fields to write.
    pub(crate) fn write(&self, facts: &impl Facts, out: &mut Vec<u8>) {
        for (name, template) in &self.written {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            fill(template, facts, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn owned((name, template): &(String, Template)) -> (Box<[u8]>, Template) {
    (name.as_bytes().into(), template.clone())
}

//! Header edits, compiled.

use config::model::{HeaderEdits, Part, SecurityHeaders, Template, Variable};

/// Gives the value of a variable of this exchange.
pub(crate) trait Facts {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>);

    /// Whether the client came by https.
    fn is_https(&self) -> bool;
}

/// Writes the template with its variables filled in.
///
/// Nothing a client sent can end the line: heads with control characters are refused before they get here, and the path and
/// query of a target hold none.
pub(crate) fn fill(template: &Template, facts: &impl Facts, out: &mut Vec<u8>) {
    for part in template.parts() {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Variable(variable) => facts.write(variable, out),
        }
    }
}

/// Fields to take away and fields to write.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Lower case.
    dropped: Vec<Box<[u8]>>,
    written: Vec<(Box<[u8]>, Template)>,
    /// Lower case. Dropped in every spelling: a backend may take `X_User` for `X-User`.
    identity: Vec<Box<[u8]>>,
    /// Whole lines, for heads without a field of that name.
    defaults: Vec<Box<[u8]>>,
    /// As `defaults`, for who came by https.
    https: Option<Box<[u8]>>,
}

impl Edits {
    pub(crate) fn compile(edits: &HeaderEdits) -> Self {
        let set = edits.set.iter().map(|(name, _)| name.to_ascii_lowercase());
        Self {
            dropped: edits.remove.iter().cloned().chain(set).map(|name| name.into_bytes().into()).collect(),
            written: edits.set.iter().chain(&edits.add).map(owned).collect(),
            ..Self::default()
        }
    }

    /// Takes these away too.
    pub(crate) fn dropping<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.dropped.extend(names.into_iter().map(|name| name.to_ascii_lowercase().into_bytes().into()));
        self
    }

    /// Takes these away too, with `_` in place of `-` as well: what they say of somebody comes from filters alone.
    pub(crate) fn keeping_for_filters<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.identity.extend(names.into_iter().map(|name| name.to_ascii_lowercase().into_bytes().into()));
        self
    }

    /// Writes these where they are not there; what the operator set stands before them.
    pub(crate) fn with_defaults(mut self, preset: &SecurityHeaders) -> Self {
        let line = |name: &str, value: &str| -> Box<[u8]> { format!("{name}: {value}\r\n").into_bytes().into() };
        let is_set = |name: &str| self.written.iter().any(|(written, _)| written.eq_ignore_ascii_case(name.as_bytes()));
        self.defaults = preset.fields.iter().filter(|(name, _)| !is_set(name)).map(|(name, value)| line(name, value)).collect();
        let hsts = preset.hsts.as_ref().filter(|_| !is_set(HSTS));
        self.https = hsts.map(|value| line(HSTS, value));
        if preset.hide { self.dropping(["Server", "X-Powered-By"]) } else { self }
    }

    /// Fields to write, none to take away.
    pub(crate) fn of_fields(fields: &[(String, Template)]) -> Self {
        Self { written: fields.iter().map(owned).collect(), ..Self::default() }
    }

    /// Whether a field of this name is taken away.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
            || self.identity.iter().any(|kept| is_alike(kept, name))
    }

    /// Appends the defaults whose names `has` denies.
    pub(crate) fn write_defaults(&self, has: impl Fn(&[u8]) -> bool, facts: &impl Facts, out: &mut Vec<u8>) {
        let https = self.https.iter().filter(|_| facts.is_https());
        for line in self.defaults.iter().chain(https) {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            if !has(name) {
                out.extend_from_slice(line);
            }
        }
    }

    /// Whether [`Self::write_defaults`] would do anything.
    pub(crate) fn has_defaults(&self) -> bool {
        !self.defaults.is_empty() || self.https.is_some()
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

const HSTS: &str = "Strict-Transport-Security";

/// Whether a backend may take `name` for the field `lower`.
fn is_alike(lower: &[u8], name: &[u8]) -> bool {
    let fold = |b: &u8| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    lower.len() == name.len() && lower.iter().map(fold).eq(name.iter().map(fold))
}

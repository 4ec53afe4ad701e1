//! The language of case files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use toml::Value;

/// One conversation and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is about; unique in its file.
    pub name: String,
    /// The row of safety.md.
    #[serde(default)]
    pub row: String,
    /// Which configuration it needs.
    #[serde(default = "default_config")]
    pub config: String,
    /// What the client sends.
    #[serde(default, deserialize_with = "pieces")]
    pub send: Vec<Piece>,
    #[serde(default)]
    head: Vec<String>,
    #[serde(default)]
    body: String,
    /// The client sends FIN after that.
    #[serde(default)]
    pub finish: bool,
    /// `all`: also in two pieces cut at every offset.
    #[serde(default)]
    split: String,
    /// Not byte by byte: the pieces matter.
    #[serde(default)]
    pub whole_only: bool,
    /// Scripts for the backend's next exchanges, in order; one may be written without the outer list.
    #[serde(default, deserialize_with = "scripts")]
    pub backend: Vec<Vec<String>>,
    #[serde(default, deserialize_with = "one_or_many")]
    refuse: Vec<u16>,
    /// What the client must get.
    #[serde(default)]
    pub expect: Expect,
    /// What the backend must have seen.
    pub seen: Option<Seen>,
}

/// One thing the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Sends bytes.
    Bytes(Vec<u8>),
    /// Waits.
    Pause(std::time::Duration),
    /// Waits until this was received.
    Wait(Vec<u8>),
}

/// What the client must get. What is not named is not judged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Status of the last answer: one of these.
    #[serde(deserialize_with = "one_or_many")]
    pub status: Vec<u16>,
    /// Statuses of all answers in order, when there are several.
    pub statuses: Vec<u16>,
    /// Methods of the requests, as far as one is HEAD (its answer has no body).
    pub methods: Vec<String>,
    /// `true`: closed after the last answer. `false`: it serves another request on the same connection.
    pub closed: Option<bool>,
    /// Closed without any answer.
    pub no_answer: bool,
    /// An answer may come or not; if one does the rest is judged.
    pub silent_ok: bool,
    /// `false`: the body must NOT end cleanly.
    pub complete: Option<bool>,
    /// The word of the error.
    pub reason: Option<String>,
    /// `Name: value`, or `Name` alone, that the last answer must have.
    pub has: Vec<String>,
    /// Names the last answer must not have.
    pub lacks: Vec<String>,
    /// Exactly this body.
    pub body: Option<String>,
    /// Texts the body must contain.
    pub contains: Vec<String>,
    /// Statuses of interim answers before the last one; `[]` means none.
    pub interim: Option<Vec<u16>>,
    /// Exactly these bytes after the last answer (a tunnel).
    pub tail: Option<String>,
}

/// What the backend must have seen. What is not named is not judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Seen {
    /// `nothing`: not a byte. `no whole request`: perhaps a part, but nothing it could take for a request.
    Word(String),
    /// Something.
    Requests(Box<SeenRequests>),
}

/// The requests a backend must have seen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeenRequests {
    /// How many; one if not said.
    pub count: Option<usize>,
    /// Request lines of all of them.
    pub lines: Vec<String>,
    /// Request line of the first.
    pub line: Option<String>,
    /// All fields of the first in order, but those the proxy makes (framing, `Connection`, `X-Forwarded-*`, `X-Request-Id`, ...).
    pub fields: Option<Vec<String>>,
    /// `Name: value` lines the first must have; `<client>` is the client's address, `<*>` anything, `Name` alone any value.
    pub has: Vec<String>,
    /// Names the first must not have.
    pub lacks: Vec<String>,
    /// `Name=N`: how often the field stands in it.
    pub times: BTreeMap<String, usize>,
    /// Its decoded body.
    pub body: Option<String>,
    /// `none`, `length` or `chunked`.
    pub framing: Option<String>,
    /// The request was not whole (the client or the script broke it off).
    pub incomplete: bool,
}

impl Case {
    /// All bytes the client sends.
    pub fn bytes(&self) -> Vec<u8> {
        self.send.iter().flat_map(|piece| if let Piece::Bytes(bytes) = piece { bytes.as_slice() } else { &[] }).copied().collect()
    }

    /// Whether it is to be cut at every offset.
    pub fn splits(&self) -> bool {
        self.split == "all"
    }

    /// The same input twice is not two cases.
    fn says_the_same(&self, other: &Self) -> bool {
        self.send == other.send && self.backend == other.backend && self.config == other.config && self.finish == other.finish
    }

    /// Puts the short forms into the long ones.
    fn settle(mut self, row: &str) -> Result<Self, String> {
        if self.row.is_empty() {
            row.clone_into(&mut self.row);
        }
        if !self.head.is_empty() {
            let text = format!("{}\\r\\n\\r\\n{}", self.head.join("\\r\\n"), self.body);
            self.send.push(Piece::Bytes(unescape(&text)?));
        }
        if self.send.is_empty() || !["", "all"].contains(&self.split.as_str()) {
            return Err("sends nothing, or `split` is not \"all\"".to_owned());
        }
        if !self.refuse.is_empty() {
            self.expect.status.clone_from(&self.refuse);
            self.expect.closed = Some(true);
            self.seen.get_or_insert_with(|| Seen::Word("nothing".to_owned()));
            self.expect.has.push("Connection: close".to_owned());
        }
        if let Some(Seen::Word(word)) = &self.seen
            && !["nothing", "no whole request"].contains(&word.as_str())
        {
            return Err(format!("seen = {word:?}?"));
        }
        for script in &self.backend {
            crate::backend::Script::parse(script)?;
        }
        Ok(self)
    }
}

fn default_config() -> String {
    "default".to_owned()
}

/// Every case of the `*.toml` files of a directory, in the order of their names.
///
/// # Panics
/// On a file that is wrong: a test that cannot be read must not pass.
pub fn load(dir: &Path) -> Vec<Case> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<_> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    let mut cases = Vec::new();
    let mut faults = Vec::new();
    for path in &paths {
        match fs::read_to_string(path).map_err(|e| e.to_string()).and_then(|text| parse(&text)) {
            Ok(mut more) => cases.append(&mut more),
            Err(fault) => faults.push(format!("{}: {fault}", path.display())),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    cases
}

/// The cases of one file's text.
///
/// # Errors
/// Names every case that is wrong and why.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let file: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
    let row = file.get("row").and_then(Value::as_str).unwrap_or_default();
    let cases = file.get("case").and_then(Value::as_array).ok_or("no [[case]]")?;
    let mut out: Vec<Case> = Vec::new();
    let mut faults = Vec::new();
    for case in cases {
        for case in vary(case)? {
            let name = case.get("name").map(ToString::to_string).unwrap_or_default();
            match case.try_into::<Case>().map_err(|e| e.to_string()).and_then(|case| case.settle(row)) {
                Err(fault) => faults.push(format!("case {name}: {fault}")),
                Ok(case) if out.iter().any(|other| other.name == case.name || other.says_the_same(&case)) => {
                    faults.push(format!("case {name}: its name or its very input is there already"));
                }
                Ok(case) => out.push(case),
            }
        }
    }
    if faults.is_empty() { Ok(out) } else { Err(faults.join("\n")) }
}

/// One case for each entry of `vary`.
fn vary(case: &Value) -> Result<Vec<Value>, String> {
    let mut base = case.clone();
    let table = base.as_table_mut().ok_or("a case is a table")?;
    let Some(values) = table.remove("vary") else {
        return Ok(vec![base]);
    };
    let values = values.as_array().cloned().ok_or("`vary` is a list")?;
    let named = |value: &Value| -> Result<Value, String> {
        let words = match value {
            Value::String(text) => vec![("v".to_owned(), text.clone())],
            Value::Table(table) => {
                table.iter().map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect()
            }
            _ => return Err("`vary` holds texts or tables".to_owned()),
        };
        let mut case = base.clone();
        if let Some(Value::String(name)) = case.get_mut("name")
            && !name.contains("{{")
        {
            name.push_str(" [{{v}}]");
        }
        substitute(&mut case, &words);
        Ok(case)
    };
    values.iter().map(named).collect()
}

fn substitute(value: &mut Value, words: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (key, word) in words {
                *text = text.replace(&format!("{{{{{key}}}}}"), word);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|v| substitute(v, words)),
        Value::Table(table) => table.iter_mut().for_each(|(_, v)| substitute(v, words)),
        _ => {}
    }
}

/// Bytes from a text with escapes: `\r \n \t \0 \\ \xHH`, and `{{TEXT*N}}` for N times TEXT. Other characters stand for their UTF-8.
///
/// # Errors
/// On an escape that is none of these.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((inner, after)) = rest.strip_prefix("{{").and_then(|r| r.split_once("}}")) {
            let (what, times) =
                inner.rsplit_once('*').ok_or_else(|| format!("{{{{{inner}}}}} is neither varied nor a repetition"))?;
            let times: usize = times.parse().map_err(|_| format!("{{{{{inner}}}}}: how often?"))?;
            out.extend(unescape(what)?.repeat(times));
            rest = after;
        } else if c == '\\' {
            rest = escape(&rest[1..], &mut out)?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(out)
}

fn escape<'a>(rest: &'a str, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let mut chars = rest.chars();
    out.push(match chars.next() {
        Some('r') => b'\r',
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits = rest.get(1..3).ok_or("\\x needs two digits")?;
            out.push(u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits}?"))?);
            return Ok(&rest[3..]);
        }
        other => {
            return Err(format!("no escape \\{}", other.map_or_else(String::new, String::from)));
        }
    });
    Ok(chars.as_str())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> From<OneOrMany<T>> for Vec<T> {
    fn from(value: OneOrMany<T>) -> Self {
        match value {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u16>, D::Error> {
    OneOrMany::deserialize(from).map(Into::into)
}

fn scripts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Vec<String>>, D::Error> {
    let lists: Vec<OneOrMany<String>> = Vec::deserialize(from)?;
    // A list of texts is one script, a list of lists several.
    if lists.iter().all(|list| matches!(list, OneOrMany::One(_))) {
        let script: Vec<String> = lists.into_iter().flat_map(Vec::from).collect();
        return Ok(if script.is_empty() { vec![] } else { vec![script] });
    }
    Ok(lists.into_iter().map(Into::into).collect())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPiece {
    Text(String),
    Step(BTreeMap<String, String>),
}

fn pieces<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Piece>, D::Error> {
    let raw: Vec<RawPiece> = OneOrMany::deserialize(from)?.into();
    raw.into_iter().map(piece).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

fn piece(raw: RawPiece) -> Result<Piece, String> {
    let step = match raw {
        RawPiece::Text(text) => return unescape(&text).map(Piece::Bytes),
        RawPiece::Step(step) => step,
    };
    match step.iter().next().map(|(k, v)| (k.as_str(), v)) {
        Some(("pause", time)) => crate::backend::duration(time).map(Piece::Pause),
        Some(("wait", text)) => unescape(text).map(Piece::Wait),
        Some(("hex", digits)) => hex(digits).map(Piece::Bytes),
        _ => Err(format!("{step:?}: a piece is a text, {{ pause = }}, {{ wait = }} or {{ hex = }}")),
    }
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).map_err(|_| format!("hex {pair:?}"));
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_know_their_escapes() {
        assert_eq!(unescape(r"a\r\n\x00\0\\{{ab*3}}ü").unwrap(), "a\r\n\0\0\\abababü".as_bytes());
        assert!(unescape(r"\q").is_err());
        assert!(unescape("{{v}}").is_err());
    }

    #[test]
    fn vary_makes_a_case_of_each_value_and_refuse_is_short_for_closed_and_unseen() {
        let cases = parse(
            r#"
            row = "A1"
            [[case]]
            name = "x"
            vary = ["5", "6"]
            head = ["GET / HTTP/1.1", "Content-Length: {{v}}"]
            refuse = 400
            [[case]]
            name = "path {{from}}"
            row = "D1"
            vary = [{ from = "/a/../b", to = "/b" }]
            send = ["GET {{from}} ", { pause = "5ms" }, { hex = "41 0d0a" }]
            expect = { status = [200, 201] }
            seen = { line = "GET {{to}} HTTP/1.1" }
            backend = ["read request", "answer"]
            "#,
        )
        .unwrap();
        assert_eq!(cases.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["x [5]", "x [6]", "path /a/../b"]);
        assert_eq!(cases[1].bytes(), b"GET / HTTP/1.1\r\nContent-Length: 6\r\n\r\n");
        assert_eq!(
            (cases[1].expect.status.as_slice(), cases[1].expect.closed, cases[1].row.as_str()),
            (&[400][..], Some(true), "A1")
        );
        assert!(matches!(&cases[1].seen, Some(Seen::Word(word)) if word == "nothing"));
        assert_eq!(cases[2].bytes(), b"GET /a/../b A\r\n");
        assert_eq!(cases[2].backend, [["read request", "answer"]]);
    }

    #[test]
    fn a_case_that_says_nothing_new_or_something_unknown_is_refused() {
        assert!(parse("[[case]]\nname = 'a'\nsend = 'x'\n[[case]]\nname = 'b'\nsend = 'x'\n").is_err());
        assert!(parse("[[case]]\nname = 'a'\nsend = 'x'\nexpct = {}\n").is_err());
        assert!(parse("[[case]]\nname = 'a'\nsend = 'x'\nbackend = ['dance']\n").is_err());
    }
}

//! Case files: what a client sends, what it must get, what the backend must have seen.
//!
//! ```toml
//! row = "A1"                                   # of safety.md; for every case of the file that names no other
//!
//! [[case]]
//! name   = "both lengths"
//! vary   = ["5", "6"]                          # a case for each; {{v}} stands for it in every text of the case (or tables: {{key}})
//! head   = ["POST / HTTP/1.1", "Host: a", "Content-Length: {{v}}", "Transfer-Encoding: chunked"]
//! body   = '0\r\n\r\n'                         # head and body, or `send`: a text, or pieces and { pause = "50ms" }, { wait = "TEXT" }
//! refuse = 400                                 # that status, closed, and nothing came to the backend
//! ```
//! Texts know `\r \n \t \0 \\ \xHH` and `{{a*9000}}` for 9000 times `a`. Instead of `refuse` a case has `expect` ([`Expect`]) and mostly `seen`
//! ([`Seen`]); `backend` is the script of the backend ([`crate::backend::Script::parse`]) where it should not just echo.
//!
//! Every case is run whole and byte by byte; with `split = "all"` also in two pieces cut at every offset. After each run a good request
//! on a new connection must be served. Runs go in parallel through ONE proxy: each lane has a client address and a backend of its own, and
//! a route by `client_ip` joins the two, so what a backend saw is known however broken the request was.

mod file;
mod judge;
mod run;

pub use file::{Case, Expect, Piece, Seen, load, parse, unescape};
pub use run::{Lane, Mode, Report, Setup, run, run_case};

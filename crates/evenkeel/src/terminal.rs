//! What people see: results on standard output, faults on standard error, colour only where there are eyes.
#![allow(clippy::print_stderr, reason = "this is where the command line prints")]

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// The exit code for wrong arguments or configuration, as clap has it.
pub(crate) fn bad_configuration() -> ExitCode {
    ExitCode::from(2)
}

/// Writes a result to standard output as it is.
///
/// # Errors
/// When it can't be written; a reader that has gone (`| head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// [`print()`], one line.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}

/// Says on standard error why nothing came of it.
pub(crate) fn error(message: &str) {
    let (on, off) = if colour() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{on}error{off}: {message}");
}

/// Says on standard error what to do about it.
pub(crate) fn hint(message: &str) {
    let (on, off) = if colour() { ("\x1b[1;36m", "\x1b[0m") } else { ("", "") };
    eprintln!("{on}hint{off}: {message}");
}

/// Shows every fault of a configuration on standard error, and their number.
pub(crate) fn report(report: &config::Report) {
    eprintln!("{}", report.render(colour()).trim_end());
    let errors = || report.faults().iter().filter(|fault| fault.severity == config::Severity::Error);
    if let Some(file) = errors().find(|fault| fault.line > 0).map(config::Fault::file) {
        eprintln!();
        error(&format!("{file} is not valid: {}", counted(errors().count(), "fault")));
    }
}

/// Shows what is legal but hardly meant, on standard error.
pub(crate) fn warnings(config: &config::model::Config) {
    for warning in &config.warnings {
        eprintln!("{}", warning.render(colour()));
    }
}

/// Whether standard error takes colour: a terminal whose user did not say `NO_COLOR` (no-color.org).
pub(crate) fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// "1 pool", "2 pools".
pub(crate) fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A table with a line of headings; columns of numbers stand right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let is_number = |cell: &str| cell == "-" || cell.split(' ').next().is_some_and(|number| number.parse::<f64>().is_ok());
    let right: Vec<bool> =
        (0..headings.len()).map(|column| rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell)))).collect();
    let mut out = String::new();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if right[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_names_on_the_left_and_numbers_on_the_right() {
        let rows = [["10.0.0.1:80", "1.5 ms"], ["b1", "-"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&["name", "latency"], &rows), "name         latency\n10.0.0.1:80   1.5 ms\nb1                 -\n");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!((counted(1, "pool"), counted(0, "pool")), ("1 pool".to_owned(), "0 pools".to_owned()));
    }
}

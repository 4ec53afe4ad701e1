//! The page: what is simulated, the tables, and how to read them.

use std::fmt::Write as _;

use super::study::{BROWNED, Studies, protections};
use super::world::Outcome;

const HEAD: &str = include_str!("page/head.md");
const BROWNOUT: &str = include_str!("page/brownout.md");
const AFTER_BROWNOUT: &str = include_str!("page/after_brownout.md");
const SPIKE: &str = include_str!("page/spike.md");
const FOOT: &str = include_str!("page/foot.md");

/// `docs/simulation.md`.
pub(super) fn page(studies: &Studies) -> String {
    let mut out = HEAD.to_owned();
    matrix(&mut out, studies, "Errors, in percent of requests", |outcome| format!("{:.2}", outcome.error_percent()));
    matrix(&mut out, studies, "p99, in milliseconds", |outcome| rounded(outcome.quantile_ms(0.99)));
    matrix(&mut out, studies, "Attempts at backends for each request", |outcome| format!("{:.3}", outcome.attempts_per_request()));
    out.push_str(BROWNOUT);
    let _ = writeln!(out, "| what the backends do | protection | attempts / request | errors % |\n|---|---|---:|---:|");
    for brownout in &studies.brownouts {
        let (attempts, errors) = (brownout.outcome.attempts_per_request(), brownout.outcome.error_percent());
        let _ = writeln!(out, "| {} | {} | {attempts:.3} | {errors:.1} |", brownout.name, brownout.protection);
    }
    let _ = writeln!(out, "\nThe load is {BROWNED} requests a second, for 35 seconds.");
    out.push_str(AFTER_BROWNOUT);
    out.push_str(SPIKE);
    let _ = writeln!(out, "| | good answers at the end, % | attempts / request |\n|---|---:|---:|");
    for spike in &studies.spikes {
        let _ = writeln!(out, "| {} | {:.1} | {:.3} |", spike.name, spike.recovered(), spike.outcome.attempts_per_request());
    }
    out.push_str(FOOT);
    out
}

fn matrix(out: &mut String, studies: &Studies, title: &str, figure: fn(&Outcome) -> String) {
    let names: Vec<&str> = protections().into_iter().map(|(name, _)| name).collect();
    let _ = writeln!(out, "### {title}\n\n| | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for row in &studies.matrix {
        let cells: Vec<String> = row.outcomes.iter().map(figure).collect();
        let _ = writeln!(out, "| `{}` | {} |", row.algorithm, cells.join(" | "));
    }
    out.push('\n');
}

/// Two digits are all that the histogram knows.
fn rounded(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.0}") } else { format!("{:.0}", (ms / 10.0).round() * 10.0) }
}

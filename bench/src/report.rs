//! What came out: the table on the terminal, the dated page and its JSON twin.

use crate::Result;
use crate::rounds::median;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// One scenario's figures and how they stand against the targets.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) unit: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// The counted values of one system.
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) values: Vec<f64>,
}

/// A figure next to the most it may be.
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) figure: f64,
    pub(crate) target: f64,
}

impl Outcome {
    pub(crate) fn of(&self, label: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.label == label).map(|row| median(&row.values))
    }

    /// Holds `label` against `to`; nothing to hold if either was not measured.
    pub(crate) fn judge(&mut self, label: &str, to: Option<f64>, of: &str, target: f64) {
        if let (Some(ours), Some(to)) = (self.of(label), to) {
            self.verdicts.push(Verdict { text: format!("{label} / {of}"), figure: ours / to, target });
        }
    }

    /// The lower of nginx's and HAProxy's medians.
    pub(crate) fn best_peer(&self) -> Option<f64> {
        ["nginx", "haproxy"].iter().filter_map(|label| self.of(label)).min_by(f64::total_cmp)
    }
}

impl Verdict {
    /// A figure that could not be computed is not met.
    pub(crate) fn is_met(&self) -> bool {
        self.figure <= self.target
    }

    fn mark(&self) -> &'static str {
        if self.is_met() { "ok" } else { "UNMET" }
    }
}

/// The run as a table for the terminal.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        let _ = writeln!(out, "\n{} ({})", outcome.name, outcome.unit);
        for row in &outcome.rows {
            let _ = writeln!(out, "  {:<24} {:>10.2}   {}", row.label, median(&row.values), spread(&row.values));
        }
        for verdict in &outcome.verdicts {
            let Verdict { text, figure, target } = verdict;
            let _ = writeln!(out, "  {:<6} {text}: {figure:.2}, target ≤ {target:.2}", verdict.mark());
        }
    }
    out
}

/// Writes `results/DATE-NAME.md` and `.json`, and returns the page's path.
pub(crate) fn write(name: &str, command: &str, facts: &[(&'static str, String)], outcomes: &[Outcome]) -> Result<PathBuf> {
    let date = crate::machine::today();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&folder)?;
    let page = folder.join(format!("{date}-{name}.md"));
    std::fs::write(&page, markdown(&date, command, facts, outcomes))?;
    let data = serde_json::to_string_pretty(&as_json(&date, command, facts, outcomes))?;
    std::fs::write(page.with_extension("json"), data + "\n")?;
    Ok(page)
}

fn markdown(date: &str, command: &str, facts: &[(&'static str, String)], outcomes: &[Outcome]) -> String {
    let mut out = format!("# Bench, {date}\n\n`{command}`\n\n");
    for (name, value) in facts {
        let _ = writeln!(out, "- {name}: {value}");
    }
    out.push_str("\n| scenario | figure | measured | target | |\n|---|---|---|---|---|\n");
    for outcome in outcomes {
        for verdict in &outcome.verdicts {
            let Verdict { text, figure, target } = verdict;
            let _ = writeln!(out, "| {} | {text} | {figure:.2} | ≤ {target:.2} | {} |", outcome.name, verdict.mark());
        }
    }
    for outcome in outcomes {
        let _ = writeln!(out, "\n## {}\n\n{}\n\n| | {} | rounds |\n|---|---|---|", outcome.name, outcome.about, outcome.unit);
        for row in &outcome.rows {
            let _ = writeln!(out, "| {} | {:.2} | {} |", row.label, median(&row.values), spread(&row.values));
        }
    }
    out
}

fn as_json(date: &str, command: &str, facts: &[(&'static str, String)], outcomes: &[Outcome]) -> Value {
    let scenarios = outcomes.iter().map(|outcome| {
        let rows =
            outcome.rows.iter().map(|row| json!({ "label": row.label, "median": median(&row.values), "rounds": row.values }));
        let verdicts = outcome.verdicts.iter().map(
            |verdict| json!({ "what": verdict.text, "figure": verdict.figure, "target": verdict.target, "met": verdict.is_met() }),
        );
        json!({ "name": outcome.name, "unit": outcome.unit,
                "rows": rows.collect::<Vec<_>>(), "verdicts": verdicts.collect::<Vec<_>>() })
    });
    let facts: serde_json::Map<_, _> = facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({ "date": date, "command": command, "machine": facts, "scenarios": scenarios.collect::<Vec<_>>() })
}

fn spread(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let row = |label: &str, values: &[f64]| Row { label: label.to_owned(), values: values.to_vec() };
        Outcome {
            name: "small",
            about: String::new(),
            unit: "µs",
            rows: vec![row("evenkeel", &[8.0, 7.0, 9.0]), row("nginx", &[10.0]), row("haproxy", &[12.0])],
            verdicts: Vec::new(),
        }
    }

    #[test]
    fn a_ratio_is_taken_to_the_better_peer_and_judged() {
        let mut outcome = outcome();
        outcome.judge("evenkeel", outcome.best_peer(), "the best", 0.75);
        outcome.judge("evenkeel", outcome.of("haproxy"), "haproxy", 0.75);
        outcome.judge("evenkeel", outcome.of("relay"), "relay", 1.15);
        let marks: Vec<&str> = outcome.verdicts.iter().map(Verdict::mark).collect();
        assert_eq!(marks, ["UNMET", "ok"]);
        assert!(table(&[outcome]).contains("evenkeel / the best: 0.80, target ≤ 0.75"));
    }

    #[test]
    fn a_figure_that_could_not_be_computed_is_unmet() {
        assert!(!Verdict { text: String::new(), figure: f64::NAN, target: 1.0 }.is_met());
    }
}

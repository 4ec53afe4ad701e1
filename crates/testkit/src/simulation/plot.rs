//! The figure: latency and errors of every algorithm under each protection, and how a spike ends.
//!
//! Marks differ in shape, line styles in dashes, so that nothing is said by colour alone; the colours are those of Okabe and Ito.

use std::fmt::Write as _;

use super::study::{CALM, Row, SPIKE, SPIKE_FROM, SPIKE_TO, Spike, Studies, protections};
use super::world::Outcome;

const COLOURS: [&str; 8] = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#666666"];
const DASHES: [&str; 3] = ["2 3", "none", "8 3"];
const WIDTH: f64 = 980.0;
/// Height of an algorithm's row.
const ROW: f64 = 58.0;
const TOP: f64 = 96.0;
const LOWER: f64 = 260.0;
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:15px}.a{fill:#555;font-size:12px}\
                     .g{stroke:#ddd}.m{fill:#fff;stroke-width:2}";

/// An axis of powers of ten.
struct Scale {
    from: f64,
    to: f64,
    left: f64,
    right: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let share = (decades(value.clamp(self.from, self.to)) - decades(self.from)) / (decades(self.to) - decades(self.from));
        self.left + share * (self.right - self.left)
    }
}

/// The decimal logarithm to a tenth of a thousandth, which every machine computes alike.
fn decades(value: f64) -> f64 {
    (value.log10() * 1e4).round() / 1e4
}

/// `docs/simulation.svg`.
pub(super) fn figure(studies: &Studies) -> String {
    let rows_end = TOP + ROW * studies.matrix.len() as f64;
    let height = rows_end + 90.0 + LOWER + 60.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title about\">\n\
         <title id=\"title\">What each protection is worth</title>\n\
         <desc id=\"about\">Two dot plots: the 99th percentile of what clients wait, and the share of errors, for each balancing algorithm \
         with no, one and all protections. Below, good answers a second before, during and after a spike. The same figures stand in the \
         tables of simulation.md.</desc>\n<style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    legend(&mut out);
    let left = Scale { from: 10.0, to: 2_000.0, left: 160.0, right: 550.0 };
    let right = Scale { from: 0.01, to: 100.0, left: 600.0, right: 950.0 };
    let ticks = [(10.0, "10"), (30.0, "30"), (100.0, "100"), (300.0, "300"), (1000.0, "1,000")];
    panel(&mut out, &left, &ticks, "p99 in milliseconds", rows_end, &studies.matrix, |outcome| outcome.quantile_ms(0.99));
    let ticks = [(0.01, "≤ 0.01"), (0.1, "0.1"), (1.0, "1"), (10.0, "10"), (100.0, "100")];
    panel(&mut out, &right, &ticks, "errors in percent of requests", rows_end, &studies.matrix, Outcome::error_percent);
    for (i, row) in studies.matrix.iter().enumerate() {
        text(&mut out, 10.0, TOP + ROW * (i as f64 + 0.5) + 4.0, "", row.algorithm);
    }
    spike(&mut out, rows_end + 90.0, &studies.spikes);
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String) {
    text(out, 10.0, 24.0, "t", "Ten backends: one ten times slower, one failing half of the time, one coming and going");
    for (i, (name, _)) in protections().iter().enumerate() {
        let x = 160.0 + 116.0 * i as f64;
        mark(out, i, x, 48.0);
        text(out, x + 10.0, 52.0, "", name);
    }
}

fn panel(out: &mut String, scale: &Scale, ticks: &[(f64, &str)], title: &str, end: f64, rows: &[Row], figure: fn(&Outcome) -> f64) {
    text(out, scale.left, TOP - 16.0, "t", title);
    for (value, label) in ticks {
        let x = scale.at(*value);
        line(out, x, TOP, x, end);
        let _ = writeln!(out, "<text class=\"a\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", end + 18.0);
    }
    for (i, row) in rows.iter().enumerate() {
        let top = TOP + ROW * i as f64;
        line(out, scale.left, top, scale.right, top);
        let step = (ROW - 8.0) / row.outcomes.len() as f64;
        for (k, outcome) in row.outcomes.iter().enumerate() {
            mark(out, k, scale.at(figure(outcome)), top + 4.0 + step * (k as f64 + 0.5));
        }
    }
}

/// Good answers a second over the run, beside what was asked.
fn spike(out: &mut String, top: f64, spikes: &[Spike]) {
    let (left, right, bottom) = (70.0, 760.0, top + LOWER);
    let y = |rate: f64| bottom - rate / 6_500.0 * LOWER;
    text(
        out,
        10.0,
        top - 24.0,
        "t",
        "A spike of five seconds, ten good backends: good answers by the second in which they were asked for",
    );
    for rate in [0.0, 2_000.0, 4_000.0, 6_000.0] {
        line(out, left, y(rate), right, y(rate));
        let _ =
            writeln!(out, "<text class=\"a\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{rate}</text>", left - 8.0, y(rate) + 4.0);
    }
    let seconds = spikes.first().map_or(1, |spike| spike.outcome.series.len());
    let x = |second: usize| left + (right - left) * second as f64 / seconds as f64;
    for second in (0..=seconds).step_by(10) {
        let _ = writeln!(
            out,
            "<text class=\"a\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second} s</text>",
            x(second),
            bottom + 18.0
        );
    }
    let (from, to) = (x(SPIKE_FROM), x(SPIKE_TO));
    let asked = format!("M{left} {0:.1}H{from:.1}V{1:.1}H{to:.1}V{0:.1}H{right}", y(CALM), y(SPIKE));
    let _ = writeln!(out, "<path d=\"{asked}\" fill=\"none\" stroke=\"#999\" stroke-width=\"6\" stroke-opacity=\"0.35\"/>");
    text(out, to + 8.0, y(SPIKE) + 4.0, "a", "requests a second");
    for (i, spike) in spikes.iter().enumerate() {
        let points: Vec<String> = spike
            .outcome
            .series
            .iter()
            .enumerate()
            .map(|(s, &(_, good))| format!("{:.1},{:.1}", x(s), y(f64::from(good))))
            .collect();
        let (colour, dash) = (COLOURS[[0, 4, 5][i % 3]], DASHES[i % 3]);
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
            points.join(" ")
        );
        let last = spike.outcome.series.last().map_or(0, |second| second.1);
        // Lines that end at one height are named one below the other.
        let label = y(f64::from(last)) + if i == 1 { 18.0 } else { 0.0 };
        let _ = writeln!(
            out,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{label:.1}\" y2=\"{label:.1}\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
            right + 6.0,
            right + 30.0
        );
        text(out, right + 36.0, label + 4.0, "", spike.name);
    }
}

fn line(out: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = writeln!(out, "<path class=\"g\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
}

fn text(out: &mut String, x: f64, y: f64, class: &str, what: &str) {
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{what}</text>");
}

/// A mark of its own shape and colour for each protection.
fn mark(out: &mut String, which: usize, x: f64, y: f64) {
    let shape = [
        "M-4-4H4V4H-4Z",
        "M0-5L5 4H-5Z",
        "M0-6L5 0L0 6L-5 0Z",
        "M0 5L-5-4H5Z",
        "M-4-4L4 4M-4 4L4-4",
        "M0-5V5M-5 0H5",
        "M-5-2H5M-5 2H5",
    ];
    let colour = COLOURS[which % COLOURS.len()];
    // The last is all of them: a full circle, the one to look for.
    let (path, fill) = match shape.get(which) {
        Some(path) if which + 1 < protections().len() => (*path, "#fff"),
        _ => ("M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z", "#d55e00"),
    };
    let colour = if fill == "#fff" { colour } else { fill };
    let _ = writeln!(
        out,
        "<path d=\"{path}\" transform=\"translate({x:.1} {y:.1})\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/>"
    );
}

//! Durations, sizes, rates and percentages: text to numbers, and what to say when it is neither.

use std::time::Duration;

/// Why a text is not what its key takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What is wrong, in one sentence.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) hint: String,
    /// Where in the text, if it is not the whole of it.
    pub(crate) at: Option<std::ops::Range<usize>>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), at: None }
    }

    pub(crate) fn at(mut self, at: std::ops::Range<usize>) -> Self {
        self.at = Some(at);
        self
    }
}

type Unit<T> = Result<T, Wrong>;

/// `"250ms"`, `"5s"`, `"1m30s"`, `"1.5h"`: one number and unit or several, from larger to smaller.
pub(crate) fn duration(text: &str) -> Unit<Duration> {
    const UNITS: [(&str, u64); 6] =
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];
    if is_number(text) {
        return Err(Wrong::new(
            "a duration needs a unit",
            format!("write \"{text}s\" for seconds or \"{text}ms\" for milliseconds"),
        ));
    }
    let mut rest = text;
    let mut total = 0_u64;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let (number, unit, after) = number_and_word(rest);
        let at = text.len() - rest.len();
        let micros = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, micros)| *micros);
        let Some(micros) = micros else {
            return Err(unknown_duration_unit(number, unit, at));
        };
        if micros >= last_unit {
            return Err(
                Wrong::new("the units of a duration go from larger to smaller, each once", "as in \"1h30m\"").at(at..text.len())
            );
        }
        let part = scaled(number, micros).ok_or_else(|| not_a_number(number, at, "\"1.5s\""))?;
        total = total.checked_add(part).ok_or_else(|| Wrong::new("this duration is too long", "longest: \"24h\""))?;
        last_unit = micros;
        rest = after;
    }
    if last_unit == u64::MAX {
        return Err(Wrong::new("a duration can't be empty", "as in \"5s\""));
    }
    Ok(Duration::from_micros(total))
}

fn unknown_duration_unit(number: &str, unit: &str, at: usize) -> Wrong {
    let meant = match unit.trim().to_ascii_lowercase().as_str() {
        "" => {
            return Wrong::new("a duration needs a unit", "as in \"250ms\", \"5s\", \"1m30s\" or \"1h\"").at(at..at + number.len());
        }
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "millis" | "milliseconds" => "ms",
        "µs" | "usec" | "micros" => "us",
        other => ["d", "h", "m", "s", "ms"].into_iter().find(|unit| *unit == other).unwrap_or_default(),
    };
    let hint = match (meant, number) {
        ("", _) => "units are us, ms, s, m, h and d, as in \"250ms\"".to_owned(),
        (meant, "") => format!("as in \"5{meant}\""),
        (meant, number) => format!("did you mean \"{number}{meant}\"?"),
    };
    let from = at + number.len();
    if number.is_empty() {
        return Wrong::new("a duration begins with a number", hint);
    }
    if unit.contains(' ') {
        return Wrong::new("a duration has no spaces", hint).at(from..from + unit.len());
    }
    Wrong::new(format!("{} is not a unit of time", crate::report::shown(unit)), hint).at(from..from + unit.len())
}

/// `"16KiB"`, `"1MiB"`, `"10MB"`, `"512B"`.
pub(crate) fn size(text: &str) -> Unit<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    if is_number(text) {
        return Err(Wrong::new("a size needs a unit", format!("write \"{text}B\" for bytes or \"{text}KiB\"")));
    }
    let (number, unit, rest) = number_and_word(text);
    if number.is_empty() {
        return Err(Wrong::new("a size begins with a number", "as in \"16KiB\""));
    }
    let known = UNITS.iter().find(|(name, _)| *name == unit && rest.is_empty());
    let Some((_, bytes)) = known else {
        let typed = text[number.len()..].to_ascii_lowercase();
        let letter = typed.trim_start().chars().next().filter(|c| "kmgt".contains(*c)).map(|c| c.to_ascii_uppercase());
        let hint = match letter {
            Some(letter) => format!("did you mean \"{number}{letter}iB\"?"),
            None => "units are B, KiB, MiB, GiB and TiB, as in \"16KiB\"".to_owned(),
        };
        return Err(Wrong::new(format!("{} is not a unit of size", crate::report::shown(&text[number.len()..])), hint)
            .at(number.len()..text.len()));
    };
    scaled(number, *bytes).ok_or_else(|| not_a_number(number, 0, "\"16KiB\""))
}

/// `"256B/s"`: bytes a second.
pub(crate) fn byte_rate(text: &str) -> Unit<u64> {
    match text.strip_suffix("/s") {
        Some(bytes) => size(bytes),
        None => Err(Wrong::new("a size per second ends in `/s`", "as in \"256B/s\"")),
    }
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    /// 1, 60 or 3 600.
    pub(crate) seconds: u32,
}

/// `"100/s"`, `"10/m"`, `"5000/h"`.
pub(crate) fn rate(text: &str) -> Unit<Rate> {
    if is_number(text) {
        return Err(Wrong::new("a rate needs a time", format!("write \"{text}/s\" for each second")));
    }
    let (count, per) =
        text.split_once('/').ok_or_else(|| Wrong::new("a rate is a number, `/` and a unit of time", "as in \"100/s\""))?;
    let count = count.parse().map_err(|_| not_a_number(count, 0, "\"100/s\""))?;
    let seconds = match per {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => {
            let at = text.len() - per.len();
            let message = format!("{} is not a unit of time a rate can have", crate::report::shown(per));
            return Err(Wrong::new(message, "they are s, m and h, as in \"100/s\"").at(at..text.len()));
        }
    };
    Ok(Rate { count, seconds })
}

/// `"50%"`, `"2.5%"`: as a fraction, 0 to 1.
pub(crate) fn percent(text: &str) -> Unit<f64> {
    let Some(number) = text.strip_suffix('%') else {
        let hint = if is_number(text) { format!("write \"{text}%\"") } else { "as in \"50%\"".to_owned() };
        return Err(Wrong::new("a percentage ends in `%`", hint));
    };
    if !is_number(number) {
        return Err(not_a_number(number, 0, "\"50%\""));
    }
    let value: f64 = number.parse().map_err(|_| not_a_number(number, 0, "\"50%\""))?;
    if value > 100.0 {
        return Err(Wrong::new("a percentage is at most 100%", "as in \"50%\""));
    }
    Ok(value / 100.0)
}

/// A duration as the file would have it: `1m30s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut micros = duration.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)] {
        if micros >= size {
            text.push_str(&format!("{}{unit}", micros / size));
            micros %= size;
        }
    }
    text
}

/// Splits `"250ms1us"` into `("250", "ms", "1us")`.
fn number_and_word(text: &str) -> (&str, &str, &str) {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number);
    let word = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (word, rest) = rest.split_at(word);
    (number, word, rest)
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok()
}

/// `number` × `unit`, exact for whole numbers; fractions to the nearest whole.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let value = number.parse::<f64>().ok()? * unit as f64;
    // 2^53: up to here every whole f64 is exact.
    (value < 9_007_199_254_740_992.0).then(|| value.round() as u64)
}

fn not_a_number(number: &str, at: usize, example: &str) -> Wrong {
    if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        return Wrong::new("this number is too large", format!("as in {example}"));
    }
    Wrong::new(format!("{} is not a number", crate::report::shown(number)), format!("as in {example}")).at(at..at + number.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_take_one_unit_or_several() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1.5h").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
    }

    #[test]
    fn a_bare_number_is_no_duration_and_the_hint_says_so() {
        assert!(duration("5").unwrap_err().hint.contains("\"5s\""));
    }

    #[test]
    fn units_people_bring_from_elsewhere_are_translated() {
        assert_eq!(duration("5 sec").unwrap_err().message, "a duration has no spaces");
        assert!(duration("5sec").unwrap_err().hint.contains("\"5s\""));
        assert!(duration("5S").unwrap_err().hint.contains("\"5s\""));
        assert!(size("16k").unwrap_err().hint.contains("\"16KiB\""));
        assert!(size("16kb").unwrap_err().hint.contains("\"16KiB\""));
    }

    #[test]
    fn durations_refuse_what_is_ambiguous() {
        for text in ["", "s", "5s5s", "1s1m", "5", "-5s", "1e3s", "5s ", "1..5s", "99999999999999999999s", "999999999999999d"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_by_their_unit() {
        assert_eq!(size("16KiB").unwrap(), 16_384);
        assert_eq!(size("10MB").unwrap(), 10_000_000);
        assert_eq!(size("1.5MiB").unwrap(), 1_572_864);
        for text in ["", "KiB", "16", "16Kib", "1KiB1B", "99999999999999999999B"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_and_percentages() {
        assert_eq!(rate("10/m").unwrap(), Rate { count: 10, seconds: 60 });
        assert_eq!(byte_rate("256B/s").unwrap(), 256);
        assert!((percent("2.5%").unwrap() - 0.025).abs() < 1e-12);
        for text in ["100", "/s", "100/", "100/w", "-1/s", "1.5/s"] {
            assert!(rate(text).is_err(), "{text:?}");
        }
        for text in ["50", "%", "101%", "-1%", "nan%", "inf%"] {
            assert!(percent(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_shown_duration_reads_back_as_itself() {
        for text in ["5s", "1m30s", "250ms", "1h", "0s", "1s500ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }
}

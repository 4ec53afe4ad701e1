//! What the user probably meant.

use crate::keys::{Key, TABLES, Table};

/// The candidate closest to `word`, if any is close at all.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const LONGEST: usize = 100;
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let word = plain(word);
    let letters = word.chars().count();
    if letters > LONGEST {
        return None;
    }
    // A third of the letters wrong, at most: further away it is a different word. A word cut short counts as one wrong.
    let furthest = (letters / 3).max(1);
    let distance = |candidate: &str| {
        let candidate = plain(candidate);
        let cut_short = letters >= 3 && (candidate.starts_with(&word) || (candidate.len() >= 3 && word.starts_with(&candidate)));
        let distance = strsim::osa_distance(&word, &candidate);
        if cut_short { distance.min(1) } else { distance }
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= furthest && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to say about a key that its table does not have, and which one was meant, if that is clear.
pub(crate) fn key_hint(table: &'static Table, name: &str) -> (String, Option<&'static Key>) {
    if let Some(key) = table.keys.iter().find(|key| key.aliases.contains(&name)) {
        return (format!("it is called `{}` here", key.name), Some(key));
    }
    let below = |other: &&&Table| other.path.starts_with(table.path) && !table.path.is_empty();
    let elsewhere: Vec<_> = TABLES.iter().filter(|other| other.key(name).is_some()).collect();
    if let Some(other) = elsewhere.iter().copied().find(|other| below(other)) {
        return (format!("it belongs in [{}]", other.path), None);
    }
    if let Some(key) = nearest(name, table.keys.iter().map(|key| key.name)) {
        return (format!("did you mean `{key}`?"), table.key(key));
    }
    let hint = match elsewhere.as_slice() {
        [other] if other.path.is_empty() => "it belongs at the top level".to_owned(),
        [other] => format!("it belongs in [{}]", other.path),
        _ => {
            let served = table.keys.iter().filter(|key| !key.is_planned());
            let names: Vec<_> = served.map(|key| format!("`{}`", key.name)).collect();
            format!("known here: {}", names.join(", "))
        }
    };
    (hint, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("backend", ["balance", "backends"]), Some("backends"));
        assert_eq!(nearest("Round-Robin", ["round_robin", "random"]), Some("round_robin"));
        assert_eq!(nearest("lsiten", ["listen", "limits"]), Some("listen"));
        assert_eq!(nearest("banana", ["listen", "limits"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}

//! What the user probably meant.

use crate::keys::{TABLES, Table};

/// The candidate closest to `word`, if any is close at all.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    // A third of the letters wrong, at most: further away it is a different word.
    let furthest = (word.chars().count() / 3).max(1);
    if word.chars().count() > 100 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| {
            *distance <= furthest && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to say about a key that its table does not have.
pub(crate) fn key_hint(table: &'static Table, name: &str) -> String {
    if let Some(key) = table.keys.iter().find(|key| key.aliases.contains(&name)) {
        return format!("it is called `{}` here", key.name);
    }
    let below = |other: &&&Table| other.path.starts_with(table.path) && !table.path.is_empty();
    let elsewhere: Vec<_> = TABLES
        .iter()
        .filter(|other| other.key(name).is_some())
        .collect();
    if let Some(other) = elsewhere.iter().copied().find(|other| below(other)) {
        return format!("it belongs in [{}]", other.path);
    }
    if let Some(key) = nearest(name, table.keys.iter().map(|key| key.name)) {
        return format!("did you mean `{key}`?");
    }
    match elsewhere.as_slice() {
        [other] if other.path.is_empty() => "it belongs at the top level".to_owned(),
        [other] => format!("it belongs in [{}]", other.path),
        _ => {
            let served: Vec<_> = table
                .keys
                .iter()
                .filter(|key| !key.is_planned())
                .map(|key| format!("`{}`", key.name))
                .collect();
            format!("known here: {}", served.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(
            nearest("backend", ["balance", "backends"]),
            Some("backends")
        );
        assert_eq!(
            nearest("Round-Robin", ["round_robin", "random"]),
            Some("round_robin")
        );
        assert_eq!(nearest("lsiten", ["listen", "limits"]), Some("listen"));
        assert_eq!(nearest("banana", ["listen", "limits"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}

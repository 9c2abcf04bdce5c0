//! Did-you-mean: the known word nearest to what was typed.

/// The candidate nearest to `typed` by Damerau-Levenshtein distance (case, `-` and `_` do not count), if it is near
/// enough: at most a third of the letters, at least one, at most three.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| -> Vec<char> { word.to_lowercase().chars().filter(|c| !matches!(c, '-' | '_')).collect() };
    let typed = plain(typed);
    let limit = (typed.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&typed, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Damerau-Levenshtein distance (optimal string alignment): insert, delete, replace, swap of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["rank", "alpha", "learning_rate", "warmup_ratio", "warmup_steps"];
        for (typed, wanted) in [
            ("rnak", Some("rank")),
            ("Rank", Some("rank")),
            ("lerning_rate", Some("learning_rate")),
            ("learning-rate", Some("learning_rate")),
            ("warmup_ration", Some("warmup_ratio")),
            ("optimizer", None),
            ("r", None),
        ] {
            assert_eq!(did_you_mean(typed, known), wanted, "{typed}");
        }
    }

    #[test]
    fn a_swap_costs_one() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!((d("ab", "ba"), d("", "abc"), d("abc", "abc"), d("kitten", "sitting")), (1, 3, 0, 3));
    }
}

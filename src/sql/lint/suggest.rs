//! The name that was probably meant.

/// The candidate nearest to `name`, if it is near: at most a third of the letters differ, or only case, underscores and
/// a plural s.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(name);
    let limit = if wanted.len() < 3 { 0 } else { (wanted.len() / 3).min(3) };
    let scored = candidates.into_iter().map(|candidate| (distance(&wanted, &plain(candidate)), candidate));
    scored.filter(|(score, _)| *score <= limit).min_by_key(|(score, _)| *score).map(|(_, candidate)| candidate)
}

fn plain(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if letters.len() > 3 && letters.last() == Some(&'s') {
        letters.pop();
    }
    letters
}

/// Edits between two words; two swapped neighbours are one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["name", "email", "user_id", "Order Date"];
        for (typed, meant) in [
            ("nmae", Some("name")),
            ("userid", Some("user_id")),
            ("order_date", Some("Order Date")),
            ("emails", Some("email")),
            ("salary", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }
}

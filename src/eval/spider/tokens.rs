//! The tokens of Spider's evaluator: NLTK's word tokens of the SQL, string values kept whole.

/// The tokens; none where the quotes do not pair.
pub(super) fn tokens(sql: &str) -> Option<Vec<String>> {
    let sql = sql.replace('\'', "\"");
    let parts: Vec<&str> = sql.split('"').collect();
    if parts.len().is_multiple_of(2) {
        return None;
    }
    // A value stands for a word while the rest is cut.
    let mut text = String::new();
    let mut values = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if at % 2 == 0 {
            text.push_str(part);
        } else {
            text.push_str(&format!("__val_{}_{}__", values.len(), values.len()));
            values.push(format!("\"{part}\""));
        }
    }
    let mut tokens: Vec<String> = words(&text)
        .into_iter()
        .map(|word| {
            let word = word.to_lowercase();
            let value = word.strip_prefix("__val_").and_then(|rest| rest.strip_suffix("__"));
            let at = value.and_then(|rest| rest.split('_').next()?.parse::<usize>().ok());
            match at.and_then(|at| values.get(at)) {
                Some(value) if word == format!("__val_{0}_{0}__", at.unwrap_or(0)) => value.clone(),
                _ => word,
            }
        })
        .collect();
    // `!`, `>` and `<` are cut from the `=` behind them.
    let mut at = tokens.len();
    while at > 1 {
        at -= 1;
        if tokens.get(at).is_some_and(|token| token == "=") && ["!", ">", "<"].contains(&tokens[at - 1].as_str()) {
            tokens[at - 1].push('=');
            tokens.remove(at);
        }
    }
    Some(tokens)
}

/// NLTK's Treebank rules, as far as they touch SQL without quotes.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut cut = String::with_capacity(text.len() + 16);
    let last = chars.iter().rposition(|c| !c.is_whitespace()).unwrap_or(0);
    for (at, &c) in chars.iter().enumerate() {
        let next = chars.get(at + 1);
        let previous = at.checked_sub(1).and_then(|at| chars.get(at));
        let apart = match c {
            ':' | ',' => next.is_none_or(|next| !next.is_ascii_digit()),
            ';' | '@' | '#' | '$' | '%' | '&' | '?' | '!' | '*' | '`' => true,
            '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' => true,
            // Only the full stop that ends the text.
            '.' => at == last && previous.is_some_and(|previous| *previous != '.'),
            _ => false,
        };
        if c == '-' && next == Some(&'-') {
            cut.push_str(" --");
            continue;
        }
        if c == '-' && previous == Some(&'-') {
            cut.push(' ');
            continue;
        }
        if apart {
            cut.push(' ');
            cut.push(c);
            cut.push(' ');
        } else {
            cut.push(c);
        }
    }
    cut.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_the_evaluator_cuts_them() {
        for (sql, shown) in [
            ("SELECT count(*) FROM t", "select count ( * ) from t"),
            ("WHERE a >= 5 AND b != 'X y'", "where a >= 5 and b != \"X y\""),
            ("a>=5", "a > =5"),
            ("a=5", "a=5"),
            ("a , b,c,1", "a , b , c,1"),
            ("LIMIT 1;", "limit 1 ;"),
            ("T1.id = T2.id", "t1.id = t2.id"),
            ("x -- y", "x -- y"),
        ] {
            assert_eq!(tokens(sql).unwrap().join(" "), shown, "{sql}");
        }
        assert!(tokens("a = 'x").is_none());
    }
}

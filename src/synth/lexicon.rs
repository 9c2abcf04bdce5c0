//! Words of a language for the words of a name: nouns with their gender and plural, contractions, articles.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::words;

static PORTUGUESE: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::parse(include_str!("lexicon/pt.txt")));

/// A noun of a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noun {
    /// The words.
    pub text: String,
    /// Which of the forms `{slot:first/second}` agrees with it: 0 masculine, 1 feminine; in English 1 before a vowel.
    pub form: usize,
}

#[derive(Debug)]
struct Lexicon {
    nouns: HashMap<String, (String, usize)>,
    /// Masculine and feminine of what stands behind its noun.
    adjectives: HashMap<String, [String; 2]>,
    contractions: Vec<(String, String)>,
}

impl Lexicon {
    /// Lines `english = word m|f`; lines `* english = masculine/feminine` are adjectives, `~ de o = do` contractions.
    fn parse(text: &str) -> Self {
        let mut lexicon = Self { nouns: HashMap::new(), adjectives: HashMap::new(), contractions: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((left, right)) = line.split_once('=') else { continue };
            let (left, right) = (left.trim(), right.trim());
            if let Some(left) = left.strip_prefix('~') {
                lexicon.contractions.push((format!(" {} ", left.trim()), format!(" {right} ")));
                continue;
            }
            if let Some(left) = left.strip_prefix('*') {
                let (masculine, feminine) = right.split_once('/').unwrap_or((right, right));
                let forms = [masculine.to_owned(), feminine.to_owned()];
                lexicon.adjectives.insert(left.trim().to_owned(), forms);
                continue;
            }
            let (word, gender) = right.rsplit_once(' ').unwrap_or((right, "m"));
            lexicon.nouns.insert(left.to_owned(), (word.to_owned(), usize::from(gender == "f")));
        }
        lexicon
    }

    /// A noun of the words: the whole, else noun and adjective (`monthly price` → preço mensal), else head and complement
    /// (`customer name` → nome de cliente).
    fn noun(&self, said: &str) -> Option<(String, usize)> {
        if let Some((word, form)) = self.nouns.get(said) {
            return Some((word.clone(), *form));
        }
        if let Some((first, rest)) = said.split_once(' ')
            && let Some(adjective) = self.adjectives.get(first)
            && let Some((noun, form)) = self.noun(rest)
        {
            return Some((format!("{noun} {}", adjective.get(form)?), form));
        }
        let words: Vec<&str> = said.split(' ').collect();
        for cut in 1..words.len() {
            let (rest, head) = (words[..cut].join(" "), words[cut..].join(" "));
            if let (Some((head, form)), Some((rest, _))) = (self.nouns.get(&head), self.noun(&rest)) {
                return Some((format!("{head} de {rest}"), *form));
            }
        }
        None
    }
}

/// The words of a name in a language.
pub(super) fn noun(said: &str, plural: bool, language: &str) -> Noun {
    if let Some((front, part)) = said.rsplit_once(' ')
        && words::is_part(part)
    {
        let Noun { text, form } = noun(front, plural, language);
        return Noun { text: format!("{text} {part}"), form };
    }
    if language == "pt" {
        if let Some((text, form)) = PORTUGUESE.noun(said) {
            // A thing that is counted: one cannot say "o lugares".
            if !plural && counted(said) && text.split(' ').next().is_some_and(|first| first.ends_with('s')) {
                return Noun { text: format!("número de {text}"), form: 0 };
            }
            return Noun { text: if plural { portuguese_plural(&text) } else { text }, form };
        }
        // A foreign word keeps its own plural.
        let form = usize::from(said.split(' ').next().is_some_and(|first| first.ends_with('a')));
        return Noun { text: noun(said, plural, "en").text, form };
    }
    let text = match said.rsplit_once(' ') {
        _ if !plural => said.to_owned(),
        Some((front, last)) => format!("{front} {}", words::plural(last)),
        None => words::plural(said),
    };
    let vowel = text.chars().next().is_some_and(|c| "aeiou".contains(c))
        && !text.starts_with("uni")
        && !text.starts_with("use");
    Noun { text, form: usize::from(vowel) }
}

/// Whether a language has words for these; English has them for all.
pub(super) fn knows(said: &str, language: &str) -> bool {
    language != "pt" || PORTUGUESE.noun(said).is_some()
}

/// A day in words: `5 March 2024`, `5 de março de 2024`.
pub(super) fn day(iso: &str, american: bool, language: &str) -> Option<String> {
    let (year, month, day) =
        (iso.get(..4)?, iso.get(5..7)?.parse::<usize>().ok()?, iso.get(8..10)?.parse::<u8>().ok()?);
    let month = *MONTHS.get(month.checked_sub(1)?)?;
    Some(match language {
        "pt" if american => format!("{day:02}/{}/{year}", iso.get(5..7)?),
        "pt" => format!("{day} de {} de {year}", noun(month, false, language).text),
        _ if american => format!("{month} {day}, {year}"),
        _ => format!("{day} {month} {year}"),
    })
}

/// The months, as English says them; other languages have them in their lexicon.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Plurals that no rule gives.
const IRREGULAR: &[(&str, &str)] = &[
    ("cidadão", "cidadãos"),
    ("mão", "mãos"),
    ("órgão", "órgãos"),
    ("juiz", "juízes"),
    ("difícil", "difíceis"),
    ("alemão", "alemães"),
];

/// Whether words say many things: seats, copies sold.
pub(super) fn counted(said: &str) -> bool {
    let many = |word: &str| words::singular(word) != word && words::plural(&words::singular(word)) == word;
    said.split(' ').next_back().is_some_and(many) || said.split(' ').next().is_some_and(many) && said.contains(' ')
}

/// The first word takes the plural, and an adjective behind it too.
fn portuguese_plural(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let adjective = words.len() == 2;
    for (at, word) in words.iter_mut().enumerate() {
        if at == 0 || adjective {
            *word = portuguese_plural_word(word);
        }
    }
    words.join(" ")
}

fn portuguese_plural_word(word: &str) -> String {
    if let Some((_, many)) = IRREGULAR.iter().find(|(one, _)| *one == word) {
        return (*many).to_owned();
    }
    let stressed = word.chars().any(|c| "áéíóúâêô".contains(c));
    let cut = |end: &str, with: &str| word.strip_suffix(end).map(|stem| format!("{stem}{with}"));
    cut("ão", "ões")
        .or_else(|| cut("al", "ais"))
        .or_else(|| cut("el", if stressed { "eis" } else { "éis" }))
        .or_else(|| cut("ol", "óis"))
        .or_else(|| cut("il", "is"))
        .or_else(|| cut("m", "ns"))
        .or_else(|| cut("ís", "íses"))
        .or_else(|| cut("ês", "eses"))
        .unwrap_or_else(|| match word.chars().last() {
            Some('s' | 'x') => word.to_owned(),
            Some('r' | 'z') => format!("{word}es"),
            _ => format!("{word}s"),
        })
}

/// `de o` → `do` and the like, where the language has it.
pub(super) fn contract(text: &str, language: &str) -> String {
    if language != "pt" {
        return text.to_owned();
    }
    // Twice, because neighbours share a space.
    let mut text = format!(" {text} ");
    for _ in 0..2 {
        for (from, to) in &PORTUGUESE.contractions {
            text = text.replace(from.as_str(), to);
        }
    }
    text.trim().to_owned()
}

/// Between the last two of a list.
pub(super) fn and(language: &str) -> &'static str {
    if language == "pt" { "e" } else { "and" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_of_two_languages() {
        assert_eq!(noun("order item", true, "en"), Noun { text: "order items".into(), form: 1 });
        assert_eq!(noun("customer", true, "pt"), Noun { text: "clientes".into(), form: 0 });
        assert_eq!(noun("order item", true, "pt").text, "itens de pedido");
        assert_eq!(noun("country", true, "pt").text, "países");
        assert_eq!(noun("blimp rental", true, "pt").text, "blimp rentals");
        assert_eq!(noun("customer city", false, "pt"), Noun { text: "cidade de cliente".into(), form: 1 });
        assert_eq!(noun("seats", false, "pt"), Noun { text: "número de lugares".into(), form: 0 });
        assert!(counted("tickets sold") && !counted("status") && !counted("price") && !counted("unit price"));
        assert_eq!(noun("furniture", true, "pt").text, "móveis");
        assert_eq!(noun("monthly price", true, "pt").text, "preços mensais");
        assert_eq!(noun("new delivery", false, "pt"), Noun { text: "entrega nova".into(), form: 1 });
        assert_eq!(noun("blorpa", false, "pt"), Noun { text: "blorpa".into(), form: 1 });
        assert_eq!(contract("o nome de os clientes de a cidade", "pt"), "o nome dos clientes da cidade");
    }
}

//! Verbs between two tables: customers place orders, students attend courses. Data of `lexicon/relations.txt`.

use std::sync::LazyLock;

use super::made_up::is_person;

/// The slots that a relation fills beside those of a phrase about a child and its parent: "placed by", "placed",
/// "placed" (participle), "place".
pub(super) const SLOTS: [&str; 4] = ["by", "did", "done", "do"];

static RELATIONS: LazyLock<Vec<Relation>> = LazyLock::new(|| parse(include_str!("lexicon/relations.txt")));

/// How children of some tables are related to parents of some.
#[derive(Debug)]
pub(super) struct Relation {
    language: &'static str,
    children: Vec<&'static str>,
    /// Empty: any.
    parents: Vec<&'static str>,
    verbs: [&'static str; 4],
}

/// Lines `en order, purchase > person = placed by / placed / placed / place`.
fn parse(text: &'static str) -> Vec<Relation> {
    let list = |text: &'static str| text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let line = |line: &'static str| {
        let (language, line) = line.split_once(' ')?;
        let (tables, verbs) = line.split_once('=')?;
        let (children, parents) = tables.split_once('>').unwrap_or((tables, ""));
        let verbs: Vec<&str> = verbs.split(" / ").map(str::trim).collect();
        Some(Relation { language, children: list(children), parents: list(parents), verbs: verbs.try_into().ok()? })
    };
    text.lines().map(str::trim).filter(|text| !text.is_empty() && !text.starts_with('#')).filter_map(line).collect()
}

/// What is known between a child and a parent, both by their words.
pub(super) fn between(child: &str, parent: &str, language: &str) -> Vec<&'static Relation> {
    let ends =
        |said: &str, word: &str| said.strip_suffix(word).is_some_and(|front| front.is_empty() || front.ends_with(' '));
    let wanted = |word: &&str| if *word == "person" { is_person(parent) } else { ends(parent, word) };
    RELATIONS
        .iter()
        .filter(|relation| relation.language == language && relation.children.iter().any(|word| ends(child, word)))
        .filter(|relation| relation.parents.is_empty() || relation.parents.iter().any(wanted))
        .collect()
}

impl Relation {
    /// The words for a slot. `{os/as}` in them agrees with the child's form.
    pub fn said(&self, slot: &str, form: usize) -> Option<String> {
        let at = SLOTS.iter().position(|own| *own == slot)?;
        let verb = self.verbs.get(at)?;
        let Some((front, rest)) = verb.split_once('{') else { return Some((*verb).to_owned()) };
        let (forms, back) = rest.split_once('}')?;
        Some(format!("{front}{}{back}", forms.split('/').nth(form)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_found_by_words_and_agree() {
        let all = text_lines();
        assert_eq!(RELATIONS.len(), all, "a line of relations.txt is not understood");
        let placed = between("online order", "customer", "en");
        assert!(placed.iter().any(|relation| relation.said("by", 0).as_deref() == Some("placed by")));
        assert!(
            between("order", "warehouse", "en")
                .iter()
                .all(|relation| relation.said("do", 0).as_deref() != Some("place"))
        );
        let made = between("order", "customer", "pt");
        assert!(made.iter().any(|relation| relation.said("by", 0).as_deref() == Some("feitos por")));
        assert!(made.iter().any(|relation| relation.said("by", 1).as_deref() == Some("feitas por")));
        assert!(between("brifa", "customer", "en").is_empty());
    }

    fn text_lines() -> usize {
        let lines = include_str!("lexicon/relations.txt").lines();
        lines.filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).count()
    }
}

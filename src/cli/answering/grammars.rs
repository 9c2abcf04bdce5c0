//! Which grammar an answer follows: a flag's, the expert's own file, the one its `grammar_type` names, or that of its
//! SQL dialect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::chat::SamplingArgs;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::generate::constraints::{Constraints, Guarded};
use crate::generate::settings::{Origin, Setting};
use crate::generate::thinking;
use crate::grammar::{Grammar, TokenTrie, Vocabulary, shipped};
use crate::manifest::Manifest;
use crate::sql::Dialect;

/// The file that an expert's own grammar has where its manifest does not say.
const OWN: &str = "grammar.gbnf";

/// A grammar, not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    None,
    Shipped(String, &'static str),
    File(PathBuf),
}

/// What was chosen and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    text: Text,
    origin: Origin,
}

/// Where the vocabulary is, and which of its ids end an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vocabularies<'a> {
    /// The folder with `tokenizer.json`.
    pub folder: &'a Path,
    /// Every end-of-generation id.
    pub end_ids: &'a [u32],
}

/// The flags over the expert's own file over its `grammar_type` over its dialect. A base model alone follows none unless
/// a flag says so, for nobody knows what it was made for; the embedded one (`for_sql`) was made for SQL.
pub(super) fn choose(
    flags: &SamplingArgs,
    manifest: Option<&Manifest>,
    dialect: &str,
    for_sql: bool,
) -> Result<Choice> {
    let choice = |text, origin| Ok(Choice { text, origin });
    if flags.no_grammar {
        return choice(Text::None, Origin::Flag);
    }
    if let Some(named) = &flags.grammar {
        let name = named.to_string_lossy();
        return match shipped(&name) {
            Some(text) if !named.is_file() => choice(Text::Shipped(bare(&name), text), Origin::Flag),
            _ if named.is_file() => choice(Text::File(named.clone()), Origin::Flag),
            _ => Err(Problem::usage(format!("there is no grammar {name}"))
                .hint("--grammar takes a GBNF file or sql-postgres, sql-sqlite, sql-mysql, json, cypher")
                .into()),
        };
    }
    let by_dialect = || {
        let name = format!("sql-{dialect}");
        shipped(&name).map_or(Text::None, |text| Text::Shipped(name, text))
    };
    let Some(manifest) = manifest else {
        return choice(if for_sql { by_dialect() } else { Text::None }, Origin::Default);
    };
    let decoding = manifest.decoding();
    if decoding.use_grammar == Some(false) {
        return choice(Text::None, Origin::Manifest);
    }
    if let Some(file) = decoding.grammar_file.as_deref().filter(|file| !file.is_empty()) {
        // A manifest of an original expert may name a file that its package never had.
        if let Some(found) = within(&manifest.folder(), file) {
            return choice(Text::File(found), Origin::Manifest);
        }
    }
    if let Some(found) = within(&manifest.folder(), OWN) {
        return choice(Text::File(found), Origin::Manifest);
    }
    match decoding.grammar_type.as_deref() {
        None | Some("") => choice(by_dialect(), Origin::Default),
        Some(kind) if kind == "sql" || kind.starts_with("sql-") => choice(by_dialect(), Origin::Manifest),
        Some(kind) => {
            let text = shipped(kind).map_or(Text::None, |text| Text::Shipped(bare(kind), text));
            choice(text, Origin::Manifest)
        }
    }
}

fn bare(name: &str) -> String {
    name.strip_suffix(".gbnf").unwrap_or(name).to_owned()
}

/// The file of this name in the folder, if it is there and inside.
fn within(folder: &Path, name: &str) -> Option<PathBuf> {
    let inside = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    Some(folder.join(name)).filter(|path| inside && path.is_file())
}

impl Choice {
    /// What stands in the settings.
    pub fn setting(&self) -> Setting<String> {
        let value = match &self.text {
            Text::None => "none".to_owned(),
            Text::Shipped(name, _) => name.clone(),
            Text::File(path) => path.display().to_string(),
        };
        Setting { value, origin: self.origin }
    }

    /// Reads the grammar and binds it to the vocabulary; `thinking`: a thinking block may come before the text;
    /// `guard`: names are kept to the schema, which the shipped grammars of SQLite and PostgreSQL are made for.
    pub fn load(&self, vocabulary: &Vocabularies<'_>, thinking: bool, guard: bool) -> Result<Option<Constraints>> {
        let name = self.setting().value;
        let text = match &self.text {
            Text::None => return Ok(None),
            Text::Shipped(_, text) => (*text).to_owned(),
            Text::File(path) => fsx::read_text(path)?,
        };
        let mut grammar = Grammar::parse(&text).map_err(|error| {
            Problem::input(format!("the grammar {name} does not parse"))
                .detail(error.to_string())
                .hint(format!("expert-cli grammar check {name}"))
        })?;
        let tokens = Vocabulary::load(vocabulary.folder)?;
        grammar.bind_tokens(|text| tokens.token_id(text));
        let opening: Vec<u32> =
            thinking::TAGS.iter().filter(|_| thinking).filter_map(|(open, _)| tokens.token_id(open)).collect();
        let trie = TokenTrie::new(&tokens, vocabulary.end_ids);
        let constraints = Constraints::new(name, Arc::new(grammar), Arc::new(trie), opening);
        let dialect = match &self.text {
            Text::Shipped(name, _) if name == "sql-sqlite" => Dialect::Sqlite,
            Text::Shipped(name, _) if name == "sql-postgres" => Dialect::Postgres,
            _ => return Ok(Some(constraints)),
        };
        Ok(Some(match (&self.text, guard) {
            (Text::Shipped(_, grammar), true) => constraints.with_schema_guard(Guarded { dialect, grammar }),
            _ => constraints,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_model_alone_follows_a_grammar_only_if_it_was_made_for_sql() {
        let chosen = |flags: &SamplingArgs, for_sql| choose(flags, None, "sqlite", for_sql).unwrap().setting().value;
        let flags = SamplingArgs::default();
        assert_eq!((chosen(&flags, true).as_str(), chosen(&flags, false).as_str()), ("sql-sqlite", "none"));
        assert_eq!(chosen(&SamplingArgs { no_grammar: true, ..flags }, true), "none");
    }
}

//! Which rows a run learns from and which it is judged by.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::settings::{Settings, Strategy};
use crate::data::examples::{Encode as _, Example, Examples, Rule, TokenCache, TrainOn};
use crate::data::records;
use crate::data::shapes::Mapping;
use crate::data::template::Layout;
use crate::data::tokenizer::TextTokenizer;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::manifest::{DatasetReference, Manifest};

/// Share of the rows that is held out where evaluation is asked for and there are no rows for it.
const HELD_OUT: f64 = 0.1;

/// A path that the manifest means relative to its own folder.
pub(super) fn inside(manifest: &Manifest, path: &str) -> PathBuf {
    let folder = manifest.folder();
    if folder == Path::new(".") { PathBuf::from(path) } else { folder.join(path) }
}

/// Where rows come from.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub dataset: Option<&'a Path>,
    pub manifest: &'a Manifest,
    pub settings: &'a Settings,
    pub template: Option<&'a str>,
    /// Where token ids are kept from run to run, and whether this run may write there.
    pub cache: (&'a Path, bool),
}

impl Source<'_> {
    /// The training examples, and those of the validation if there are any.
    pub(super) fn read(
        &self,
        tokenizer: &TextTokenizer,
        notes: &mut Vec<String>,
    ) -> Result<(Examples, Option<Examples>)> {
        let train = self.training_file()?;
        let rule = &self.rule(tokenizer)?;
        let (dir, write) = self.cache;
        let cache = TokenCache { dir: dir.join("tokens"), tokenizer: tokenizer.digest()?, write };
        let examples = cache.read(&train, tokenizer, rule)?;
        self.check_layout(&examples, tokenizer, notes);
        if self.settings.evaluation_strategy == Some(Strategy::No) {
            return Ok((examples, None));
        }
        if let Some(path) = self.validation_file(&train)? {
            return Ok((examples, Some(cache.read(&path, tokenizer, rule)?)));
        }
        let asked = self.settings.evaluation_strategy.map(|_| HELD_OUT);
        match self.manifest.training().dataset.validation_split.or(asked).filter(|share| *share > 0.0) {
            Some(share) => Ok(self.hold_out(examples, share, notes)),
            None => Ok((examples, None)),
        }
    }

    /// The texts of the training rows, for a new tokenizer: the rendered text, or all that a record says.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        let path = self.training_file()?;
        let field = self.manifest.training().dataset.text_field.clone().unwrap_or_else(|| "text".to_owned());
        let mut texts = Vec::new();
        for row in records::open(&path, &path.display().to_string())? {
            let records::Read::Record(record) = row? else { continue };
            match record.fields.get(&field).and_then(Value::as_str) {
                Some(text) => texts.push(text.to_owned()),
                None => {
                    let parts: Vec<&str> = record.fields.values().filter_map(Value::as_str).collect();
                    texts.push(parts.join("\n"));
                }
            }
        }
        Ok(texts)
    }

    /// How rows become examples: the manifest names columns, layout and dialect.
    fn rule(&self, tokenizer: &TextTokenizer) -> Result<Rule> {
        let dataset = &self.manifest.training().dataset;
        let pairs = dataset.field_mapping.iter().map(|(part, column)| (part.as_str(), column.as_str()));
        let template = self.template.and_then(Layout::from_name);
        Ok(Rule {
            train_on: self.settings.train_on,
            max_seq_length: self.settings.max_seq_length,
            text_field: dataset.text_field.clone().unwrap_or_else(|| "text".to_owned()),
            mapping: Mapping::from_pairs(pairs)?,
            layout: template.unwrap_or_else(|| Layout::fitting(|marker| tokenizer.is_special(marker))),
            dialect: self.manifest.dialect(),
        })
    }

    /// `--dataset`, else the manifest's path, else what `preprocess` writes by default.
    fn training_file(&self) -> Result<PathBuf> {
        let mut tried = Vec::new();
        let mut candidates = Vec::new();
        match self.dataset {
            Some(path) => candidates.push(path.to_owned()),
            None => {
                if let Some(reference) = self.manifest.training().dataset.reference() {
                    candidates.extend([inside(self.manifest, &reference.id), PathBuf::from(&reference.id)]);
                }
                candidates.push(inside(self.manifest, "datasets/processed"));
            }
        }
        for candidate in candidates {
            let file = if candidate.is_dir() { candidate.join("train.jsonl") } else { candidate };
            if file.is_file() {
                return Ok(file);
            }
            let shown = file.display().to_string();
            if !tried.contains(&shown) {
                tried.push(shown);
            }
        }
        let mut problem = Problem::input("there are no training rows");
        for path in tried {
            problem = problem.detail(format!("looked for {path}"));
        }
        Err(problem.hint("`expert-cli preprocess --dataset …` writes datasets/processed/train.jsonl").into())
    }

    /// The manifest's validation rows (unless `--dataset` names other ones), else `val.jsonl` beside the training rows.
    fn validation_file(&self, train: &Path) -> Result<Option<PathBuf>> {
        let beside = train.with_file_name("val.jsonl");
        let named = self.manifest.training().dataset.validation_path.as_deref().filter(|_| self.dataset.is_none());
        let Some(named) = named else {
            return Ok((beside.is_file() && beside != train).then_some(beside));
        };
        let id = DatasetReference::parse(named).id;
        let found = [inside(self.manifest, &id), PathBuf::from(&id)].into_iter().find(|path| path.is_file());
        match found {
            Some(path) => Ok(Some(path)),
            None => Err(Problem::input(format!("training.dataset.validation_path: there is no {named}"))
                .hint("`expert-cli preprocess --val-split 0.1` writes val.jsonl")
                .into()),
        }
    }

    /// Parts off a share of the rows. The prompt decides, so one question is never on both sides.
    fn hold_out(&self, examples: Examples, share: f64, notes: &mut Vec<String>) -> (Examples, Option<Examples>) {
        let seed = self.settings.seed;
        let whole = self.settings.train_on == TrainOn::All;
        let held = |example: Example<'_>| {
            let key = if whole { example.ids } else { &example.ids[..example.first_target] };
            let bytes: Vec<u8> =
                seed.to_le_bytes().into_iter().chain(key.iter().flat_map(|id| id.to_le_bytes())).collect();
            let digest = fsx::sha256(&bytes);
            let number = u32::from_str_radix(&digest[..8], 16).unwrap_or(0);
            f64::from(number) < share * f64::from(u32::MAX)
        };
        let total = examples.len();
        let (kept, held_out) = examples.clone().partition(|example| !held(example));
        if held_out.is_empty() || kept.is_empty() {
            notes.push(format!("{total} rows are too few to hold some out, so there is no evaluation"));
            return (examples, None);
        }
        notes.push(format!("{} of {total} rows are held out for evaluation", held_out.len()));
        (kept, Some(held_out))
    }

    /// Training rows in another layout than `chat` will ask in teach little; unknown markers cost tokens.
    fn check_layout(&self, examples: &Examples, tokenizer: &TextTokenizer, notes: &mut Vec<String>) {
        let wanted = self.template.and_then(Layout::from_name);
        let layouts: Vec<&str> = examples.counts.layouts.keys().copied().collect();
        if let Some(wanted) = wanted
            && layouts.iter().any(|name| *name != wanted.name())
        {
            notes.push(format!(
                "the rows are in the layout {}, but prompt_template says {}: `chat` would ask in another layout",
                layouts.join(", "),
                wanted.name()
            ));
        }
        for layout in layouts.iter().filter_map(|name| Layout::from_name(name)) {
            let missing: Vec<&str> =
                layout.special_markers().iter().copied().filter(|marker| !tokenizer.is_special(marker)).collect();
            if !missing.is_empty() {
                let fitting = Layout::fitting(|marker| tokenizer.is_special(marker));
                notes.push(format!(
                    "{} of the layout {} are no special tokens of this tokenizer; `preprocess --format {}` fits it",
                    missing.join(" "),
                    layout.name(),
                    fitting.name()
                ));
            }
            if layout.end_marker().is_empty() && tokenizer.eos().is_none() {
                notes.push(format!(
                    "the layout {} ends without a marker and the tokenizer has no end id",
                    layout.name()
                ));
            }
        }
    }
}

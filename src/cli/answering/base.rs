//! The base model behind an expert, to compare with.

use std::path::Path;
use std::sync::Arc;

use super::Loaded;
use crate::generate::prompts::Prompts;

impl Loaded {
    /// The base model without its adapter, asked in the same way: layout, dialect, settings and grammar stay. In memory it
    /// is there once.
    pub fn base_alone(&self) -> Self {
        Self {
            decoder: Arc::clone(&self.decoder),
            base_dir: self.base_dir.clone(),
            quantisation: self.quantisation,
            exact: self.exact,
            adapter: None,
            there: self.there.clone(),
            prompts: Prompts::new(None),
            tokenizer: self.tokenizer.clone(),
            end_ids: self.end_ids.clone(),
            name: self.base_name(),
            expert: None,
            manifest: self.manifest.clone(),
            layout: self.layout,
            dialect: self.dialect.clone(),
            settings: self.settings.clone(),
            constraints: self.constraints.clone(),
            shots: self.shots.clone(),
        }
    }

    /// Where the base model is.
    pub fn base_dir(&self) -> &Path {
        &self.base_dir
    }
}

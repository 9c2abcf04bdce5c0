//! Several experts that are ready to answer. Those of one base model share it in memory.

use super::Loaded;
use crate::cli::args::chat::{ModelArgs, SamplingArgs};
use crate::cli::home::expert_home;
use crate::cli::ui::{Ui, escape};
use crate::error::{Problem, Result};
use crate::manifest::Manifest;
use crate::registry::Registry;
use crate::registry::route::{check_together, route};

/// The experts, at least one, and who of them answers.
#[derive(Debug)]
pub(in crate::cli) struct Crew {
    all: Vec<Loaded>,
    current: usize,
}

impl Crew {
    /// Loads everybody that `--experts a,b` names, or the one that the other flags name. Experts whose manifests say that
    /// they do not work together are refused before anything is loaded.
    pub fn load(model: &ModelArgs, sampling: &SamplingArgs, ui: &Ui) -> Result<Self> {
        let names: Vec<&str> = model.experts.iter().flat_map(|names| names.split(',')).map(str::trim).collect();
        if names.len() > 1 {
            let registry = Registry::open(&expert_home())?;
            let resolved = names.iter().map(|name| registry.resolve(name)).collect::<Result<Vec<_>>>()?;
            let manifests: Vec<&Manifest> = resolved.iter().map(|installed| &installed.manifest).collect();
            let installed: Vec<String> = registry.index().experts.iter().map(|expert| expert.name.clone()).collect();
            check_together(&manifests, &installed)?;
        }
        let mut all: Vec<Loaded> = Vec::new();
        for name in names.iter().map(|name| Some(*name)).chain(names.is_empty().then_some(None)) {
            let one = ModelArgs { experts: name.map(str::to_owned), ..model.clone() };
            let loaded = Loaded::new(&one, sampling, all.first(), ui)?;
            if all.iter().all(|known| known.name != loaded.name) {
                all.push(loaded);
            }
        }
        Ok(Self { all, current: 0 })
    }

    /// Who answers.
    pub fn current(&self) -> &Loaded {
        &self.all[self.current]
    }

    /// Everybody's name.
    pub fn names(&self) -> Vec<&str> {
        self.all.iter().map(|loaded| loaded.name.as_str()).collect()
    }

    /// Lets the expert of this name (`sql`, `expert-sql@0.3.0`) answer. One that is not here yet is loaded.
    pub fn switch(&mut self, name: &str, model: &ModelArgs, sampling: &SamplingArgs, ui: &Ui) -> Result<()> {
        let (short, version) = name.split_once('@').map_or((name, None), |(short, version)| (short, Some(version)));
        let is = |loaded: &Loaded| {
            let known = loaded
                .expert
                .as_ref()
                .filter(|(known, _)| known.trim_start_matches("expert-") == short.trim_start_matches("expert-"));
            known.is_some_and(|(_, known)| version.is_none_or(|version| version == known))
        };
        if let Some(index) = self.all.iter().position(is) {
            self.current = index;
            return Ok(());
        }
        let one = ModelArgs { experts: Some(name.to_owned()), adapter: None, ..model.clone() };
        let loaded = Loaded::new(&one, sampling, self.all.first(), ui)?;
        let manifests: Vec<&Manifest> =
            self.all.iter().chain([&loaded]).filter_map(|one| one.manifest.as_ref()).collect();
        let registry = Registry::open(&expert_home())?;
        let installed: Vec<String> = registry.index().experts.iter().map(|expert| expert.name.clone()).collect();
        check_together(&manifests, &installed)?;
        self.all.push(loaded);
        self.current = self.all.len() - 1;
        Ok(())
    }

    /// Lets the manifests decide who answers; says who and why.
    pub fn route(&mut self, question: &str, ui: &Ui) -> Result<String> {
        let manifests: Vec<&Manifest> = self.all.iter().filter_map(|loaded| loaded.manifest.as_ref()).collect();
        if manifests.len() != self.all.len() {
            return Err(Problem::usage("--route needs installed experts").hint("name them with --experts A,B").into());
        }
        let chosen = route(question, &manifests).ok_or_else(|| Problem::failed("there is nobody to choose from"))?;
        self.current = chosen.index;
        let reason = chosen.reason();
        ui.note(&escape(&format!("{} answers: {reason}", self.current().name)));
        Ok(reason)
    }
}

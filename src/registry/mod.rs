//! Installed experts: index, install, remove, resolve `name@version`.
//!
//! Lives in the user's folder (`EXPERT_HOME`): `expert-registry.json` names what is installed,
//! `experts/<name>/<version>/` holds it with the adapter in the root, `experts/<name>/current.txt` the version installed
//! last (upstream's layout). Writers take the lock `registry.lock` and read the index again under it; readers need no
//! lock, because the index is replaced whole. Knows nothing of archive bytes: that is `package`.

mod clock;
mod index;
mod install;
mod reference;
pub mod route;

pub use index::{AdapterRecord, Dependency, Expert, Index, Version, compare_versions};
pub use install::{Options, Outcome};
pub use reference::Reference;

use std::path::{Path, PathBuf};

use crate::error::{Problem, Result};
use crate::fsx;
use crate::manifest::Manifest;
use crate::package;

/// The registry's file in the user's folder.
const INDEX_FILE: &str = "expert-registry.json";

/// The file that writers lock.
const LOCK_FILE: &str = "registry.lock";

/// The experts of one user.
#[derive(Debug, Clone)]
pub struct Registry {
    home: PathBuf,
    index: Index,
}

/// An expert that is ready to use.
#[derive(Debug, Clone)]
pub struct Installed {
    /// `expert-…`
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder: manifest, adapter and tokenizer files lie in its root.
    pub dir: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Registry {
    /// Reads the registry of a user's folder; nothing is created.
    pub fn open(home: &Path) -> Result<Self> {
        Ok(Self { home: home.to_owned(), index: Index::load(&home.join(INDEX_FILE), home)? })
    }

    /// What is installed.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The expert that `sql`, `sql@0.3` or `expert-sql@0.3.0` names: newest by semver where several fit.
    pub fn resolve(&self, reference: &str) -> Result<Installed> {
        let reference = Reference::parse(reference);
        let expert = self.index.expert(&reference.name).ok_or_else(|| self.not_installed(&reference))?;
        let version = reference.pick(expert).ok_or_else(|| self.not_installed(&reference))?;
        let (name, version) = (expert.name.clone(), version.clone());
        let mut dir = self.folder(&name, &version);
        if !dir.join("manifest.json").is_file() {
            // A killed `install --force` may have left the old folder moved aside: whoever sweeps puts it back.
            let _lock = fsx::Lock::acquire(&self.home.join(LOCK_FILE))?;
            fsx::sweep(&self.home.join("experts").join(&name))?;
            dir = self.folder(&name, &version);
        }
        if !dir.join("manifest.json").is_file() || !dir.join("adapter_model.safetensors").is_file() {
            return Err(Problem::input(format!("{name} {} is registered, but its files are gone", version.version))
                .detail(format!("looked in {}", dir.display()))
                .hint(format!("install it again with --force, or `expert-cli uninstall {name}@{}`", version.version))
                .into());
        }
        let manifest = Manifest::load(&dir)?;
        Ok(Installed { name, version: version.version, dir, manifest })
    }

    /// Where a version lies: the recorded path, or the usual place if the user's folder was moved.
    fn folder(&self, name: &str, version: &Version) -> PathBuf {
        let recorded = PathBuf::from(&version.path);
        if recorded.join("manifest.json").is_file() {
            return recorded;
        }
        self.home.join("experts").join(name).join(&version.version)
    }

    /// Recomputes every hash of an installed expert: what differs from its manifest and from the index.
    pub fn verify(&self, installed: &Installed) -> Result<Vec<String>> {
        let mut defects = package::check_folder(&installed.manifest, &installed.dir)?;
        let version = self.index.expert(&installed.name);
        let version = version.and_then(|e| e.versions.iter().find(|v| v.version == installed.version));
        let recorded = version.and_then(|v| v.manifest_sha256.as_deref());
        if recorded
            .is_some_and(|hash| fsx::sha256_file(&installed.dir.join("manifest.json")).ok().as_deref() != Some(hash))
        {
            defects.push("manifest.json was changed".to_owned());
        }
        if let Err(error) = package::check_adapter(&installed.dir, None) {
            defects.push(error.to_string().lines().last().unwrap_or_default().trim().to_owned());
        }
        Ok(defects)
    }

    /// Takes the writers' lock and reads the index again under it.
    fn lock(&mut self) -> Result<fsx::Lock> {
        let lock = fsx::Lock::acquire(&self.home.join(LOCK_FILE))?;
        fsx::sweep(&self.home)?;
        self.index = Index::load(&self.home.join(INDEX_FILE), &self.home)?;
        Ok(lock)
    }

    fn save(&mut self) -> Result<()> {
        let path = self.home.join(INDEX_FILE);
        self.index.save(&path)
    }
}

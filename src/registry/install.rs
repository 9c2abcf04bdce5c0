//! Putting an expert into the registry and taking it out.
//!
//! The folder is prepared aside, checked, published whole, and only then named in the index; on the way out the index
//! forgets it first. Killed at any point, the index names only complete folders, and what was left is overwritten by
//! the next install or removed by the next uninstall.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::clock;
use super::index::{AdapterRecord, Dependency, Version};
use super::{Installed, Reference, Registry};
use crate::error::{Exit, Problem, Result};
use crate::fsx;
use crate::manifest::Manifest;
use crate::package::{self, Package, Request};

/// How to install.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Replace the same version.
    pub force: bool,
    /// Register the folder where it is instead of copying it.
    pub dev: bool,
}

/// What was installed.
#[derive(Debug)]
pub struct Outcome {
    /// The expert.
    pub installed: Installed,
    /// Whether the same version was there before.
    pub replaced: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Where the files come from.
enum Source {
    Package(Package),
    Folder(Box<package::Contents>),
    Dev(Manifest),
}

impl Source {
    fn manifest(&self) -> &Manifest {
        match self {
            Self::Package(package) => package.manifest(),
            Self::Folder(contents) => &contents.manifest,
            Self::Dev(manifest) => manifest,
        }
    }
}

impl Registry {
    /// Installs a package or an expert folder; refused ones leave nothing behind.
    pub fn install(&mut self, source: &Path, options: Options) -> Result<Outcome> {
        let mut notes = Vec::new();
        let mut from = self.open_source(source, options, &mut notes)?;
        let (name, version) = (from.manifest().name().to_owned(), from.manifest().version().to_owned());
        let _lock = self.lock()?;
        let expert_dir = self.home.join("experts").join(&name);
        fsx::sweep(&expert_dir)?;
        let registered = self.index.expert(&name).and_then(|e| e.versions.iter().find(|v| v.version == version));
        let replaced = registered.is_some();
        if replaced && !options.force {
            return Err(Problem::failed(format!("{name} {version} is already installed"))
                .hint("--force puts this one in its place")
                .into());
        }
        let dir = match &from {
            Source::Dev(_) => {
                std::fs::canonicalize(source).with_context(|| format!("cannot read {}", source.display()))?
            }
            _ => expert_dir.join(&version),
        };
        let published = if matches!(from, Source::Dev(_)) { Ok(()) } else { publish(&mut from, &dir) };
        if let Err(error) = published {
            self.remove_empty(&expert_dir);
            return Err(error);
        }
        fsx::failpoint("registry.before_index");
        let manifest = Manifest::load(&dir)?;
        self.index.put(&name, record(&manifest, &dir, source)?);
        self.save()?;
        fsx::failpoint("registry.before_current");
        if !matches!(from, Source::Dev(_)) {
            fsx::write_atomic(&expert_dir.join("current.txt"), format!("{version}\n").as_bytes())?;
        }
        self.note_relations(&manifest, &mut notes);
        Ok(Outcome { installed: Installed { name, version, dir, manifest }, replaced, notes })
    }

    fn open_source(&self, source: &Path, options: Options, notes: &mut Vec<String>) -> Result<Source> {
        if source.is_dir() {
            if options.dev {
                package::check_adapter(source, None)?;
                return Ok(Source::Dev(Manifest::load(source)?));
            }
            let manifest = source.to_owned();
            let base = Manifest::load(source)?.entry(None).ok().and_then(|entry| {
                let beside = source.join(&entry.name);
                let found = Some(beside).filter(|folder| folder.join("config.json").is_file());
                found.or_else(|| crate::model::locate(&entry.name, &self.home, false).ok())
            });
            let cache = Some(self.home.join("cache"));
            // Nothing leaves this machine here, so its paths may stand in the files.
            let request =
                Request { manifest, base, cache, include_tests: true, allow_paths: true, ..Request::default() };
            return Ok(Source::Folder(Box::new(package::gather(&request)?)));
        }
        if options.dev {
            return Err(Problem::usage("--dev registers a folder, not a package").into());
        }
        if !source.exists() {
            return Err(Problem::input(format!("there is no {}", source.display()))
                .hint("`expert-cli package` makes a .expert file")
                .into());
        }
        let package = Package::open(source)?;
        if !package.check_checksum_file()? && !package.is_sealed() {
            notes.push("there is no checksum file beside it".into());
        }
        notes.extend(package.notes().iter().cloned());
        Ok(Source::Package(package))
    }

    /// Names what the expert asks for and does not get.
    fn note_relations(&self, manifest: &Manifest, notes: &mut Vec<String>) {
        for dependency in dependencies(manifest) {
            if self.index.expert(&dependency.name).is_none() {
                notes.push(format!("{} asks for {}, which is not installed", manifest.name(), dependency.name));
            }
        }
        let list = manifest.raw().pointer("/constraints/incompatible_with").and_then(Value::as_array);
        for other in list.into_iter().flatten().filter_map(Value::as_str) {
            let name = other.split('@').next().unwrap_or(other);
            if self.index.expert(name).is_some() {
                notes.push(format!("{} does not go together with {other}, which is installed", manifest.name()));
            }
        }
    }

    /// Removes one version, or the only one; returns what was removed and whether its files were.
    pub fn uninstall(&mut self, reference: &str) -> Result<(String, String, bool)> {
        let reference = Reference::parse(reference);
        let _lock = self.lock()?;
        let Some(expert) = self.index.expert(&reference.name) else {
            return self.remove_leftover(&reference);
        };
        if reference.version.is_none() && expert.versions.len() > 1 {
            let versions: Vec<&str> = expert.versions.iter().map(|v| v.version.as_str()).collect();
            return Err(Problem::usage(format!("{} has several versions", reference.name))
                .detail(format!("installed: {}", versions.join(", ")))
                .hint(format!("name one: {}@{}", reference.name, versions[0]))
                .into());
        }
        let version = reference.pick(expert).ok_or_else(|| self.not_installed(&reference))?.version.clone();
        let name = reference.name;
        let taken = self.index.take(&name, &version);
        self.save()?;
        fsx::failpoint("registry.before_remove");
        let expert_dir = self.home.join("experts").join(&name);
        let dir = expert_dir.join(&version);
        // A folder that was only registered (--dev) belongs to its owner.
        let ours = taken.is_some_and(|taken| same_place(Path::new(&taken.path), &dir));
        if ours {
            fsx::remove(&dir)?;
        }
        fsx::sweep(&expert_dir)?;
        let newest = self.index.expert(&name).and_then(|e| e.versions.first()).map(|v| v.version.clone());
        match newest.filter(|newest| expert_dir.join(newest).is_dir()) {
            Some(newest) => fsx::write_atomic(&expert_dir.join("current.txt"), format!("{newest}\n").as_bytes())?,
            None => fsx::remove(&expert_dir.join("current.txt"))?,
        }
        self.remove_empty(&expert_dir);
        Ok((name, version, ours))
    }

    /// A killed uninstall leaves a folder that the index no longer names: the next one takes it away.
    fn remove_leftover(&mut self, reference: &Reference) -> Result<(String, String, bool)> {
        let expert_dir = self.home.join("experts").join(&reference.name);
        let plain = |part: &str| package::is_folder_name(part);
        let version = reference.version.clone().unwrap_or_default();
        if !plain(&reference.name) || !expert_dir.is_dir() || (!version.is_empty() && !plain(&version)) {
            return Err(self.not_installed(reference).into());
        }
        fsx::remove(&if version.is_empty() { expert_dir.clone() } else { expert_dir.join(&version) })?;
        self.remove_empty(&expert_dir);
        Ok((reference.name.clone(), version, true))
    }

    /// Removes the folders of an expert that has nothing in it.
    fn remove_empty(&self, expert_dir: &Path) {
        if fsx::remove_if_empty(expert_dir) {
            fsx::remove_if_empty(&self.home.join("experts"));
        }
    }
}

/// Fills the folder aside, checks the adapter in it and publishes it.
fn publish(from: &mut Source, dir: &Path) -> Result<()> {
    let staging = fsx::Staging::new(dir)?;
    match from {
        Source::Package(package) => {
            package.extract(staging.path())?;
            package::check_adapter(staging.path(), None)?;
        }
        Source::Folder(contents) => package::write_folder(contents, staging.path())?,
        Source::Dev(_) => {}
    }
    fsx::failpoint("registry.before_publish");
    staging.publish()
}

/// What the index says of an installed version.
fn record(manifest: &Manifest, dir: &Path, source: &Path) -> Result<Version> {
    let weights = dir.join("adapter_model.safetensors");
    let size_bytes = std::fs::metadata(&weights).with_context(|| format!("cannot read {}", weights.display()))?.len();
    let base = manifest.base_models().first();
    let kind = base.and_then(|b| b.adapters.first()).map(|a| a.kind.clone()).unwrap_or_default();
    let source = std::fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Version {
        version: manifest.version().to_owned(),
        base_model: base.map(|b| b.name.clone()).unwrap_or_default(),
        path: text(&absolute(dir)),
        source: text(&source),
        installed_at: clock::now(),
        adapters: vec![AdapterRecord {
            kind,
            path: text(&absolute(&weights)),
            size_bytes,
            sha256: Some(fsx::sha256_file(&weights)?),
        }],
        capabilities: manifest.capabilities().to_vec(),
        dependencies: dependencies(manifest),
        manifest_sha256: Some(fsx::sha256_file(&dir.join("manifest.json"))?),
        rest: serde_json::Map::new(),
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether two paths name the same folder, however they are written.
fn same_place(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| absolute(path));
    real(a) == real(b)
}

/// `constraints.requires`: `name` or `name@range`.
fn dependencies(manifest: &Manifest) -> Vec<Dependency> {
    let list = manifest.raw().pointer("/constraints/requires").and_then(Value::as_array);
    let parse = |text: &str| {
        let (name, version) = text.split_once('@').unwrap_or((text, "*"));
        Dependency { name: name.trim().to_owned(), version: version.trim().to_owned(), optional: false }
    };
    list.into_iter().flatten().filter_map(Value::as_str).map(parse).collect()
}

impl Registry {
    /// The refusal of a name or version that is not there.
    pub(super) fn not_installed(&self, reference: &Reference) -> Problem {
        let wanted = match &reference.version {
            Some(version) => format!("{}@{version}", reference.name),
            None => reference.name.clone(),
        };
        let problem = Problem::new(Exit::Failed, format!("{wanted} is not installed"));
        if let Some(expert) = self.index.expert(&reference.name) {
            let versions: Vec<&str> = expert.versions.iter().map(|v| v.version.as_str()).collect();
            return problem.detail(format!("installed: {}", versions.join(", "))).hint("name one of these versions");
        }
        let names = self.index.experts.iter().map(|expert| expert.name.as_str());
        match crate::manifest::did_you_mean(&reference.name, names) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("`expert-cli list` shows what is; `expert-cli install FILE` adds one"),
        }
    }
}

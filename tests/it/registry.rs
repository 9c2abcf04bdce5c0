//! The registry under two writers, under kill -9, and with upstream's files in it.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::world::{World, fixture};

fn index(world: &World) -> Value {
    serde_json::from_str(&fs::read_to_string(world.home().join("expert-registry.json")).unwrap()).unwrap()
}

/// A package of an expert of this name and version.
fn pack(world: &World, name: &str, version: &str) -> PathBuf {
    if !world.work().join(name).exists() {
        world.expert(name);
    }
    let path = world.work().join(name).join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["version"] = json!(version);
    fs::write(path, manifest.to_string()).unwrap();
    world.package(name)
}

#[test]
fn versions_live_side_by_side() {
    let world = World::new();
    for version in ["0.9.0", "0.10.0", "0.3.1"] {
        world.ok(&["install", pack(&world, "sql", version).to_str().unwrap(), "-q"]);
    }
    let version = |name: &str| {
        let shown: Value = serde_json::from_str(&world.ok(&["show", name, "--json"]).stdout).unwrap();
        shown["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(version("sql"), "0.10.0");
    assert_eq!(version("sql@0.3"), "0.3.1");
    assert_eq!(version("expert-sql@0.9.0"), "0.9.0");
    let run = world.run(&["show", "sql@2"]);
    world.settings().bind(|| insta::assert_snapshot!("unknown_version", run.shown()));
    assert_eq!(world.run(&["uninstall", "sql"]).code, 2, "which of the three must be said");
    world.ok(&["uninstall", "sql@0.10.0"]);
    assert_eq!(version("sql"), "0.9.0");
    let current = fs::read_to_string(world.home().join("experts/expert-sql/current.txt")).unwrap();
    assert_eq!(current, "0.9.0\n");
    for version in ["0.9.0", "0.3.1"] {
        world.ok(&["uninstall", &format!("sql@{version}")]);
    }
    assert_eq!(world.installed_paths(), [""; 0]);
}

#[test]
fn folders_are_installed_like_packages() {
    let world = World::new();
    let folder = world.expert("sql");
    fs::write(folder.join("README.md"), "data in /home/ana stays on this machine").unwrap();
    world.ok(&["install", "sql", "-q"]);
    world.ok(&["verify", "sql"]);
    world.ok(&["uninstall", "sql"]);
    // --dev registers a folder with the adapter in its root, and uninstalling leaves it alone.
    let run = world.run(&["install", "sql", "--dev"]);
    assert_eq!(run.code, 3, "{}", run.shown());
    crate::world::copy(&fixture("golden/tiny-qwen3/dora-adapter"), &folder);
    world.ok(&["install", "sql", "--dev"]);
    let shown: Value = serde_json::from_str(&world.ok(&["show", "sql", "--json"]).stdout).unwrap();
    assert_eq!(PathBuf::from(shown["path"].as_str().unwrap()), folder.canonicalize().unwrap());
    world.ok(&["uninstall", "sql"]);
    assert!(folder.join("adapter_model.safetensors").exists());
}

#[test]
fn upstreams_flat_registry_is_migrated() {
    let world = World::new();
    let installed = world.home().join("experts/expert-old/0.2.0");
    crate::world::copy(&fixture("golden/tiny-qwen3/dora-adapter"), &installed);
    let manifest = json!({"name": "expert-old", "version": "0.2.0",
        "base_model": {"name": "tiny-qwen3"}, "adapters": [{"type": "dora", "target_modules": ["q_proj"]}],
        "training": {"config": {"adapter_type": "dora", "rank": 4}}});
    fs::write(installed.join("manifest.json"), manifest.to_string()).unwrap();
    let old = json!({"version": "1.0", "last_updated": "2025-01-01T00:00:00Z", "install_dir": "/x", "models_dir": "/y",
        "base_models": [{"name": "Qwen3-0.6B", "path": "/z"}],
        "experts": [{"name": "expert-old", "version": "0.2.0", "base_model": "tiny-qwen3", "path": installed,
            "source": "old", "installed_at": "2025-01-01T00:00:00Z", "adapters": [], "capabilities": ["language:sql"]}]});
    fs::write(world.home().join("expert-registry.json"), old.to_string()).unwrap();
    world.ok(&["show", "old"]);
    assert_eq!(index(&world), old, "reading changes nothing");
    world.ok(&["install", pack(&world, "sql", "0.1.0").to_str().unwrap(), "-q"]);
    let index = index(&world);
    let names: Vec<&str> = index["experts"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["expert-old", "expert-sql"]);
    assert_eq!(index["experts"][0]["versions"][0]["capabilities"], json!(["language:sql"]));
    assert_eq!(index["base_models"], old["base_models"]);
}

#[test]
fn two_writers_lose_nothing_in_a_hundred_rounds() {
    const ROUNDS: usize = 100;
    let world = World::new();
    let packages = [pack(&world, "one", "1.0.0"), pack(&world, "two", "1.0.0")];
    std::thread::scope(|scope| {
        for (name, package) in ["one", "two"].iter().zip(&packages) {
            let world = &world;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    world.ok(&["install", package.to_str().unwrap(), "-q"]);
                    let index = index(world);
                    let names = index["experts"].as_array().unwrap();
                    assert!(
                        names.iter().any(|e| e["name"] == format!("expert-{name}")),
                        "{name} lost in round {round}"
                    );
                    if round + 1 < ROUNDS {
                        world.ok(&["uninstall", name, "-q"]);
                    }
                }
            });
        }
    });
    for name in ["one", "two"] {
        world.ok(&["verify", name]);
    }
    assert_eq!(index(&world)["experts"].as_array().unwrap().len(), 2);
}

/// Runs a command that is killed at a failpoint; `false` if the point was not reached.
fn killed(world: &World, point: &str, args: &[&str]) -> bool {
    let run = World::wait(world.command(args).env("EXPERT_FAILPOINT", point));
    assert!(run.code == -1 || run.code == 0, "{point}: {}", run.shown());
    run.code == -1
}

/// Whatever is registered must be whole.
fn all_whole(world: &World, when: &str) {
    let Ok(text) = fs::read_to_string(world.home().join("expert-registry.json")) else { return };
    let index: Value = serde_json::from_str(&text).unwrap();
    for expert in index["experts"].as_array().unwrap() {
        for version in expert["versions"].as_array().unwrap() {
            let name = format!("{}@{}", expert["name"].as_str().unwrap(), version["version"].as_str().unwrap());
            let run = world.run(&["verify", &name]);
            assert_eq!(run.code, 0, "{when}: {name}: {}", run.shown());
        }
    }
}

#[test]
fn killed_at_any_point_the_registry_is_whole() {
    let world = World::new();
    let package = pack(&world, "sql", "1.0.0");
    let package = package.to_str().unwrap();
    let writes: Vec<String> = (1..12).map(|n| format!("fsx.before_rename:{n}")).collect();
    let points = [
        "registry.before_publish",
        "fsx.before_publish",
        "fsx.between_renames",
        "registry.before_index",
        "registry.before_current",
        "registry.before_remove",
    ];
    let mut reached = Vec::new();
    for point in writes.iter().map(String::as_str).chain(points) {
        for (prepared, args) in [
            (false, vec!["install", package, "-q"]),
            (true, vec!["install", package, "-q", "--force"]),
            (true, vec!["uninstall", "sql", "-q"]),
        ] {
            if prepared {
                world.ok(&["install", package, "-q", "--force"]);
            } else {
                world.run(&["uninstall", "sql", "-q"]);
            }
            let when = format!("{args:?} killed at {point}");
            if killed(&world, point, &args) {
                reached.push(point);
            }
            all_whole(&world, &when);
            // The next one succeeds and sweeps up.
            world.ok(&["install", package, "-q", "--force"]);
            all_whole(&world, &when);
            let left: Vec<String> = world
                .installed_paths()
                .into_iter()
                .filter(|p| p.contains("unfinished") || p.contains("replaced"))
                .collect();
            assert_eq!(left, [""; 0], "{when}");
        }
    }
    for point in points {
        assert!(reached.contains(&point), "{point} was never reached");
    }
    assert!(reached.len() > 20, "{reached:?}");
}

#[test]
fn killed_while_packing_the_old_package_stays() {
    let world = World::new();
    let package = pack(&world, "sql", "1.0.0");
    let before = fs::read(&package).unwrap();
    fs::write(world.work().join("sql/README.md"), "another text").unwrap();
    for point in ["package.before_commit", "fsx.before_rename:1"] {
        assert!(killed(&world, point, &["package", "--manifest", "sql"]));
        assert_eq!(fs::read(&package).unwrap(), before, "{point}");
    }
    assert!(killed(&world, "package.before_checksum", &["package", "--manifest", "sql"]));
    assert_ne!(fs::read(&package).unwrap(), before);
    assert!(!package.with_extension("expert.sha256").exists(), "no checksum rather than an old one");
    world.ok(&["verify", package.to_str().unwrap()]);
}

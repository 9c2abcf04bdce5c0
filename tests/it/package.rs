//! `package`, `install`, `list`, `show`, `verify`, `uninstall`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use expert_cli::package::check_adapter;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::world::{Run, World, copy, fixture};

/// Writes `adapter_model.safetensors` with these tensors of one `q_proj`.
pub fn write_adapter(folder: &Path, parts: &[(&str, &[usize])]) {
    let bytes: Vec<Vec<u8>> =
        parts.iter().map(|(_, shape)| 1f32.to_le_bytes().repeat(shape.iter().product())).collect();
    let tensors = parts.iter().zip(&bytes).map(|((name, shape), bytes)| {
        let key = format!("base_model.model.model.layers.0.self_attn.q_proj.{name}");
        (key, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    fs::write(folder.join("adapter_model.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn the_chain_from_package_to_uninstall() {
    let world = World::new();
    world.base("tiny-qwen3");
    world.expert("sql");
    fs::write(world.work().join("sql/grammar.gbnf"), "root ::= \"SELECT\"\n").unwrap();
    fs::write(world.work().join("sql/LICENSE"), "as you like\n").unwrap();
    let show = |name: &str, run: Run| world.settings().bind(|| insta::assert_snapshot!(name, run.shown()));
    show("list_contents", world.run(&["package", "--manifest", "sql", "--list-contents"]));
    assert_eq!(fs::read_dir(world.work()).unwrap().count(), 1, "--list-contents writes nothing");
    show("package", world.run(&["package", "--manifest", "sql"]));
    let name = "expert-sql-tiny-qwen3.v0.1.0.expert";
    let sums = fs::read_to_string(world.work().join(format!("{name}.sha256"))).unwrap();
    let hash = expert_cli::fsx::sha256_file(&world.work().join(name)).unwrap();
    assert_eq!(sums, format!("{hash}  {name}\n"));
    show("verify_file", world.run(&["verify", name]));
    show("install", world.run(&["install", name]));
    show("install_again", world.run(&["install", name]));
    show("install_force", world.run(&["install", name, "--force"]));
    show("list", world.run(&["list"]));
    show("show", world.run(&["show", "sql@0.1"]));
    show("verify_installed", world.run(&["verify", "expert-sql"]));
    show("show_unknown", world.run(&["show", "sqk"]));
    let current = fs::read_to_string(world.home().join("experts/expert-sql/current.txt")).unwrap();
    assert_eq!(current, "0.1.0\n");
    show("uninstall", world.run(&["uninstall", "sql"]));
    assert_eq!(world.installed_paths(), [""; 0]);
    show("list_empty", world.run(&["list"]));
    show("uninstall_again", world.run(&["uninstall", "sql"]));
}

#[test]
fn json_of_every_verb_is_one_object() {
    let world = World::new();
    world.expert("sql");
    let packed = json_of(&world.ok(&["package", "--manifest", "sql", "--json"]));
    let path = packed["path"].as_str().unwrap().to_owned();
    assert_eq!(packed["schema"], "expert-cli.package/1");
    assert_eq!(packed["missing"].as_array().unwrap().len(), 8, "{packed:#}");
    for (args, schema) in [
        (vec!["verify", &path], "expert-cli.verify/1"),
        (vec!["install", &path], "expert-cli.install/1"),
        (vec!["list"], "expert-cli.list/1"),
        (vec!["show", "sql"], "expert-cli.show/1"),
        (vec!["verify", "sql"], "expert-cli.verify/1"),
        (vec!["uninstall", "sql"], "expert-cli.uninstall/1"),
    ] {
        let run = world.ok(&[args.as_slice(), &["--json"]].concat());
        assert_eq!(json_of(&run)["schema"], schema);
    }
    let run = world.run(&["show", "sql", "--json"]);
    assert_eq!((run.code, json_of(&run)["schema"].as_str()), (1, Some("expert-cli.error/1")));
}

#[test]
fn two_packages_of_the_same_expert_have_the_same_bytes() {
    let world = World::new();
    world.base("tiny-qwen3");
    let folder = world.expert("sql");
    let first = world.package("sql");
    copy(&folder, &world.work().join("elsewhere/expert-sql"));
    for path in ["README.md", "weights/tiny-qwen3/final/adapter_model.safetensors"] {
        let file = fs::File::options().write(true).open(world.work().join("elsewhere/expert-sql").join(path)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    world.ok(&["package", "--manifest", "elsewhere/expert-sql/manifest.json", "--output", "elsewhere"]);
    let second = world.work().join("elsewhere").join(first.file_name().unwrap());
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    let header: Vec<u8> = fs::read(first).unwrap()[..16].to_vec();
    assert_eq!(header, [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 38, 0, b'E', b'X', 34, 0]);
}

#[test]
fn the_eleven_files_are_there() {
    let world = World::new();
    crate::tiny::write_model(&world.home().join("models/tiny-qwen3"));
    let folder = world.expert("sql");
    for (name, text) in
        [("grammar.gbnf", "root ::= \"x\""), ("LICENSE", "l"), ("tests/cases.json", "[]"), ("tests/x.exe", "")]
    {
        fs::create_dir_all(folder.join("tests")).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }
    let args = json!({"base_model": world.home().join("models/tiny-qwen3"), "rank": 4});
    fs::write(folder.join("weights/tiny-qwen3/final/training_args.json"), args.to_string()).unwrap();
    let packed = json_of(&world.ok(&["package", "--manifest", "sql", "--include-tests", "--json"]));
    let names: Vec<&str> = packed["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "manifest.json",
            "adapter_model.safetensors",
            "adapter_config.json",
            "special_tokens_map.json",
            "tokenizer_config.json",
            "tokenizer.json",
            "training_args.json",
            "vocab.json",
            "README.md",
            "grammar.gbnf",
            "tests/cases.json",
            "LICENSE"
        ]
    );
    assert_eq!(packed["missing"], json!([]));
    assert_eq!(packed["notes"].as_array().unwrap().len(), 1, "tests/x.exe is named");
    world.ok(&["install", packed["path"].as_str().unwrap(), "-q"]);
    let installed = world.home().join("experts/expert-sql/0.1.0");
    let args: Value = serde_json::from_slice(&fs::read(installed.join("training_args.json")).unwrap()).unwrap();
    assert_eq!(args["base_model"], "tiny-qwen3", "the path is gone");
    let vocab: BTreeMap<String, u64> =
        serde_json::from_slice(&fs::read(installed.join("vocab.json")).unwrap()).unwrap();
    let tokenizer: Value = serde_json::from_slice(&fs::read(installed.join("tokenizer.json")).unwrap()).unwrap();
    assert_eq!(json!(vocab), tokenizer["model"]["vocab"]);
    world.ok(&["verify", "sql"]);
}

#[test]
fn the_checkpoint_is_the_flags_then_the_manifests_then_final() {
    let world = World::new();
    let folder = world.expert("sql");
    let set = |checkpoint: Option<&str>| {
        let path = folder.join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest["training"]["packaging_checkpoint"] = json!(checkpoint);
        fs::write(path, manifest.to_string()).unwrap();
    };
    let chosen = |args: &[&str]| {
        let run = world.ok(&[&["package", "--manifest", "sql", "--list-contents", "--json"], args].concat());
        json_of(&run)["checkpoint"].as_str().unwrap().to_owned()
    };
    set(Some("checkpoint-5"));
    assert_eq!(chosen(&[]), "checkpoint-5");
    assert_eq!(chosen(&["--checkpoint", "final"]), "final");
    set(None);
    assert_eq!(chosen(&[]), "final");
    set(Some("checkpoint-7"));
    let run = world.run(&["package", "--manifest", "sql"]);
    world.settings().bind(|| insta::assert_snapshot!("checkpoint_missing", run.shown()));
    fs::remove_dir_all(folder.join("weights")).unwrap();
    let run = world.run(&["package", "--manifest", "sql"]);
    assert!(run.code == 3 && run.stderr.contains("`expert-cli train` makes it"), "{}", run.shown());
}

#[test]
fn what_belongs_to_this_machine_is_not_published() {
    let world = World::new();
    let base = world.base("tiny-qwen3");
    let folder = world.expert("sql");
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // The base by its path: packed under its last component, in the manifest and in the adapter's config.
    manifest["base_models"][0]["name"] = json!(base);
    fs::write(&path, manifest.to_string()).unwrap();
    let config_path = folder.join("weights/tiny-qwen3/final/adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&config_path).unwrap()).unwrap();
    config["base_model_name_or_path"] = json!(base);
    fs::write(&config_path, config.to_string()).unwrap();
    let package = world.package("sql");
    assert_eq!(package.file_name().unwrap(), "expert-sql-tiny-qwen3.v0.1.0.expert");
    world.ok(&["install", package.to_str().unwrap(), "-q"]);
    let installed = world.home().join("experts/expert-sql/0.1.0");
    for name in ["manifest.json", "adapter_config.json"] {
        let text = fs::read_to_string(installed.join(name)).unwrap();
        assert!(text.contains("tiny-qwen3") && !text.contains(&*base.to_string_lossy()), "{name}: {text}");
    }
    // So does a path where the model was when it was trained and is no more.
    let mut config: serde_json::Value = serde_json::from_str(&fs::read_to_string(&config_path).unwrap()).unwrap();
    config["base_model_name_or_path"] = "/mnt/old-disk/models/tiny-qwen3".into();
    fs::write(&config_path, config.to_string()).unwrap();
    let package = world.package("sql");
    world.ok(&["install", package.to_str().unwrap(), "-q", "--force"]);
    let text = fs::read_to_string(installed.join("adapter_config.json")).unwrap();
    assert!(text.contains("\"tiny-qwen3\"") && !text.contains("old-disk"), "{text}");
    // Anything else is refused, with its place, and the old package stays.
    let before = fs::read(&package).unwrap();
    let secret = format!("hf_{}", "A1b2".repeat(9));
    fs::write(folder.join("README.md"), format!("# x\nmy data is in /home/ana/data\ntoken: {secret}\n")).unwrap();
    let run = world.run(&["package", "--manifest", "sql", "-q"]);
    assert!(!run.stderr.contains(&secret), "the secret is not shown");
    world.settings().bind(|| insta::assert_snapshot!("leaks", run.shown()));
    assert_eq!(fs::read(&package).unwrap(), before);
    world.ok(&["package", "--manifest", "sql", "-q", "--allow-paths"]);
    assert_ne!(fs::read(&package).unwrap(), before);
}

#[test]
fn a_full_disk_keeps_the_old_package() {
    let world = World::new();
    world.expert("sql");
    let package = world.package("sql");
    let before = fs::read(&package).unwrap();
    fs::write(world.work().join("sql/README.md"), "another text").unwrap();
    // A file size limit of 8 KiB stands in for the full disk; the signal that goes with it is ignored.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" package --manifest sql";
    let mut command = std::process::Command::new("bash");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_expert-cli")]).current_dir(world.work());
    let run = World::wait(command.env("EXPERT_HOME", world.home()));
    assert_eq!(run.code, 4, "{}", run.shown());
    assert_eq!(fs::read(&package).unwrap(), before);
    let names: Vec<_> = fs::read_dir(world.work()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{names:?}");
}

#[test]
fn a_checksum_that_does_not_fit_is_a_refusal() {
    let world = World::new();
    world.expert("sql");
    let package = world.package("sql");
    let sums = world.work().join(format!("{}.sha256", package.file_name().unwrap().to_string_lossy()));
    fs::write(&sums, format!("{}  x\n", "0".repeat(64))).unwrap();
    let run = world.run(&["install", package.to_str().unwrap()]);
    assert!(run.code == 3 && run.stderr.contains("does not match the checksum file"), "{}", run.shown());
    assert_eq!(world.installed_paths(), [""; 0]);
}

#[test]
fn the_base_model_is_pinned_by_content() {
    let world = World::new();
    let base = world.base("tiny-qwen3");
    world.expert("sql");
    let package = world.package("sql");
    world.ok(&["install", package.to_str().unwrap(), "-q"]);
    // Another model under the same name.
    fs::remove_dir_all(&base).unwrap();
    copy(&fixture("tiny-llama"), &base);
    let run = world.run(&["verify", "sql"]);
    world.settings().bind(|| insta::assert_snapshot!("verify_other_base", run.shown()));
    let run = world.run(&["install", package.to_str().unwrap(), "--force"]);
    assert!(run.code == 0 && run.stderr.contains("was trained for another base model"), "{}", run.shown());
    // The same weights with another config.
    copy(&fixture("tiny-qwen3"), &base);
    world.ok(&["verify", "sql"]);
    let config = fs::read_to_string(base.join("config.json")).unwrap().replace("1000000.0", "10000.0");
    fs::write(base.join("config.json"), config).unwrap();
    let run = world.run(&["verify", "sql"]);
    assert!(run.code == 1 && run.stdout.contains("`rope_theta` 1000000.0"), "{}", run.shown());
    // Packing for a base with other shapes is refused outright.
    let run = world.run(&["package", "--manifest", "sql", "--base-model", fixture("tiny-llama").to_str().unwrap()]);
    assert!(run.code == 3 && run.stderr.contains("does not fit the base model"), "{}", run.shown());
}

#[test]
fn an_installed_expert_that_was_changed_is_found_out() {
    let world = World::new();
    world.expert("sql");
    let package = world.package("sql");
    let installed = world.home().join("experts/expert-sql/0.1.0");
    for (file, change) in [
        ("README.md", Some("changed")),
        ("manifest.json", None),
        ("adapter_config.json", Some("{}")),
        ("extra.md", Some("new")),
    ] {
        world.ok(&["install", package.to_str().unwrap(), "--force", "-q"]);
        world.ok(&["verify", "sql"]);
        match change {
            Some(text) => fs::write(installed.join(file), text).unwrap(),
            None => {
                let text = fs::read_to_string(installed.join(file)).unwrap();
                fs::write(installed.join(file), text.replace("parser-strict", "none")).unwrap();
            }
        }
        let run = world.run(&["verify", "sql"]);
        assert!(run.code == 1 && run.stdout.contains(&format!("BAD         {file}")), "{}", run.shown());
    }
}

#[test]
fn every_defect_of_an_adapter_is_refused() {
    type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;
    type Edit<'a> = &'a dyn Fn(&mut Tensors, &mut Value);
    let source = fixture("golden/tiny-qwen3/dora-adapter");
    let dir = tempfile::tempdir().unwrap();
    let q = |part: &str| format!("base_model.model.model.layers.1.self_attn.q_proj.{part}");
    let attempt = |edit: &dyn Fn(&mut Tensors, &mut Value)| {
        let bytes = fs::read(source.join("adapter_model.safetensors")).unwrap();
        let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let mut tensors: Tensors =
            parsed.iter().map(|(name, t)| (name.to_owned(), (t.shape().to_vec(), floats(t.data())))).collect();
        let mut config: Value = serde_json::from_slice(&fs::read(source.join("adapter_config.json")).unwrap()).unwrap();
        edit(&mut tensors, &mut config);
        let bytes: BTreeMap<String, Vec<u8>> = tensors
            .iter()
            .map(|(name, (_, values))| (name.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = tensors.iter().map(|(name, (shape, _))| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        fs::write(dir.path().join("adapter_model.safetensors"), file).unwrap();
        fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
        check_adapter(dir.path(), Some(&fixture("tiny-qwen3"))).map_err(|error| error.to_string())
    };
    let summary = attempt(&|_, _| {}).unwrap();
    assert_eq!((summary.kind, summary.rank, summary.layers, summary.parameters), ("dora", 4, 3, 14_688));
    let defects: [(Edit<'_>, &str); 19] = [
        (&|_, c| c["r"] = json!(8), "do not fit the rank 8"),
        (&|_, c| c["rank_pattern"] = json!({"q_proj": 2}), "do not fit the rank 2"),
        (&|t, _| drop(t.remove(&q("lora_A.weight"))), "lora_A.weight` is missing"),
        (&|t, _| drop(t.remove(&q("lora_B.weight"))), "lora_B.weight` is missing"),
        (&|t, _| drop(t.remove(&q("lora_magnitude_vector"))), "lora_magnitude_vector` is missing"),
        (&|t, _| t.get_mut(&q("lora_magnitude_vector")).unwrap().0 = vec![1, 128], "instead of [128]"),
        (&|t, _| drop(t.insert("stranger".into(), (vec![1], vec![0.0]))), "`stranger` is no tensor"),
        (
            &|t, _| {
                let twin = t[&q("lora_A.weight")].clone();
                t.insert(q("lora_A.weight").replace("q_proj", "gate_proj"), twin);
            },
            "is no target of the config",
        ),
        (&|t, _| t.get_mut(&q("lora_A.weight")).unwrap().1[3] = f32::NAN, "NaN or infinity"),
        (&|t, _| t.get_mut(&q("lora_B.weight")).unwrap().1[0] = f32::INFINITY, "NaN or infinity"),
        (&|t, _| t.retain(|name, _| !name.contains("layers.1.")), "no tensors in the layers [1]"),
        (&|t, _| t.retain(|name, _| !name.contains("layers.2.")), "2 layers, the base model 3"),
        (&|_, c| c["use_dora"] = json!(false), "the config does not say DoRA"),
        (&|_, c| c["target_modules"] = json!(["q_proj", "gate_proj"]), "is no target of the config"),
        (&|_, c| c["target_modules"].as_array_mut().unwrap().push(json!("gate_proj")), "`gate_proj` has no tensor"),
        (&|_, c| c["lora_alpha"] = json!(null), "`lora_alpha` is missing"),
        (&|_, c| c["peft_type"] = json!("IA3"), "peft_type"),
        (&|_, c| c["modules_to_save"] = json!(["lm_head"]), "`modules_to_save` is not supported"),
        (&|_, c| c["bias"] = json!("all"), "`bias` must be"),
    ];
    for (edit, why) in defects {
        let error = attempt(edit).unwrap_err();
        assert!(error.contains(why), "expected `{why}`: {error}");
    }
}

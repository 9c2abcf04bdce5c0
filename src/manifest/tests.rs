//! Tests of the room's door.

use serde_json::json;

use super::config::TrainingConfig;
use super::schema::CONFIG;
use super::*;

fn v2() -> Value {
    json!({
        "name": "expert-sql", "version": "0.3.0", "schema_version": "2.0", "_comment": "kept",
        "capabilities": ["language:sql", "database:mysql"],
        "base_models": [{
            "name": r"F:\Node\models\Qwen3-0.6B", "_comment_adapters": "kept", "prompt_template": "qwen3",
            "adapters": [{"type": "dora", "target_modules": ["q_proj"], "r": 12, "alpha": 24}],
            "training_overrides": {"rank": 512, "num_epochs": 3}
        }],
        "my_own": {"z": 1, "a": 2},
        "training": {
            "packaging_checkpoint": "checkpoint-1250",
            "dataset": {"path": "a/b::train[:10]::en", "field_mapping": {"question": "q", "_comment": "x"}},
            "config": {"adapter_type": "dora", "rank": 12, "alpha": 24, "epochs": 1.5, "learning_rate": 5e-5,
                "target_modules": ["q_proj"], "batch_size": 2, "save_total_limit": null, "surprise": 1, "_comment": ""},
            "decoding": {"temperature": 0.7, "top_k": 20, "stop_sequences": [";"], "min_p": 0.1}
        }
    })
}

fn v1() -> Value {
    json!({
        "name": "expert-json", "version": "0.1.0",
        "base_model": {"name": "Qwen3-0.6B", "quantization": "int4"},
        "adapters": [{"type": "lora", "target_modules": ["q_proj", "v_proj"], "r": 16, "path": "qwen3-06b/adapter"}],
        "training": {"config": {"method": "sft", "adapter_type": "lora", "rank": 16}}
    })
}

fn errors(value: &Value) -> Vec<String> {
    check(value).iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect()
}

#[test]
fn both_versions_are_read() {
    let manifest = Manifest::from_value(v2()).unwrap();
    assert_eq!((manifest.name(), manifest.version()), ("expert-sql", "0.3.0"));
    assert_eq!(manifest.schema_version(), SchemaVersion::V2);
    assert_eq!(manifest.dialect(), "mysql");
    assert_eq!(manifest.training().packaging_checkpoint.as_deref(), Some("checkpoint-1250"));
    let dataset = &manifest.training().dataset;
    assert_eq!(dataset.reference().unwrap().config.as_deref(), Some("en"));
    assert_eq!(dataset.field_mapping, [("question".to_owned(), "q".to_owned())]);
    assert_eq!(manifest.decoding().stop_sequences.unwrap(), [";"]);
    assert_eq!(manifest.decoding().min_p, Some(0.1));

    let manifest = Manifest::from_value(v1()).unwrap();
    assert_eq!(manifest.schema_version(), SchemaVersion::V1);
    assert_eq!(manifest.base_models()[0].adapters[0].path.as_deref(), Some("qwen3-06b/adapter"));
    assert_eq!(manifest.base_models()[0].quantization.as_deref(), Some("int4"));
    assert_eq!(manifest.dialect(), "postgres");
}

#[test]
fn overrides_lie_over_the_config_and_set_lies_over_both() {
    let mut manifest = Manifest::from_value(v2()).unwrap();
    let entry = manifest.entry(Some("Qwen3-0.6B")).unwrap().clone();
    let config = manifest.training_config_for(&entry).unwrap();
    assert_eq!((config.rank, config.epochs, config.alpha), (Some(512), Some(3.0), Some(24.0)));
    assert_eq!((config.save_total_limit, config.unknown), (Some(0), vec!["surprise".to_owned()]));

    manifest.set("training.config.rank", json!(8)).unwrap();
    manifest.set_assignment("training.config.num_epochs=1").unwrap();
    manifest.set_assignment("training.config.lr_scheduler=cosine").unwrap();
    let config = manifest.training_config_for(&entry).unwrap();
    assert_eq!((config.rank, config.epochs, config.lr_scheduler.as_deref()), (Some(8), Some(1.0), Some("cosine")));
    assert!(manifest.set_assignment("training.config.rank").unwrap_err().to_string().contains("has no `=`"));
    let error = manifest.set("training.config.rnak", json!(8)).unwrap_err();
    assert_eq!(crate::error::classify(&error).1.as_deref(), Some("did you mean `rank`?"));
    let error = manifest.set("training.config.rank", json!(0)).unwrap_err().to_string();
    assert!(error.contains("training.config.rank: must be a whole number from 1 to 1024, not 0"), "{error}");
    assert_eq!(manifest.training_config_for(&entry).unwrap().rank, Some(8), "a refused value changes nothing");
}

#[test]
fn an_entry_is_found_by_name_or_last_component() {
    let mut value = v2();
    let mut second = value["base_models"][0].clone();
    second["name"] = json!("Qwen/Qwen3-4B");
    value["base_models"].as_array_mut().unwrap().push(second);
    let manifest = Manifest::from_value(value).unwrap();
    for name in ["Qwen3-4B", "Qwen/Qwen3-4B", "/models/Qwen3-4B"] {
        assert_eq!(manifest.entry(Some(name)).unwrap().name, "Qwen/Qwen3-4B");
    }
    for asked in [None, Some("Llama")] {
        let error = manifest.entry(asked).unwrap_err().to_string();
        assert!(error.contains("Qwen3-0.6B, Qwen/Qwen3-4B"), "{error}");
    }
}

#[test]
fn saving_keeps_order_comments_and_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest.json");
    let text = serde_json::to_string_pretty(&v2()).unwrap() + "\n";
    fsx::write_atomic(&path, text.as_bytes()).unwrap();
    let mut manifest = Manifest::load(dir.path()).unwrap();
    manifest.save(&path).unwrap();
    assert_eq!(fsx::read_text(&path).unwrap(), text);
    manifest.set("training.config.rank", json!(13)).unwrap();
    manifest.save(&path).unwrap();
    assert_eq!(fsx::read_text(&path).unwrap(), text.replacen("\"rank\": 12", "\"rank\": 13", 1));
    assert_eq!(manifest.folder(), dir.path());
}

#[test]
fn every_problem_is_listed_at_once() {
    let mut value = v2();
    value["version"] = json!("../1");
    value["name"] = json!(7);
    value["base_models"][0]["adapters"] = json!([]);
    value["training"]["config"]["rank"] = json!(2000);
    value["training"]["config"]["lr_scheduler"] = json!("cosin");
    value["training"]["config"]["epochs"] = json!(0);
    value["training"]["config"]["target_modules"] = json!([]);
    value["training"]["packaging_checkpoint"] = json!("best");
    value["training"]["decoding"]["temperature"] = json!("warm");
    let found = errors(&value);
    for wanted in [
        "name: must be a string, not 7",
        "version: must be a version such as 1.0.0: it names a folder",
        "base_models[0].adapters: must have at least one item",
        "training.config.rank: must be a whole number from 1 to 1024, not 2000",
        "training.config.lr_scheduler: `cosin` is none of linear, cosine, constant, polynomial, cosine_with_restarts, \
         constant_with_warmup; did you mean `cosine`?",
        "training.config.epochs: must be a number above 0, not 0",
        "training.config.target_modules: must have at least one item",
        "training.packaging_checkpoint: must be `checkpoint-N`, `final` or `adapter`",
        "training.decoding.temperature: must be a number from 0 to 2, not \"warm\"",
    ] {
        assert!(found.iter().any(|f| f == wanted), "missing: {wanted}\n{found:#?}");
    }
    assert_eq!(found.len(), 9, "{found:#?}");
}

#[test]
fn what_this_program_does_not_train_is_named_but_stops_nobody() {
    let mut value = v2();
    value["training"]["config"]["method"] = json!("dpo");
    value["training"]["config"]["target_modules"] = json!(["q_porj", "v_proj"]);
    value["base_models"][0]["adapters"][0]["target_modules"] = json!("all-linear");
    assert_eq!(errors(&value), [""; 0]);
    let found: Vec<String> = check(&value).iter().map(ToString::to_string).collect();
    for wanted in [
        "training.config.method: `dpo` is none of sft",
        "training.config.target_modules[0]: `q_porj` is none of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, \
         down_proj; did you mean `q_proj`?",
    ] {
        assert!(found.iter().any(|f| f == wanted), "missing: {wanted}\n{found:#?}");
    }
    value["training"]["config"]["target_modules"] = json!("all-linear");
    value["training"]["config"]["lr_scheduler"] = json!("constant_with_warmup");
    value["training"]["config"]["method"] = json!("sft");
    let changed = ["target_modules", "lr_scheduler", "method"].map(|key| format!("training.config.{key}"));
    let about = |path: &str| changed.iter().any(|key| path.starts_with(key.as_str()));
    assert!(!check(&value).iter().any(|f| about(&f.path)), "{:#?}", check(&value));
}

#[test]
fn upstreams_own_rules_hold() {
    let both = {
        let mut value = v2();
        value["base_model"] = json!({"name": "x"});
        value
    };
    let without = |value: Value, pointer: &str, key: &str| {
        let mut value = value;
        value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        value
    };
    for (value, wanted) in [
        (both, "base_model: stands beside `base_models`: keep one of them"),
        (without(v2(), "/training/config", "rank"), "training.config.rank: is missing: every adapter but ia3 has one"),
        (without(v1(), "", "base_model"), "base_model: is missing (schema version 1.0)"),
        (without(v1(), "", "adapters"), "adapters: must have at least one item (schema version 1.0)"),
        (without(v2(), "/base_models/0", "name"), "base_models[0].name: is missing"),
    ] {
        assert_eq!(errors(&value), [wanted]);
    }
    let mut ia3 = without(v2(), "/training/config", "rank");
    ia3["training"]["config"]["adapter_type"] = json!("ia3");
    assert_eq!(errors(&ia3), [""; 0]);
}

#[test]
fn soft_blocks_in_either_shape_never_stop_a_manifest() {
    let mut value = v2();
    for (evaluation, integrity) in [
        (json!({"test_cases": "t.json", "suite": "s", "metrics": ["a"]}), json!({"timestamp": "t", "public_key": "p"})),
        (json!({"test_set_size": 3, "metrics": {"f1": 0.5}}), json!({"publisher": "p", "files": {"a": "b"}})),
        (json!("wrong"), json!({"files": 3})),
    ] {
        value["evaluation"] = evaluation;
        value["integrity"] = integrity;
        assert_eq!(errors(&value), [""; 0]);
    }
    let warnings: Vec<String> = check(&value).iter().map(ToString::to_string).collect();
    assert!(warnings.contains(&"evaluation: must be an object, not \"wrong\"".to_owned()), "{warnings:#?}");
    assert!(warnings.contains(&"integrity.files: must be an object, not 3".to_owned()), "{warnings:#?}");
}

#[test]
fn the_table_and_the_types_know_the_same_keys() {
    let table: Vec<&str> = CONFIG.iter().map(|field| field.key).collect();
    assert_eq!(table, TrainingConfig::KEYS);
}

#[test]
fn a_syntax_error_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest.json");
    fsx::write_atomic(&path, b"{\n  \"name\": oops\n}").unwrap();
    let error = Manifest::load(&path).unwrap_err().to_string();
    assert!(error.contains("manifest.json:2:11 is not JSON"), "{error}");
}

use super::*;
use serde_json::json;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn from_manifest(config: Value) -> Result<Resolved> {
    resolve(&Layers { manifest: map(config), ..Layers::default() })
}

#[test]
fn flags_win_over_overrides_over_the_manifest() {
    let layers = Layers {
        manifest: map(json!({"rank": 8, "alpha": 16, "learning_rate": 1e-4, "num_epochs": 2})),
        overrides: map(json!({"alpha": 32, "learning_rate": 2e-4})),
        flags: map(json!({"learning_rate": 3e-4})),
    };
    let found = resolve(&layers).unwrap();
    let s = &found.settings;
    assert_eq!((s.rank, s.alpha, s.learning_rate, s.epochs), (8, 32.0, 3e-4, 2.0));
    assert_eq!(
        found.differing(),
        [
            ("rank".into(), "8".into(), Origin::Manifest),
            ("alpha".into(), "32.0".into(), Origin::Override),
            ("epochs".into(), "2.0".into(), Origin::Manifest),
            ("learning_rate".into(), "0.0003".into(), Origin::Flag),
        ]
    );
    assert!(found.unused.is_empty());
}

#[test]
fn what_has_no_meaning_is_named_once_with_its_reason() {
    let found = from_manifest(json!({
        "_comment": "x", "use_unsloth": true, "torch_compile": false, "dataloader_num_workers": 8, "lr_warmup": 1,
        "optim": "adamw_bnb_8bit", "lr_scheduler": "cosine", "lr_scheduler_kwargs": {"num_cycles": 1, "power": 2},
        "warmup_steps": 5, "warmup_ratio": 0.1,
    }))
    .unwrap();
    let keys: Vec<&str> = found.unused.iter().map(|(key, _)| key.as_str()).collect();
    let expected = ["use_unsloth", "dataloader_num_workers", "lr_warmup", "lr_scheduler_kwargs.power", "warmup_steps"];
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    let mut wanted = expected.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
}

#[test]
fn refusals_name_the_key_and_its_origin() {
    for (config, words) in [
        (json!({"adapter_type": "ia3"}), "training.config.adapter_type = ia3 (manifest): IA³ is not built"),
        (json!({"adapter_type": "prefix"}), "has to be dora, lora or full"),
        (json!({"save_dtype": "float16"}), "has to be one of float32, bfloat16"),
        (json!({"gradient_checkpointing": "some"}), "has to be true, false"),
        (json!({"activation_checkpointing": 3}), "has to be true, false"),
        (json!({"method": "dpo"}), "training.config.method = dpo"),
        (json!({"rank": 0}), "has to be from 1 to 1024"),
        (json!({"rank": "many"}), "training.config.rank = \"many\""),
        (json!({"learning_rate": -1}), "has to be above 0"),
        (json!({"dropout": 1}), "has to be from 0 to below 1"),
        (json!({"target_modules": ["q_proj", "qproj"]}), "no such linear"),
        (json!({"target_modules": []}), "nothing would be trained"),
        (json!({"lr_scheduler": "cosin"}), "has to be one of linear, cosine"),
        (json!({"optim": "lion"}), "has to be adamw_torch"),
        (json!({"metric_for_best_model": "bleu"}), "has to be eval_loss"),
        (json!({"save_strategy": "best"}), "has to be one of no, steps, epoch"),
        (json!({"train_on": "prompt"}), "has to be one of answer, question, all"),
    ] {
        let error = from_manifest(config.clone()).unwrap_err().to_string();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn whole_floats_limits_and_modules() {
    let found = from_manifest(json!({"rank": 4.0, "save_total_limit": null, "target_modules": "all-linear"})).unwrap();
    assert_eq!((found.settings.rank, found.settings.save_total_limit), (4, None));
    assert_eq!(found.settings.target_modules.len(), 7);
    let found = from_manifest(json!({"target_modules": ["down_proj", "q_proj", "q_proj"]})).unwrap();
    assert_eq!(found.settings.target_modules, ["q_proj", "down_proj"]);
    assert_eq!(found.settings.save_total_limit, Some(3));
}

#[test]
fn checkpointing_has_two_names_and_three_values() {
    for (config, expected) in [
        (json!({}), Checkpointing::Off),
        (json!({"gradient_checkpointing": true}), Checkpointing::On),
        (json!({"gradient_checkpointing": "selective"}), Checkpointing::Selective),
        (json!({"activation_checkpointing": "selective"}), Checkpointing::Selective),
        (json!({"activation_checkpointing": true, "gradient_checkpointing": "off"}), Checkpointing::Off),
    ] {
        let found = from_manifest(config.clone()).unwrap();
        assert_eq!(found.settings.gradient_checkpointing, expected, "{config}");
    }
    let both = from_manifest(json!({"activation_checkpointing": true, "gradient_checkpointing": "off"})).unwrap();
    assert!(both.unused[0].1.contains("other name is given and wins"));
}

#[test]
fn epochs_on_the_command_line_win_over_steps_in_the_manifest() {
    let layers =
        Layers { manifest: map(json!({"max_steps": 10})), flags: map(json!({"epochs": 2})), ..Layers::default() };
    let found = resolve(&layers).unwrap();
    assert_eq!((found.settings.max_steps, found.settings.epochs), (None, 2.0));
    assert_eq!(found.settings.total_steps(7), 14);
    assert_eq!(Settings { epochs: 1.5, ..found.settings }.total_steps(7), 11);
}

#[test]
fn the_ratio_of_warm_up_wins() {
    let found = from_manifest(json!({"warmup_steps": 5, "warmup_ratio": 0.03})).unwrap();
    assert_eq!(found.settings.schedule(101).warmup_steps, 4);
}

#[test]
fn assignments() {
    assert_eq!(parse_assignment("training.config.rank=8").unwrap(), ("rank".into(), json!(8)));
    assert_eq!(parse_assignment("training.config.optim=sgd").unwrap(), ("optim".into(), json!("sgd")));
    for (text, words) in [
        ("rank=8", "not of the form"),
        ("training.config.rank", "not of the form"),
        ("training.config.rnk=8", "did you mean `rank`"),
        ("training.config.use_unsloth=true", "the trainer is built in"),
    ] {
        let error = parse_assignment(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

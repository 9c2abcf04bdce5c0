//! The decoder and the adapters against PEFT's and transformers' numbers.
//!
//! `EXPERT_FIXTURES` points the same tests at another folder of the same shape; nothing here knows a size, a seed or a
//! count. Tolerances are those of the fixtures' README.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expert_cli::adapter::{Adapter, FullWeights};
use expert_cli::model::{Adapters, Batch, Checkpointing, Decoder, LossSum, Module, NoAdapters, Noise, Site, Targets};
use safetensors::{Dtype, SafeTensors};

/// Absolute, on logits.
const LOGITS: f32 = 1e-4;
/// Absolute, on losses.
const LOSS: f64 = 1e-5;
/// Relative to the largest element of a tensor.
const GRADIENT: f32 = 5e-5;
/// Absolute, on merged weights.
const MERGED: f32 = 1e-5;

pub fn fixtures() -> PathBuf {
    std::env::var_os("EXPERT_FIXTURES")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"))
}

/// A golden file's tensors as f32 or i64.
pub struct Golden {
    floats: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    integers: BTreeMap<String, (Vec<usize>, Vec<i64>)>,
}

impl Golden {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut golden = Self { floats: BTreeMap::new(), integers: BTreeMap::new() };
        for (name, view) in file.tensors() {
            let (shape, data) = (view.shape().to_vec(), view.data());
            match view.dtype() {
                Dtype::F32 => {
                    let values = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
                    golden.floats.insert(name, (shape, values));
                }
                Dtype::F64 => {}
                Dtype::I64 => {
                    let values = data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
                    golden.integers.insert(name, (shape, values));
                }
                other => panic!("{name} has dtype {other:?}"),
            }
        }
        golden
    }

    pub fn f32(&self, name: &str) -> &[f32] {
        &self.floats.get(name).unwrap_or_else(|| panic!("no {name}")).1
    }

    /// Rows of an integer matrix.
    pub fn rows(&self, name: &str) -> Vec<&[i64]> {
        let (shape, values) = self.integers.get(name).unwrap_or_else(|| panic!("no {name}"));
        values.chunks_exact(*shape.last().unwrap()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.floats.contains_key(name) || self.integers.contains_key(name)
    }
}

/// Folders under `golden/` with their base model's folder, and each one's adapters.
pub fn models() -> Vec<(PathBuf, PathBuf, Vec<String>)> {
    let root = fixtures();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join("golden")).unwrap() {
        let golden = entry.unwrap().path();
        let base = root.join(golden.file_name().unwrap());
        if !base.join("config.json").is_file() {
            continue;
        }
        let mut adapters: Vec<String> = std::fs::read_dir(&golden)
            .unwrap()
            .filter_map(|e| e.unwrap().file_name().to_string_lossy().strip_suffix("-adapter").map(str::to_owned))
            .collect();
        adapters.sort();
        found.push((base, golden, adapters));
    }
    found.sort();
    assert!(!found.is_empty(), "no golden files under {}", root.display());
    found
}

fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let worst = got
        .iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs())
        .fold(0.0f32, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) });
    assert!(worst <= tolerance, "{what}: differs by {worst}, tolerance {tolerance}");
}

/// The unpadded rows of a padded case as one ragged batch, and where each of its tokens stands in the padded matrix.
fn unpad(ids: &[&[i64]], mask: &[&[i64]], positions: Option<&[&[i64]]>) -> (Batch, Vec<(usize, usize)>) {
    let (mut batch, mut places) = (Batch::default(), Vec::new());
    for (row, (ids, mask)) in ids.iter().zip(mask).enumerate() {
        let kept: Vec<usize> = (0..ids.len()).filter(|c| mask[*c] == 1).collect();
        let tokens: Vec<u32> = kept.iter().map(|c| ids[*c] as u32).collect();
        let start = batch.len();
        batch.push(&tokens);
        if let Some(positions) = positions {
            for (i, column) in kept.iter().enumerate() {
                batch.position_ids[start + i] = positions[row][*column] as u32;
            }
        }
        places.extend(kept.into_iter().map(|column| (row, column)));
    }
    (batch, places)
}

fn check_forward(decoder: &Decoder, adapters: &dyn Adapters, golden: &Golden, what: &str) {
    let vocab = decoder.vocab_size();
    let mut cases = 0;
    for case in ["nopad", "right", "left_arange", "left_cumsum"] {
        if !golden.has(&format!("{case}.input_ids")) {
            continue;
        }
        cases += 1;
        let (ids, mask) = (golden.rows(&format!("{case}.input_ids")), golden.rows(&format!("{case}.attention_mask")));
        let positions = golden.rows(&format!("{case}.position_ids"));
        let (batch, places) = unpad(&ids, &mask, Some(&positions));
        let logits = decoder.logits(&batch, adapters).unwrap();
        let want = golden.f32(&format!("{case}.logits"));
        for (token, (row, column)) in places.iter().enumerate() {
            let at = (row * ids[0].len() + column) * vocab;
            assert_close(
                &format!("{what} {case} row {row} token {column}"),
                &logits[token * vocab..][..vocab],
                &want[at..][..vocab],
                LOGITS,
            );
        }
    }
    assert!(cases >= 2, "{what}: {cases} cases");
}

fn check_generate(decoder: &Decoder, adapters: &dyn Adapters, golden: &Golden, what: &str) {
    let prompt: Vec<u32> = golden.rows("prompt")[0].iter().map(|t| *t as u32).collect();
    let tokens: Vec<u32> = golden.rows("tokens").concat().iter().map(|t| *t as u32).collect();
    let want = golden.f32("step_logits");
    let vocab = decoder.vocab_size();
    // Two caches at once, the second one token ahead of the first: a batch must not mix them up.
    let mut caches = vec![decoder.new_cache(), decoder.new_cache()];
    let ahead: Vec<u32> = prompt.iter().copied().chain([tokens[0]]).collect();
    let mut logits = decoder.forward_cached(&[&prompt, &ahead], &mut caches, adapters).unwrap();
    for (step, token) in tokens.iter().enumerate() {
        assert_close(&format!("{what} step {step}"), &logits[0], &want[step * vocab..][..vocab], LOGITS);
        let best = logits[0].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        assert_eq!(best as u32, *token, "{what}: token {step}");
        if step + 2 < tokens.len() {
            assert_close(
                &format!("{what} second sequence, step {step}"),
                &logits[1],
                &want[(step + 1) * vocab..][..vocab],
                LOGITS,
            );
            logits = decoder.forward_cached(&[&[*token], &[tokens[step + 1]]], &mut caches, adapters).unwrap();
        } else if step + 1 < tokens.len() {
            logits = decoder.forward_cached(&[&[*token]], &mut caches[..1], adapters).unwrap();
        }
    }
    // Forgetting and recomputing gives the same step again.
    caches[0].truncate(prompt.len() - 1);
    let again = decoder.forward_cached(&[&prompt[prompt.len() - 1..]], &mut caches[..1], adapters).unwrap();
    assert_close(&format!("{what} after truncate"), &again[0], &want[..vocab], LOGITS);
}

fn shifted_targets(labels: &[&[i64]], places: &[(usize, usize)]) -> Targets {
    let mut targets = Targets::default();
    for (token, (row, column)) in places.iter().enumerate() {
        let label = labels[*row].get(column + 1).copied().unwrap_or(-100);
        if label >= 0 && places.get(token + 1) == Some(&(*row, column + 1)) {
            targets.positions.push(token);
            targets.labels.push(label as u32);
        }
    }
    targets
}

fn check_packed(decoder: &Decoder, adapters: &dyn Adapters, golden: &Golden, what: &str) {
    let (ids, segments) = (golden.rows("input_ids")[0], golden.rows("segment_ids")[0]);
    let labels = golden.rows("labels");
    let mut batch = Batch::default();
    for segment in segments.chunk_by(|a, b| a == b) {
        let tokens: Vec<u32> = ids[batch.len()..batch.len() + segment.len()].iter().map(|t| *t as u32).collect();
        batch.push(&tokens);
    }
    let positions: Vec<u32> = golden.rows("position_ids")[0].iter().map(|p| *p as u32).collect();
    assert_eq!(batch.position_ids, positions);
    let logits = decoder.logits(&batch, adapters).unwrap();
    assert_close(&format!("{what} packed logits"), &logits, golden.f32("logits"), LOGITS);
    // A target whose predecessor belongs to another segment is masked in the file (-100).
    let places: Vec<(usize, usize)> = (0..batch.len()).map(|c| (0, c)).collect();
    let targets = shifted_targets(&labels, &places);
    let loss = decoder.loss(&batch, &targets, adapters).unwrap();
    assert!((loss.mean() - f64::from(golden.f32("loss")[0])).abs() <= LOSS, "{what} packed loss {}", loss.mean());
}

#[test]
fn golden_base_forward_generate_and_packed() {
    for (base, golden, _) in models() {
        let decoder = Decoder::load(&base).unwrap();
        let what = base.file_name().unwrap().to_string_lossy().into_owned();
        check_forward(&decoder, &NoAdapters, &Golden::read(&golden.join("forward.safetensors")), &what);
        check_generate(&decoder, &NoAdapters, &Golden::read(&golden.join("generate.safetensors")), &what);
        check_packed(&decoder, &NoAdapters, &Golden::read(&golden.join("packed.safetensors")), &what);
    }
}

#[test]
fn golden_config_of_transformers_5_gives_the_same_model() {
    for (base, golden, _) in models() {
        let dir = tempfile::tempdir().unwrap();
        if !base.join("config.transformers5.json").is_file() {
            continue;
        }
        std::fs::copy(base.join("config.transformers5.json"), dir.path().join("config.json")).unwrap();
        std::fs::copy(base.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
        let decoder = Decoder::load(dir.path()).unwrap();
        check_packed(&decoder, &NoAdapters, &Golden::read(&golden.join("packed.safetensors")), "transformers 5");
    }
}

#[test]
fn golden_adapters_forward_generate_packed_and_merged() {
    for (base, golden, adapters) in models() {
        let decoder = Decoder::load(&base).unwrap();
        for name in adapters {
            let what = format!("{} {name}", base.file_name().unwrap().to_string_lossy());
            let adapter = Adapter::load(&golden.join(format!("{name}-adapter")), &decoder).unwrap();
            let file = |f: &str| Golden::read(&golden.join(&name).join(f));
            check_forward(&decoder, &adapter, &file("forward.safetensors"), &what);
            check_generate(&decoder, &adapter, &file("generate.safetensors"), &what);
            check_packed(&decoder, &adapter, &file("packed.safetensors"), &what);

            let merged = file("merged.safetensors");
            let mut seen = 0;
            for layer in 0..decoder.config().num_hidden_layers {
                for module in Module::ALL {
                    let site = Site { layer, module };
                    let key = format!("{site}.weight");
                    assert_eq!(adapter.merged(&decoder, site).is_some(), merged.has(&key), "{what} {key}");
                    if let Some(weight) = adapter.merged(&decoder, site) {
                        assert_close(&format!("{what} merged {key}"), &weight, merged.f32(&key), MERGED);
                        seen += 1;
                    }
                }
            }
            assert!(seen > 0, "{what}: nothing merged");
        }
    }
}

#[test]
fn golden_gradients_with_and_without_checkpointing() {
    let mut seen = 0;
    for (base, golden, adapters) in models() {
        for name in adapters {
            let path = golden.join(&name).join("train.safetensors");
            if !path.is_file() {
                continue;
            }
            seen += 1;
            let golden_train = Golden::read(&path);
            let (ids, mask) = (golden_train.rows("batch0.input_ids"), golden_train.rows("batch0.attention_mask"));
            let (batch, places) = unpad(&ids, &mask, None);
            let targets = shifted_targets(&golden_train.rows("batch0.labels"), &places);
            let mut results: Vec<(LossSum, Vec<Vec<f32>>)> = Vec::new();
            for checkpointing in [Checkpointing::Off, Checkpointing::Selective, Checkpointing::On] {
                let mut decoder = Decoder::load(&base).unwrap();
                decoder.set_gradient_checkpointing(checkpointing);
                let mut adapter = Adapter::load(&golden.join(format!("{name}-adapter")), &decoder).unwrap();
                adapter.zero_grad();
                let loss = decoder.loss_backward(&batch, &targets, &mut adapter, Noise::default()).unwrap();
                assert!(
                    (loss.mean() - f64::from(golden_train.f32("loss0")[0])).abs() <= LOSS,
                    "{name} loss {}",
                    loss.mean()
                );
                for param in adapter.params() {
                    let want = golden_train.f32(&format!("grad.{}", param.name));
                    let largest = want.iter().fold(0.0f32, |m, g| m.max(g.abs()));
                    let got: Vec<f32> = param.grad.iter().map(|g| g / loss.targets as f32).collect();
                    assert_close(&format!("{name} grad {}", param.name), &got, want, GRADIENT * largest);
                }
                results.push((loss, adapter.params().iter().map(|p| p.grad.clone()).collect()));
            }
            assert!(results[0] == results[1], "{name}: selective checkpointing changes bits");
            assert!(results[0] == results[2], "{name}: checkpointing changes bits");
        }
    }
    assert!(seen > 0, "no golden training files");
}

#[test]
fn golden_adapter_files_are_written_as_peft_writes_them() {
    for (base, golden, adapters) in models() {
        let decoder = Decoder::load(&base).unwrap();
        for name in adapters {
            let source = golden.join(format!("{name}-adapter"));
            let dir = tempfile::tempdir().unwrap();
            Adapter::load(&source, &decoder).unwrap().save(dir.path()).unwrap();
            let same =
                |file: &str| std::fs::read(source.join(file)).unwrap() == std::fs::read(dir.path().join(file)).unwrap();
            assert!(same("adapter_model.safetensors"), "{name}: tensors differ in bytes");
            let text = |dir: &Path| std::fs::read_to_string(dir.join("adapter_config.json")).unwrap();
            // PEFT writes target_modules in set order; the fixtures are sorted.
            assert_eq!(text(dir.path()), text(&source), "{name}");
        }
    }
}

/// Full training: every gradient of tied and untied models, with biases and head norms, equals PyTorch's.
#[test]
fn golden_full_training_gradients() {
    let folder = fixtures().join("full");
    let Ok(entries) = std::fs::read_dir(&folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let golden = Golden::read(&path);
        let mut decoder = Decoder::load(&fixtures().join(path.file_stem().unwrap())).unwrap();
        let mut weights = FullWeights::new(&mut decoder);
        weights.zero_grad();
        let ids = golden.rows("input_ids");
        let ones: Vec<Vec<i64>> = ids.iter().map(|row| vec![1; row.len()]).collect();
        let (batch, places) = unpad(&ids, &ones.iter().map(Vec::as_slice).collect::<Vec<_>>(), None);
        let targets = shifted_targets(&golden.rows("labels"), &places);
        let loss = decoder.loss_backward(&batch, &targets, &mut weights, Noise::default()).unwrap();
        assert!(
            (loss.mean() - f64::from(golden.f32("loss")[0])).abs() <= LOSS,
            "{} loss {}",
            path.display(),
            loss.mean()
        );
        for param in weights.params() {
            let want = golden.f32(&format!("grad.{}", param.name));
            let largest = want.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            let got: Vec<f32> = param.grad.iter().map(|g| g / loss.targets as f32).collect();
            assert_close(&format!("{} grad {}", path.display(), param.name), &got, want, GRADIENT * largest);
        }
        // The decoder computes with what the masters say.
        let before = decoder.loss(&batch, &targets, &NoAdapters).unwrap();
        for param in weights.params_mut() {
            param.value.copy_from_slice(golden.f32(&format!("step.{}", param.name)));
        }
        weights.sync(&mut decoder);
        let after = decoder.loss(&batch, &targets, &NoAdapters).unwrap();
        assert!(after.mean() < before.mean(), "one step of training lowers the loss");
    }
}

//! What a GPU is to run, on candle's CPU device: against PEFT's and transformers' numbers (`tests/fixtures`) and against
//! our own kernels. Tolerances are those of the fixtures' README.

use std::path::{Path, PathBuf};

use candle_core::Device;
use safetensors::SafeTensors;

use super::super::{Adapter, OnDevice, TensorAdapter};
use crate::adapter::AdapterConfig;
use crate::fsx;
use crate::kernels::random::{mix, normal};
use crate::model::composed::{TensorAdapters, TensorDecoder};
use crate::model::{Batch, Config, Decoder, LossSum, NoAdapters, Noise, Targets};

/// Absolute, on logits.
const LOGITS: f32 = 1e-4;
/// Absolute, on losses.
const LOSS: f64 = 1e-5;
/// Relative to the largest element of a tensor.
const GRADIENT: f32 = 5e-5;

fn fixtures() -> PathBuf {
    std::env::var_os("EXPERT_FIXTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), PathBuf::from)
}

/// Folders under `golden/` with their base model's folder, and each one's adapters.
fn models() -> Vec<(PathBuf, PathBuf, Vec<String>)> {
    let mut found = Vec::new();
    for golden in fsx::list_dir(&fixtures().join("golden")).unwrap() {
        let base = fixtures().join(golden.file_name().unwrap());
        if base.join("config.json").is_file() {
            let names = fsx::list_dir(&golden).unwrap();
            let names = names.iter().filter_map(|path| path.file_name()?.to_str()?.strip_suffix("-adapter"));
            found.push((base.clone(), golden.clone(), names.map(str::to_owned).collect()));
        }
    }
    assert!(!found.is_empty());
    found
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let (numbers, _) = tensors.tensor(name).unwrap().data().as_chunks::<4>();
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Vec<Vec<i64>> {
    let view = tensors.tensor(name).unwrap();
    let (numbers, _) = view.data().as_chunks::<8>();
    let all: Vec<i64> = numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    all.chunks(*view.shape().last().unwrap()).map(<[i64]>::to_vec).collect()
}

fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, |m, d| if d > m { d } else { m });
    assert!(worst <= tolerance && got.iter().all(|x| x.is_finite()), "{what}: {worst}, tolerance {tolerance}");
}

/// The unpadded rows, and the targets where there are labels.
fn ragged(ids: &[Vec<i64>], mask: Option<&[Vec<i64>]>, labels: &[Vec<i64>]) -> (Batch, Targets) {
    let (mut batch, mut targets) = (Batch::default(), Targets::default());
    for (row, ids) in ids.iter().enumerate() {
        let length = mask.map_or(ids.len(), |mask| mask[row].iter().filter(|&&m| m == 1).count());
        let start = batch.len();
        batch.push(&ids[..length].iter().map(|&id| id as u32).collect::<Vec<_>>());
        for (i, &label) in labels.get(row).into_iter().flatten().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
            targets.positions.push(start + i - 1);
            targets.labels.push(label as u32);
        }
    }
    (batch, targets)
}

fn check_forward(host: &Decoder, there: &TensorDecoder, adapters: &dyn TensorAdapters, folder: &Path) {
    let what = folder.display();
    let bytes = fsx::read(&folder.join("forward.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let (ids, mask) = (integers(&golden, "right.input_ids"), integers(&golden, "right.attention_mask"));
    let (batch, _) = ragged(&ids, Some(&mask[..]), &[]);
    let logits = there.logits(host, &batch, adapters).unwrap();
    let want = floats(&golden, "right.logits");
    let vocab = host.vocab_size();
    for (row, range) in batch.sequences.iter().map(|sequence| sequence.rows.clone()).enumerate() {
        let from = row * ids[0].len() * vocab;
        let (got, want) = (&logits[range.start * vocab..range.end * vocab], &want[from..from + range.len() * vocab]);
        assert_close(&format!("{what} row {row}"), got, want, LOGITS);
    }

    let bytes = fsx::read(&folder.join("generate.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| integers(&golden, name).concat().into_iter().map(|id| id as u32).collect::<Vec<_>>();
    let (prompt, tokens, want) = (numbers("prompt"), numbers("tokens"), floats(&golden, "step_logits"));
    // The second sequence is one token ahead: a batch must not mix them up.
    let ahead: Vec<u32> = prompt.iter().copied().chain([tokens[0]]).collect();
    let mut caches = vec![there.new_cache(), there.new_cache()];
    let mut logits = there.forward_cached(host, &[&prompt, &ahead], &mut caches, adapters).unwrap();
    for step in 0..tokens.len() - 1 {
        assert_close(&format!("{what} step {step}"), &logits[0], &want[step * vocab..][..vocab], LOGITS);
        assert_close(&format!("{what} ahead of {step}"), &logits[1], &want[(step + 1) * vocab..][..vocab], LOGITS);
        if step + 2 < tokens.len() {
            let next: [&[u32]; 2] = [&tokens[step..=step], &tokens[step + 1..step + 2]];
            logits = there.forward_cached(host, &next, &mut caches, adapters).unwrap();
        }
    }

    let bytes = fsx::read(&folder.join("packed.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let (ids, labels) = (integers(&golden, "input_ids").concat(), integers(&golden, "labels").concat());
    let segments = integers(&golden, "segment_ids").concat();
    let split = segments.iter().position(|segment| *segment != segments[0]).unwrap();
    let two = |x: &[i64]| vec![x[..split].to_vec(), x[split..].to_vec()];
    let (batch, targets) = ragged(&two(&ids), None, &two(&labels));
    assert_close(
        &format!("{what} packed"),
        &there.logits(host, &batch, adapters).unwrap(),
        &floats(&golden, "logits"),
        LOGITS,
    );
    let loss = there.loss(host, &batch, &targets, adapters).unwrap();
    assert!((loss.mean() - f64::from(floats(&golden, "loss")[0])).abs() <= LOSS, "{what} {}", loss.mean());
}

#[test]
fn golden_forward_generate_and_packed_in_tensors() {
    let mut adapted = 0;
    for (base, golden, adapters) in models() {
        let host = Decoder::load(&base).unwrap();
        let there = TensorDecoder::new(&host, &Device::Cpu).unwrap();
        check_forward(&host, &there, &NoAdapters, &golden);
        for name in adapters {
            let adapter = Adapter::load(&golden.join(format!("{name}-adapter")), &host).unwrap();
            check_forward(&host, &there, &TensorAdapter::new(&adapter, &there).unwrap(), &golden.join(&name));
            adapted += 1;
        }
    }
    assert!(adapted > 0);
}

/// Loss and gradients of a batch, in tensors.
fn there(
    host: &Decoder,
    adapter: &mut Adapter,
    (batch, targets): (&Batch, &Targets),
    noise: Noise,
    checkpointing: bool,
) -> (LossSum, Vec<Vec<f32>>) {
    let mut decoder = TensorDecoder::new(host, &Device::Cpu).unwrap();
    decoder.set_gradient_checkpointing(checkpointing);
    let mut copy = TensorAdapter::new(adapter, &decoder).unwrap();
    adapter.zero_grad();
    let loss = decoder.loss_backward(host, batch, targets, &mut copy, noise).unwrap();
    copy.fetch_gradients(adapter).unwrap();
    (loss, adapter.params().iter().map(|param| param.grad.clone()).collect())
}

#[test]
fn golden_gradients_in_tensors_with_and_without_checkpointing() {
    let mut seen = 0;
    for (base, golden, adapters) in models() {
        for name in adapters {
            let Ok(bytes) = fsx::read(&golden.join(&name).join("train.safetensors")) else { continue };
            seen += 1;
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let part = |part: &str| integers(&file, &format!("batch0.{part}"));
            let (batch, targets) = ragged(&part("input_ids"), Some(&part("attention_mask")[..]), &part("labels"));
            let host = Decoder::load(&base).unwrap();
            let mut adapter = Adapter::load(&golden.join(format!("{name}-adapter")), &host).unwrap();
            let both = [false, true].map(|on| there(&host, &mut adapter, (&batch, &targets), Noise::default(), on));
            assert!(both[0] == both[1], "{name}: checkpointing changes bits");
            let (loss, gradients) = &both[0];
            assert!((loss.mean() - f64::from(floats(&file, "loss0")[0])).abs() <= LOSS, "{name} {}", loss.mean());
            for (param, gradient) in adapter.params().iter().zip(gradients) {
                let want = floats(&file, &format!("grad.{}", param.name));
                let largest = want.iter().fold(0f32, |m, g| m.max(g.abs()));
                let got: Vec<f32> = gradient.iter().map(|g| g / loss.targets as f32).collect();
                assert_close(&format!("{name} {}", param.name), &got, &want, GRADIENT * largest);
            }
        }
    }
    assert!(seen > 0);
}

/// A random model with grouped heads, a sliding window, biases or head norms, under a DoRA or LoRA adapter whose B is
/// not zero.
fn random_case(family: &str, dora: bool, dropout: f64) -> (Decoder, Adapter) {
    let config = serde_json::json!({
        "model_type": family, "vocab_size": 61, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
        "max_position_embeddings": 64, "tie_word_embeddings": family != "mistral", "hidden_act": "silu",
        "sliding_window": if family == "mistral" { serde_json::json!(5) } else { serde_json::Value::Null },
    });
    let dir = tempfile::tempdir().unwrap();
    fsx::write_atomic(&dir.path().join("config.json"), config.to_string().as_bytes()).unwrap();
    let host = Decoder::fresh(Config::from_dir(dir.path()).unwrap(), 5, 0.3).unwrap();
    let config = AdapterConfig {
        r: 3,
        lora_alpha: 6.0,
        lora_dropout: dropout,
        use_dora: dora,
        target_modules: ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"].map(String::from).into(),
        ..AdapterConfig::default()
    };
    let mut adapter = Adapter::new(config, &host, 1).unwrap();
    for (key, param) in (100u64..).zip(adapter.params_mut()) {
        let noise = normal(mix(&[key]), param.value.len(), 0.2);
        param.value.iter_mut().zip(noise).for_each(|(value, noise)| *value += noise);
    }
    adapter.refresh(&host).unwrap();
    (host, adapter)
}

#[test]
fn tensors_and_kernels_agree_on_loss_and_gradients_with_dropout_and_windows() {
    let mut batch = Batch::default();
    for (row, length) in [9usize, 1, 17].into_iter().enumerate() {
        let ids: Vec<u32> = (0..length).map(|i| ((i * 7 + row * 11) % 61) as u32).collect();
        batch.push_with_id(&ids, 40 + row as u64);
    }
    let positions = vec![0, 3, 8, 9, 10, 20, 26];
    let labels = positions.iter().map(|p| (*p as u32 * 5 + 2) % 61).collect();
    let targets = Targets { positions, labels };
    let noise = Noise { seed: 9, step: 4 };
    let mut losses = Vec::new();
    for family in ["qwen3", "qwen2", "mistral"] {
        for dora in [true, false] {
            for dropout in [0.0, 0.25] {
                let (host, mut adapter) = random_case(family, dora, dropout);
                let (found, gradients) = there(&host, &mut adapter, (&batch, &targets), noise, false);
                adapter.zero_grad();
                let expected = host.loss_backward(&batch, &targets, &mut adapter, noise).unwrap();
                let what = format!("{family}, dora {dora}, dropout {dropout}");
                assert_eq!((found.targets, found.correct), (expected.targets, expected.correct), "{what}");
                assert!((found.mean() - expected.mean()).abs() <= LOSS, "{what} {} {}", found.mean(), expected.mean());
                for (param, got) in adapter.params().iter().zip(&gradients) {
                    let largest = param.grad.iter().fold(0f32, |m, g| m.max(g.abs()));
                    assert!(largest > 0.0, "{what} {}", param.name);
                    assert_close(&format!("{what} {}", param.name), got, &param.grad, GRADIENT * largest);
                }
                losses.push(found.nll);
            }
        }
    }
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert_eq!(losses.len(), 12, "every case computes something else");
}

/// What a base of bf16 weights answers on a device is what our kernels answer with the same weights, to bf16's precision:
/// products round their operands and results there.
#[test]
fn bf16_weights_stay_close() {
    let (base, golden, _) = models().swap_remove(0);
    let dir = tempfile::tempdir().unwrap();
    crate::adapter::FullWeights::round_to_bf16(&base, dir.path()).unwrap();
    fsx::write_atomic(&dir.path().join("config.json"), &fsx::read(&base.join("config.json")).unwrap()).unwrap();
    let host = Decoder::load(dir.path()).unwrap().with_exact_activations();
    let bytes = fsx::read(&golden.join("packed.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (batch, targets) = ragged(&integers(&file, "input_ids"), None, &integers(&file, "labels"));
    let there = OnDevice::new(&host, None, &Device::Cpu).unwrap();
    let found = there.decoder.loss(&host, &batch, &targets, &NoAdapters).unwrap().mean();
    let expected = host.loss(&batch, &targets, &NoAdapters).unwrap().mean();
    // A bf16 number has 8 bits of mantissa: a relative step of 0.4 % in every product.
    assert!((found / expected - 1.0).abs() < 0.02 && found != expected, "{found} {expected}");
}

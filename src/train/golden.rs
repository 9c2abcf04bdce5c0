//! Five steps of torch's AdamW under transformers' cosine schedule, from golden files made with PEFT
//! (`tests/fixtures/README.md`, "Training recipe"). `EXPERT_FIXTURES` names another folder of fixtures.

use std::path::PathBuf;

use candle_core::Device;
use safetensors::SafeTensors;

use super::model_folder::{ModelFolder, SaveDtype};
use super::optim::{self, Hyper, Optimizer, Rule};
use super::schedule::{Schedule, Shape};
use super::student::{AdapterOn, AdapterThere, Student, WholeModel};
use crate::adapter::{Adapter, FullWeights};
use crate::data::batches::collate;
use crate::data::examples::Examples;
use crate::fsx;
use crate::model::{Batch, Checkpointing, Decoder, LossSum, Noise, Targets};

/// Largest difference of a loss or a gradient norm (measured by the fixtures: 1.4e-6 between attention kernels).
const LOSS: f64 = 1e-5;
/// Largest difference of a parameter (measured: 4.3e-7 between f32 and f64; parameters move about 1e-3).
const PARAMETER: f32 = 5e-6;

fn fixtures() -> PathBuf {
    std::env::var_os("EXPERT_FIXTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), PathBuf::from)
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let data = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    data.data().chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect()
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Vec<Vec<i64>> {
    let view = tensors.tensor(name).unwrap();
    let all: Vec<i64> = view.data().chunks_exact(8).map(|c| i64::from_le_bytes(c.try_into().unwrap())).collect();
    all.chunks(view.shape()[1]).map(<[i64]>::to_vec).collect()
}

/// Batch `k` of the recipe without its padding.
fn batch(tensors: &SafeTensors<'_>, k: usize) -> (Batch, Targets) {
    let part = |name: &str| integers(tensors, &format!("batch{k}.{name}"));
    let (ids, mask, labels) = (part("input_ids"), part("attention_mask"), part("labels"));
    let (mut batch, mut targets) = (Batch::default(), Targets::default());
    for row in 0..ids.len() {
        let length = mask[row].iter().filter(|&&m| m == 1).count();
        let start = batch.len();
        batch.push(&ids[row][..length].iter().map(|&id| id as u32).collect::<Vec<_>>());
        for (i, &label) in labels[row].iter().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
            targets.positions.push(start + i - 1);
            targets.labels.push(label as u32);
        }
    }
    (batch, targets)
}

/// Computed by our kernels, or in tensors on a candle device as a GPU would.
fn five_steps(adapter: &str, device: Option<Device>) {
    let root = fixtures();
    let bytes = fsx::read(&root.join(format!("golden/tiny-qwen3/{adapter}/train.safetensors"))).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let decoder = Decoder::load(&root.join("tiny-qwen3")).unwrap();
    let mut loaded = Adapter::load(&root.join(format!("golden/tiny-qwen3/{adapter}-adapter")), &decoder).unwrap();
    let mut student: Box<dyn Student> = match device {
        None => Box::new(AdapterOn { decoder: &decoder, adapter: &mut loaded }),
        Some(device) => Box::new(AdapterThere::new(&decoder, &mut loaded, Checkpointing::Off, &device).unwrap()),
    };
    let hyper = Hyper { rule: Rule::AdamW, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    let mut optimizer = Optimizer::new(hyper, student.params());
    let schedule = Schedule {
        shape: Shape::Cosine,
        learning_rate: 1e-3,
        warmup_steps: 2,
        total_steps: 5,
        num_cycles: None,
        lr_end: None,
        power: None,
    };
    let (losses, norms) = (floats(&golden, "losses"), floats(&golden, "grad_norms"));
    for step in 0..5 {
        let (batch, targets) = batch(&golden, step);
        student.zero_grad();
        let noise = Noise { seed: 0, step: step as u64 };
        let sum: LossSum = student.loss_backward(&batch, &targets, noise).unwrap();
        optim::scale_grads(student.params_mut(), 1.0 / sum.targets as f32);
        let norm = optim::grad_norm(student.params());
        assert!(
            (sum.mean() - f64::from(losses[step])).abs() < LOSS,
            "loss of step {step}: {} {}",
            sum.mean(),
            losses[step]
        );
        assert!((norm - f64::from(norms[step])).abs() < LOSS * 10.0, "norm of step {step}: {norm} {}", norms[step]);
        optim::clip(student.params_mut(), norm, 1.0);
        optimizer.step(student.params_mut(), schedule.rate(step as u64));
        student.updated().unwrap();
        if [2, 3, 5].contains(&(step + 1)) {
            for param in student.params() {
                let expected = floats(&golden, &format!("step{}.{}", step + 1, param.name));
                assert_eq!(expected.len(), param.value.len());
                let worst = param.value.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < PARAMETER, "{} after step {}: {worst}", param.name, step + 1);
            }
        }
    }
    let (batch, targets) = batch(&golden, 0);
    let after = student.loss(&batch, &targets).unwrap().mean();
    assert!((after - f64::from(floats(&golden, "loss_batch0_after")[0])).abs() < LOSS, "{after}");
}

/// Gradients of these sequences of batch 0 and 1, laid out as `groups` says, each with its id within the step.
fn gradients(groups: &[&[usize]], dropout: f64) -> (LossSum, Vec<Vec<f32>>) {
    let root = fixtures();
    let bytes = fsx::read(&root.join("golden/tiny-qwen3/dora/train.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let decoder = Decoder::load(&root.join("tiny-qwen3")).unwrap();
    let source = fsx::read_text(&root.join("golden/tiny-qwen3/dora-adapter/adapter_config.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let changed = source.replace("\"lora_dropout\": 0.0", &format!("\"lora_dropout\": {dropout}"));
    assert!(dropout == 0.0 || changed != source);
    fsx::write_atomic(&dir.path().join("adapter_config.json"), changed.as_bytes()).unwrap();
    let weights = fsx::read(&root.join("golden/tiny-qwen3/dora-adapter/adapter_model.safetensors")).unwrap();
    fsx::write_atomic(&dir.path().join("adapter_model.safetensors"), &weights).unwrap();
    let mut adapter = Adapter::load(dir.path(), &decoder).unwrap();
    let mut student = AdapterOn { decoder: &decoder, adapter: &mut adapter };
    let rows: Vec<(Vec<u32>, usize)> = (0..2)
        .flat_map(|k| {
            let (batch, targets) = batch(&golden, k);
            let first = |range: &std::ops::Range<usize>| {
                targets.positions.iter().find(|p| range.contains(p)).map_or(1, |p| p + 1 - range.start)
            };
            let rows = batch.sequences.iter().map(|s| (batch.input_ids[s.rows.clone()].to_vec(), first(&s.rows)));
            rows.collect::<Vec<_>>()
        })
        .collect();
    let examples = Examples::from_ids(&rows);
    student.zero_grad();
    let mut sum = LossSum::default();
    let mut first_id = 0;
    for indices in groups {
        let (batch, targets) = collate(&examples, indices, first_id, false);
        first_id += indices.len() as u64;
        sum.add(student.loss_backward(&batch, &targets, Noise { seed: 3, step: 5 }).unwrap());
    }
    (sum, student.params().iter().map(|param| param.grad.clone()).collect())
}

/// Side by side, packed or one after the other: the same loss and gradients, with dropout too.
#[test]
fn golden_batches_add_up_however_they_are_cut() {
    for dropout in [0.0, 0.3] {
        let (together, expected) = gradients(&[&[0, 1, 2, 3]], dropout);
        for groups in [&[&[0usize, 1][..], &[2, 3]][..], &[&[0], &[1], &[2], &[3]], &[&[0, 1, 2], &[3]]] {
            let (apart, found) = gradients(groups, dropout);
            assert_eq!((apart.targets, apart.correct), (together.targets, together.correct));
            assert!((apart.nll - together.nll).abs() < 1e-4, "{} {}", apart.nll, together.nll);
            for (a, b) in found.iter().zip(&expected) {
                let largest = b.iter().fold(0f32, |m, x| m.max(x.abs()));
                let worst = a.iter().zip(b).fold(0f32, |m, (x, y)| m.max((x - y).abs()));
                assert!(worst <= 5e-5 * largest + 1e-9, "{groups:?} dropout {dropout}: {worst} of {largest}");
            }
        }
    }
    let (without, _) = gradients(&[&[0, 1, 2, 3]], 0.0);
    let (with, _) = gradients(&[&[0, 1, 2, 3]], 0.3);
    assert!((without.nll - with.nll).abs() > 1e-2, "dropout changes the loss");
}

#[test]
fn golden_five_steps_of_dora() {
    five_steps("dora", None);
}

#[test]
fn golden_five_steps_in_tensors() {
    for adapter in ["dora", "lora", "rslora", "pattern"] {
        five_steps(adapter, Some(Device::Cpu));
    }
}

#[test]
fn golden_five_steps_of_lora() {
    five_steps("lora", None);
}

#[test]
fn golden_five_steps_of_rank_stabilised_lora() {
    five_steps("rslora", None);
}

#[test]
fn golden_five_steps_of_dora_with_patterns() {
    five_steps("pattern", None);
}

/// One optimiser step on all weights, decay on the matrices only: every parameter of tied and untied models, with biases
/// and head norms, equals PyTorch's.
#[test]
fn golden_one_full_training_step() {
    let folder = fixtures().join("full");
    let mut seen = 0;
    for path in fsx::list_dir(&folder).unwrap_or_default() {
        seen += 1;
        let bytes = fsx::read(&path).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let base = fixtures().join(path.file_stem().unwrap());
        let beside = ModelFolder::read(&base).unwrap();
        let mut decoder = Decoder::load(&base).unwrap();
        let mut weights = FullWeights::new(&mut decoder);
        let mut student = WholeModel::new(&mut decoder, &mut weights, &beside, SaveDtype::Float32);
        let (mut batch, mut targets) = (Batch::default(), Targets::default());
        for (ids, labels) in integers(&golden, "input_ids").iter().zip(integers(&golden, "labels")) {
            let start = batch.len();
            batch.push(&ids.iter().map(|&id| id as u32).collect::<Vec<_>>());
            for (i, &label) in labels.iter().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
                targets.positions.push(start + i - 1);
                targets.labels.push(label as u32);
            }
        }
        let hyper = Hyper { rule: Rule::AdamW, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
        let mut optimizer = Optimizer::new(hyper, student.params());
        student.zero_grad();
        let before = student.loss_backward(&batch, &targets, Noise::default()).unwrap();
        optim::scale_grads(student.params_mut(), 1.0 / before.targets as f32);
        let grads: Vec<Vec<f32>> = student.params().iter().map(|param| param.grad.clone()).collect();
        optimizer.step(student.params_mut(), 1e-3);
        student.updated().unwrap();
        for (param, grad) in student.params().iter().zip(&grads) {
            let expected = floats(&golden, &format!("step.{}", param.name));
            // The first step of Adam is the gradient's sign: where a gradient is rounding noise, either sign is right.
            let largest = grad.iter().fold(0f32, |most, g| most.max(g.abs()));
            for ((found, expected), grad) in param.value.iter().zip(&expected).zip(grad) {
                let clear = grad.abs() > 1e-4 * largest || *grad == 0.0;
                assert!(!clear || (found - expected).abs() < PARAMETER, "{} {found} {expected} {grad}", param.name);
            }
        }
        let after = student.loss(&batch, &targets).unwrap();
        assert!(after.mean() < before.mean() - 0.01, "one step lowers the loss: {} {}", before.mean(), after.mean());
    }
    assert!(seen > 0, "no golden files of full training");
}

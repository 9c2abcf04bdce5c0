use std::collections::BTreeMap;

use super::super::init::{RandomModel, write_random};
use super::*;
use crate::adapter::{Adapter, AdapterConfig};
use crate::model::{Batch, Module, NoAdapters, Noise, Site, Targets};

const LOGITS: f32 = 1e-4;
const GRADIENT: f32 = 5e-5;

fn wide_model() -> RandomModel {
    let wide = RandomModel { hidden_size: 256, intermediate_size: 512, heads: 8, ..RandomModel::default() };
    RandomModel { vocab_size: 600, layers: 2, ..wide }
}

fn load(dir: &Path, form: Form, embeddings: bool, cache: &Path) -> (Decoder, Vec<String>) {
    Decoder::load_quantised(dir, Quantisation { form, embeddings }, cache, &mut |_, _| ()).unwrap()
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    batch.push(&(0..40).map(|i| i * 23 % 590).collect::<Vec<u32>>());
    batch.push(&(0..9).map(|i| i * 57 % 590).collect::<Vec<u32>>());
    batch
}

/// The same numbers held in f32.
fn dequantised(dir: &Path, quantised: &mut Decoder) -> Decoder {
    let mut values = BTreeMap::new();
    quantised.visit_tensors(&mut |name, tensor| {
        values.insert(name.to_owned(), tensor.to_f32());
    });
    let mut decoder = Decoder::load(dir).unwrap();
    decoder.visit_tensors(&mut |name, tensor| tensor.set(&values[name]));
    decoder
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn adapter(decoder: &Decoder) -> Adapter {
    let config = AdapterConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        use_dora: true,
        use_rslora: false,
        target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"].map(str::to_owned).to_vec(),
        rank_pattern: Vec::new(),
        alpha_pattern: Vec::new(),
        base_model_name_or_path: None,
        target_is_pattern: false,
    };
    Adapter::new(config, decoder, 5).unwrap()
}

/// Answers and cached decoding of a quantised model are those of f32 on its dequantised weights; so are the loss and the
/// gradients of an adapter, whose magnitude is the row norm of the dequantised weight.
#[test]
fn a_quantised_model_is_f32_on_its_dequantised_weights() {
    let dir = tempfile::tempdir().unwrap();
    let (model, cache) = (dir.path().join("model"), dir.path().join("cache"));
    write_random(&model, &wide_model()).unwrap();
    let stored = Decoder::load(&model).unwrap().logits(&batch(), &NoAdapters).unwrap();
    for (form, embeddings) in [(Form::Q8_0, true), (Form::Q4K, false), (Form::Q4K, true), (Form::Nf4, true)] {
        let (mut quantised, notes) = load(&model, form, embeddings, &cache);
        assert!(notes.is_empty(), "{notes:?}");
        let mut forms = BTreeMap::new();
        quantised.visit_tensors(&mut |name, tensor| {
            if let TensorMut::Matrix(weight) = tensor {
                forms.insert(name.to_owned(), weight.form());
            }
        });
        assert_eq!(forms["model.embed_tokens.weight"], embeddings.then_some(form));
        assert_eq!(forms["model.layers.1.mlp.down_proj.weight"], Some(form));
        let mut quantised = quantised.with_exact_activations();
        let wide = dequantised(&model, &mut quantised);
        let logits = quantised.logits(&batch(), &NoAdapters).unwrap();
        let want = wide.logits(&batch(), &NoAdapters).unwrap();
        assert!(worst(&logits, &want) <= LOGITS, "{form:?}: {}", worst(&logits, &want));
        assert!(worst(&logits, &stored) > 10.0 * LOGITS, "{form:?}: nothing was quantised");
        let decode = |decoder: &Decoder| {
            let mut caches = vec![decoder.new_cache(), decoder.new_cache()];
            decoder.forward_cached(&[&[1, 2, 3], &[9]], &mut caches, &NoAdapters).unwrap();
            decoder.forward_cached(&[&[4], &[8]], &mut caches, &NoAdapters).unwrap().concat()
        };
        let difference = worst(&decode(&quantised), &decode(&wide));
        assert!(difference <= LOGITS, "{form:?} decoding: {difference}");

        let (mut own, mut other) = (adapter(&quantised), adapter(&wide));
        let site = Site { layer: 1, module: Module::OProj };
        let norms = wide.linear(site).weight().matrix().row_norms_squared();
        let magnitude = own.params().iter().find(|p| p.name.contains("layers.1.self_attn.o_proj.lora_mag")).unwrap();
        assert!(magnitude.value.iter().zip(norms).all(|(m, n)| f64::from(*m) == f64::from(n.sqrt() as f32)));
        let targets = Targets { positions: vec![3, 20, 38, 41, 47], labels: vec![7, 300, 1, 599, 2] };
        let step = |decoder: &Decoder, adapter: &mut Adapter| {
            for param in adapter.params_mut().iter_mut().filter(|p| p.name.contains("lora_B")) {
                param.value.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 13) as f32 * 0.004 - 0.02);
            }
            adapter.refresh(decoder).unwrap();
            adapter.zero_grad();
            decoder.loss_backward(&batch(), &targets, adapter, Noise::default()).unwrap().mean()
        };
        let (loss, want) = (step(&quantised, &mut own), step(&wide, &mut other));
        assert!((loss - want).abs() < 1e-5, "{form:?}: loss {loss}, {want} in f32");
        for (own, other) in own.params().iter().zip(other.params()) {
            let largest = other.grad.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            assert!(largest > 0.0 && worst(&own.grad, &other.grad) <= GRADIENT * largest, "{form:?} {}", own.name);
        }
    }
}

/// The bf16 tiles of training round activations and dequantised weights, nothing else.
#[test]
fn training_tiles_follow_f32_within_bf16() {
    let dir = tempfile::tempdir().unwrap();
    let (model, cache) = (dir.path().join("model"), dir.path().join("cache"));
    write_random(&model, &wide_model()).unwrap();
    for form in [Form::Q8_0, Form::Q4K, Form::Nf4] {
        let (mut quantised, _) = load(&model, form, true, &cache);
        let wide = dequantised(&model, &mut quantised);
        let targets = Targets { positions: vec![3, 20, 38, 41, 47], labels: vec![7, 300, 1, 599, 2] };
        let loss = quantised.loss(&batch(), &targets, &NoAdapters).unwrap().mean();
        let want = wide.loss(&batch(), &targets, &NoAdapters).unwrap().mean();
        // 2⁻⁹ a rounding, through two layers of random weights.
        assert!((loss - want).abs() < 0.02 * want, "{form:?}: loss {loss}, {want} in f32");
    }
}

#[test]
fn widths_that_a_block_does_not_divide_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (model, cache) = (dir.path().join("model"), dir.path().join("cache"));
    write_random(&model, &RandomModel { intermediate_size: 168, ..RandomModel::default() }).unwrap();
    let (mut decoder, notes) = load(&model, Form::Q4K, false, &cache);
    assert_eq!(
        notes,
        [
            "int4: 256 does not divide the width 64 of q_proj, k_proj, v_proj, gate_proj, up_proj: held as int8",
            "int4: 256 does not divide the width 128 of o_proj: held as int8",
            "int4: 256 does not divide the width 168 of down_proj: held as it is stored",
        ]
    );
    decoder.visit_tensors(&mut |name, tensor| {
        if let TensorMut::Matrix(weight) = tensor {
            let stored = name.contains("down_proj") || name.contains("embed");
            assert_eq!(weight.form(), (!stored).then_some(Form::Q8_0), "{name}");
        }
    });
}

#[test]
fn the_file_is_made_once_and_again_when_it_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let (model, cache) = (dir.path().join("model"), dir.path().join("cache"));
    write_random(&model, &RandomModel::default()).unwrap();
    let mut made = 0;
    let how = Quantisation { form: Form::Nf4, embeddings: false };
    let mut logits = || {
        let (decoder, _) = Decoder::load_quantised(&model, how, &cache, &mut |_, _| made += 1).unwrap();
        (decoder.logits(&batch(), &NoAdapters).unwrap(), std::mem::take(&mut made))
    };
    let (first, weights) = logits();
    assert_eq!(weights, 21);
    assert_eq!(logits(), (first.clone(), 0), "the second time it is mapped");
    let files = fsx::list_dir(&cache.join("quantised")).unwrap();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let bytes = fsx::read(file).unwrap();
    fsx::write_atomic(file, &bytes[..bytes.len() - 64]).unwrap();
    assert_eq!(logits(), (first.clone(), 21), "one that is cut is made again");
    assert_eq!(fsx::read(file).unwrap(), bytes, "to the same bytes");
    // Another model of the same shapes gets its own file.
    write_random(&model, &RandomModel { seed: 1, ..RandomModel::default() }).unwrap();
    let (second, weights) = logits();
    assert!(weights == 21 && second != first);
}

#[test]
fn the_manifests_words() {
    let form = |name| Quantisation::from_manifest(name, true).map(|how| (how.form, how.embeddings, how.name()));
    assert_eq!(form(Some("int8")), Some((Form::Q8_0, true, "int8")));
    assert_eq!(form(Some("int4")), Some((Form::Q4K, true, "int4")));
    assert_eq!(form(Some("nf4")), Some((Form::Nf4, true, "nf4")));
    for stored in [None, Some("none"), Some("bf16"), Some("fp16"), Some("fp32")] {
        assert_eq!(form(stored), None);
    }
}

//! `bench`: how long a query takes on this machine, and what for: start-up, prompt, answer, grammar and guard, memory.
//! Also the models of random numbers that speed is compared on.

mod along;
mod measures;
mod rows;

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::answering::weights::{load_decoder, quantisation};
use super::answering::{Found, Loaded, find};
use super::args::bench::Args;
use super::args::chat::SamplingArgs;
use super::command_line::device;
use super::ui::{Table, Ui};
use crate::adapter::{Adapter, OnDevice};
use crate::data::tokenizer::{self, TextTokenizer};
use crate::error::{Problem, Result};
use crate::generate::decode::{Adapted, NextLogits as _};
use crate::kernels::random::mix;
use crate::model::init::{RandomModel, write_random};
use along::Along;
use measures::{Measures, Memory};

/// Tokens of the prompt that start-up is measured with.
const FIRST_PROMPT: usize = 32;

/// Ids of the tokenizers that random models get: fewer than the rows of their embeddings, as in real models.
const TOKENIZER_SIZE: usize = 2000;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    if let (Some(shape), Some(dir)) = (&args.make_model, &args.model.base_model) {
        return make_model(shape, Path::new(dir), ui);
    }
    let device = device(&args.model.device, 0)?;
    let begun = Instant::now();
    let Found { name, manifest, adapter_dir, base_dir, .. } = find(&args.model)?;
    let (manifest, entry) = manifest.as_ref().map(|(manifest, entry)| (manifest, entry)).unzip();
    let quantisation = quantisation(&args.model, manifest, entry)?;
    let mut decoder = load_decoder(&base_dir, quantisation, ui)?;
    if args.model.exact {
        decoder = decoder.with_exact_activations();
    }
    let weight_bytes = decoder.weight_bytes();
    let adapter = adapter_dir.as_deref().map(|dir| Adapter::load(dir, &decoder)).transpose()?;
    let there = device.map(|device| OnDevice::new(&decoder, adapter.as_ref(), &device)).transpose()?;
    // A folder of weights alone can be measured too: prompts are random ids either way.
    let has_tokenizer = base_dir.join("tokenizer.json").is_file();
    let tokenizer = has_tokenizer.then(|| TextTokenizer::load(&base_dir)).transpose()?;
    let model = Adapted { decoder: &decoder, adapter: adapter.as_ref(), prompts: None, there: there.as_ref() };
    let length = (args.prompt_tokens + args.answer_tokens) as usize;
    if length > model.max_positions() {
        return Err(Problem::usage(format!(
            "a prompt of {} and an answer of {} tokens are more than the model's {}",
            args.prompt_tokens,
            args.answer_tokens,
            model.max_positions()
        ))
        .hint("give smaller --prompt-tokens or --answer-tokens")
        .into());
    }
    let ids = |seed: u64, count: usize| -> Vec<u32> {
        (0..count as u64).map(|i| (mix(&[seed, i]) % decoder.vocab_size() as u64) as u32).collect()
    };
    let load_s = begun.elapsed().as_secs_f64();
    let first = ids(u64::MAX, FIRST_PROMPT.min(length));
    model.forward(&[&first], &mut [model.new_cache()])?;
    let mut measures = Measures { load_s, first_token_s: begun.elapsed().as_secs_f64(), ..Measures::default() };

    let mut bar = ui.progress(args.iterations.into(), "query");
    for iteration in 0..args.iterations {
        query(&model, &ids(iteration.into(), args.prompt_tokens as usize), args, &mut measures)?;
        bar.update(u64::from(iteration) + 1, "");
    }
    bar.finish();
    let along = args.along.as_deref().map(|rows| along(args, rows, ui)).transpose()?;
    let memory = Memory::now();
    if ui.is_json() {
        let mut body = measures.to_json(args.detailed);
        body["name"] = json!(name);
        body["base_model"] = json!(base_dir);
        body["quantization"] = json!(quantisation.map(|how| how.name()));
        body["adapter"] = json!(adapter.is_some());
        body["exact"] = json!(args.model.exact);
        body["along"] = along.as_ref().map(Along::to_json).into();
        body["tokenizer"] = json!(tokenizer.is_some());
        body["threads"] = json!(rayon::current_num_threads());
        body["iterations"] = json!(args.iterations);
        body["prompt_tokens"] = json!(args.prompt_tokens);
        body["answer_tokens"] = json!(args.answer_tokens);
        body["weight_bytes"] = json!(weight_bytes);
        body["peak_rss_mib"] = json!(memory.peak_mib);
        return ui.json("expert-cli.bench/1", body);
    }
    let held = quantisation.map_or("as stored", |how| how.name());
    ui.note(&format!(
        "{name}: {} queries of {} + {} tokens, {} threads, weights {held}, {} MiB",
        args.iterations,
        args.prompt_tokens,
        args.answer_tokens,
        rayon::current_num_threads(),
        weight_bytes >> 20
    ));
    let mut table = Table::new(["", "median", "unit"]);
    for (what, value, unit) in measures.rows(weight_bytes) {
        table.row([what.to_owned(), value, unit.to_owned()]);
    }
    if let Some(peak) = memory.peak_mib {
        table.row(["peak memory".to_owned(), format!("{peak:.0}"), "MiB".to_owned()]);
    }
    ui.data(&table.render())?;
    if let Some(along) = along {
        ui.data(&along.table().render())?;
    }
    if args.detailed {
        ui.data(&measures.percentiles().render())?;
    }
    ui.next("expert-cli chat --help");
    Ok(())
}

/// What grammar and guard cost along the answers of a file.
fn along(args: &Args, rows: &Path, ui: &Ui) -> Result<Along> {
    let sampling = SamplingArgs { grammar: args.grammar.clone(), ..SamplingArgs::default() };
    let loaded = Loaded::new(&args.model, &sampling, None, ui)?;
    along::measure(&loaded, rows, args.iterations as usize, ui)
}

/// One query, its parts timed: the prompt in whole, then token by token.
fn query(model: &Adapted<'_>, prompt: &[u32], args: &Args, measures: &mut Measures) -> Result<()> {
    let mut caches = [model.new_cache()];
    let begun = Instant::now();
    let mut logits = model.forward(&[prompt], &mut caches)?;
    let prefill = begun.elapsed().as_secs_f64();
    // The first token comes out of the prompt.
    for _ in 1..args.answer_tokens {
        let best = logits[0].iter().enumerate().fold(0, |best, (id, x)| if *x > logits[0][best] { id } else { best });
        logits = model.forward(&[&[best as u32]], &mut caches)?;
    }
    let all = begun.elapsed().as_secs_f64();
    measures.prefill.push(prompt.len() as f64 / prefill);
    measures.decode.push(f64::from(args.answer_tokens - 1) / (all - prefill));
    measures.latency.push(all);
    Ok(())
}

/// The models of `docs/LOG.md`'s tables, from random numbers.
fn make_model(shape: &str, dir: &Path, ui: &Ui) -> Result<()> {
    if dir.join("config.json").exists() {
        return Err(Problem::usage(format!("{} holds a model already", dir.display()))
            .hint("name a new folder with --base-model")
            .into());
    }
    let model = match shape {
        "30m" => RandomModel {
            vocab_size: 32_768,
            hidden_size: 256,
            intermediate_size: 768,
            layers: 8,
            heads: 8,
            kv_heads: 4,
            head_dim: 64,
            max_positions: 4096,
            ..RandomModel::default()
        },
        _ => RandomModel {
            vocab_size: 151_936,
            hidden_size: 1024,
            intermediate_size: 3072,
            layers: 28,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            max_positions: 40_960,
            bf16: true,
            ..RandomModel::default()
        },
    };
    let text = rows::json_lines();
    tokenizer::write_new(dir, text.lines(), TOKENIZER_SIZE)?;
    write_random(dir, &model)?;
    if ui.is_json() {
        return ui.json("expert-cli.bench/1", json!({"made": dir, "shape": shape, "parameters": model.parameters()}));
    }
    ui.data(&format!("{} holds {} random parameters", dir.display(), model.parameters()))?;
    ui.next(&format!("expert-cli bench --base-model {}", dir.display()));
    Ok(())
}

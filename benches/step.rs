//! A training step of four layers of the 0.6b shape (bf16, 256 tokens, every one a target) with LoRA and with DoRA:
//! `cargo bench --profile dev --bench step`. The number is thousands of tokens a second of this cut-down model; what
//! counts is the ratio.

mod race;

use expert_cli::adapter::{Adapter, AdapterConfig};
use expert_cli::model::init::{RandomModel, write_random};
use expert_cli::model::{Batch, Decoder, Noise, Targets};
use race::{contestant, race};

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let model = RandomModel {
        vocab_size: 8192,
        hidden_size: 1024,
        intermediate_size: 3072,
        layers: 4,
        heads: 16,
        kv_heads: 8,
        head_dim: 128,
        bf16: true,
        ..RandomModel::default()
    };
    write_random(dir.path(), &model)?;
    let decoder = Decoder::load(dir.path())?;
    let adapter = |dora: bool| {
        let config = serde_json::json!({
            "peft_type": "LORA", "r": 12, "lora_alpha": 24, "lora_dropout": 0.0, "use_dora": dora,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
        });
        Adapter::new(AdapterConfig::from_value(&config)?, &decoder, 1)
    };
    let (mut lora, mut dora) = (adapter(false)?, adapter(true)?);
    lora.zero_grad();
    dora.zero_grad();
    let tokens = 256;
    let ids: Vec<u32> = (0..tokens as u32).map(|i| i * 37 % 8192).collect();
    let mut batch = Batch::default();
    batch.push(&ids);
    let targets = Targets { positions: (0..tokens).collect(), labels: ids };
    let noise = Noise { seed: 1, step: 0 };
    let step = |adapter: &mut Adapter| {
        let loss = adapter.refresh(&decoder).and_then(|()| decoder.loss_backward(&batch, &targets, adapter, noise));
        assert!(loss.is_ok_and(|loss| loss.nll.is_finite()));
    };
    let work = tokens as f64 * 1e6;
    let mut all = [contestant("LoRA", work, || step(&mut lora)), contestant("DoRA", work, || step(&mut dora))];
    race("four layers of the 0.6b shape", "thousand tokens/s", 9, &mut all)?;
    Ok(())
}

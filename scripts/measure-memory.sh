#!/bin/sh
# Compares the memory that `train --dry-run` expects with the peak of the run itself (VmHWM), over configurations of
# dtype x checkpointing x packing. Needs a built program; writes nothing outside a temporary folder.
#
#     scripts/measure-memory.sh [PATH_OF_EXPERT_CLI]      (default: target/debug/expert-cli)
#
# Ends with 1 if an estimate is further than 15 % from the measurement.
set -eu
program=$(realpath "${1:-target/debug/expert-cli}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export EXPERT_HOME="$dir/home"
cd "$dir"
mkdir -p shapes expert/datasets/processed

# The 30m shape: hidden 256, 8 layers, MLP 768, 8 query and 4 key heads of 64.
cat > shapes/config.json <<'JSON'
{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 32768, "hidden_size": 256,
 "intermediate_size": 768, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
 "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 2048, "tie_word_embeddings": true,
 "hidden_act": "silu", "attention_bias": false}
JSON

# Rows of different lengths.
awk 'BEGIN { for (i = 0; i < 240; i++) {
  columns = ""; n = 4 + (i * 7) % 60
  for (j = 0; j < n; j++) columns = columns sprintf("%scolumn_%d_%d INTEGER", j ? ", " : "", i, j)
  printf "{\"question\": \"How many rows has table %d above %d?\", \"context\": \"CREATE TABLE t%d (%s)\", ", i, i * 3, i, columns
  printf "\"answer\": \"SELECT COUNT(*) FROM t%d WHERE column_%d_0 > %d\"}\n", i, i, i * 3
} }' > expert/datasets/processed/train.jsonl

cat > expert/manifest.json <<'JSON'
{"name": "expert-memory", "version": "0.1.0", "schema_version": "2.0", "description": "A measurement", "license": "MIT",
 "capabilities": ["database:sqlite"], "base_models": [{"name": "../shapes", "adapters": [{"type": "dora",
 "target_modules": ["q_proj"], "r": 12, "alpha": 24}]}], "routing": {"keywords": ["sql"]},
 "constraints": {"load_order": 1, "incompatible_with": [], "requires": []},
 "training": {"dataset": {"path": "datasets/processed"}, "config": {"method": "sft", "adapter_type": "dora", "rank": 12,
  "alpha": 24, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"], "epochs": 1,
  "learning_rate": 1e-4, "batch_size": 4, "gradient_accumulation_steps": 1, "lr_scheduler": "constant", "dropout": 0,
  "save_strategy": "no", "evaluation_strategy": "no", "max_seq_length": 1024, "train_on": "all"}}}
JSON

set_() { printf -- '--set training.config.%s ' "$@"; }
value() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" | head -1; }

# Base models in both dtypes, of random numbers, with a tokenizer of these rows.
for dtype in float32 bfloat16; do
  # shellcheck disable=SC2046
  "$program" train --quiet --manifest expert --output "base-$dtype" --new-tokenizer 4096 --max-steps 1 \
    $(set_ adapter_type=full save_dtype=$dtype batch_size=1) > /dev/null
done

printf '%-58s %10s %10s %7s\n' configuration expected peak error
worst=0
measure() {
  name=$1; base=$2; shift 2
  # shellcheck disable=SC2046
  settings=$(set_ group_by_length=true "$@")
  # shellcheck disable=SC2086
  expected=$("$program" train --quiet --json --manifest expert --base-model "$base" --dry-run $settings | value total)
  # The longest rows come first with group_by_length, so a few steps see the largest batch.
  # shellcheck disable=SC2086
  peak=$("$program" train --quiet --json --manifest expert --base-model "$base" --output run --restart --max-steps 3 \
    $settings | value peak_rss_mib)
  error=$(awk "BEGIN { printf \"%.1f\", ($expected / $peak - 1) * 100 }")
  printf '%-58s %6.0f MiB %6.0f MiB %6s %%\n' "$name" "$expected" "$peak" "$error"
  worst=$(awk -v e="$error" -v w="$worst" 'BEGIN { if (e < 0) e = -e; print (e > w) ? e : w }')
}
f32=base-float32/shapes/final
bf16=base-bfloat16/shapes/final
measure "DoRA f32, off, no packing" $f32 gradient_checkpointing=off
measure "DoRA bf16, off, packed" $bf16 gradient_checkpointing=off packing=true
measure "DoRA f32, selective, packed, dropout" $f32 gradient_checkpointing=selective packing=true dropout=0.1
measure "DoRA bf16, on, no packing, batch 8" $bf16 gradient_checkpointing=on batch_size=8
measure "LoRA bf16, on, packed" $bf16 adapter_type=lora gradient_checkpointing=on packing=true
measure "full f32, off, packed, 8-bit moments" $f32 adapter_type=full packing=true optim=adamw_bnb_8bit
measure "full f32, on, no packing, batch 1" $f32 adapter_type=full gradient_checkpointing=on batch_size=1
echo "largest error $worst %"
awk "BEGIN { exit !($worst <= 15) }"

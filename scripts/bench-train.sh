#!/usr/bin/env bash
# Training speed and memory beside PEFT: the same random models, the same batches in shape, two threads each, by turns.
#
#   PYTHON=/path/to/python scripts/bench-train.sh [FOLDER]
#
# PYTHON needs torch, transformers and peft. FOLDER (default: a temporary one) keeps the models between runs: 30m
# (0.07 GiB) and 0.6b-shape (1.1 GiB). One table comes out: tokens a second and peak resident memory, median of ROUNDS,
# ours beside PEFT's and the ratio. ROUNDS (3), STEPS (6; the first two do not count), ONLY (a regular expression over
# the table's first column); EXPERT_CLI names another build than `cargo build`'s. Every token is a target; dropout 0.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
ROUNDS=${ROUNDS:-3}
STEPS=${STEPS:-6}
ONLY=${ONLY:-.}
export RAYON_NUM_THREADS=${THREADS:-2} OMP_NUM_THREADS=${THREADS:-2} HF_HUB_OFFLINE=1

folder=${1:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
export EXPERT_HOME="$folder/home"

if [ -z "${EXPERT_CLI:-}" ]; then
    cargo build --quiet
    EXPERT_CLI=target/debug/expert-cli
fi
for shape in 30m 0.6b-shape; do
    [ -f "$folder/$shape/config.json" ] ||
        "$EXPERT_CLI" bench --make-model "$shape" --base-model "$folder/$shape" --quiet >"$folder/$shape.log"
done
EXPERT_CLI=$EXPERT_CLI "$PYTHON" scripts/bench-train.py "$folder" "$ROUNDS" "$STEPS" "$ONLY"

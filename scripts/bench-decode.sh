#!/usr/bin/env bash
# Prompts and answers beside llama.cpp: the same random weights, the same weight types, two threads each, by turns.
#
#   PYTHON=/path/to/python scripts/bench-decode.sh [FOLDER]
#
# PYTHON needs numpy, gguf and llama-cpp-python (built from its source package, so that it is made for this
# processor). FOLDER (default: a temporary one) keeps the models between runs: 30m (0.15 GiB with its GGUF files) and
# 0.6b-shape (4 GiB with its own and what we quantise). One table comes out: tokens a second, median of ROUNDS, ours beside llama.cpp's and the ratio.
# ROUNDS (3), PROMPT (128 tokens), ANSWER (48), QUERIES a round (3), ONLY (a regular expression over the table's first
# column), THREADS (2); EXPERT_CLI names another build than `cargo build`'s.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
export ROUNDS=${ROUNDS:-3} PROMPT=${PROMPT:-128} ANSWER=${ANSWER:-48} QUERIES=${QUERIES:-3} ONLY=${ONLY:-.}
export RAYON_NUM_THREADS=${THREADS:-2}

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
EXPERT_CLI=$EXPERT_CLI "$PYTHON" scripts/bench-decode.py "$folder"

#!/usr/bin/env bash
# Trains a tiny expert, packages and installs it, and compares `chat` with PEFT in Python on the extracted package:
# the same prompt ids, logits within 1e-4, the same first 16 greedy tokens; and the adapter must move the logits.
# Needs a Python with torch, transformers and peft: PYTHON=… scripts/check-peft.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
  echo "skipped: $python has no torch, transformers and peft (set PYTHON)"
  exit 0
fi
cargo build --quiet
cli=$PWD/target/debug/expert-cli
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export EXPERT_HOME=$work/home HF_HUB_OFFLINE=1

# The quickstart makes the base model, the data, the adapter and the package.
"$cli" quickstart --dir "$work/run" --steps "${STEPS:-60}" --quiet >/dev/null
package=$(ls "$work"/run/*.expert)
(cd "$work/run" && sha256sum -c "$(basename "$package").sha256")
mkdir "$work/package"
tar -xzf "$package" -C "$work/package"

cat >"$work/ask.sql" <<'SQL'
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
SQL
"$cli" chat --experts quickstart --base-model "$work/run/base" --context "$work/ask.sql" --prompt "How many customers are there?" \
  --temperature 0 --max-tokens 16 --validation none --logits --json >"$work/chat.json" || true
"$python" scripts/check-peft.py "$work/run/base" "$work/package" "$work/chat.json"

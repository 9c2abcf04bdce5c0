#!/usr/bin/env bash
# Judges conversion by results: Spider's gold queries and a file of cases, run on a PostgreSQL that the tests start
# themselves (a temporary folder, a unix socket). Without PostgreSQL the tests say "skipped".
#
#   scripts/check-conversion.sh SPIDER_FOLDER [CASES.json]
#
# SPIDER_FOLDER holds sqlite_synthetic_rows.tar.gz, sqlite_gold_exec.jsonl.gz and schemas_create_table.json.gz.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -d "$1" ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
fi
EXPERT_SPIDER=$(realpath "$1")
export EXPERT_SPIDER
if [ $# -gt 1 ]; then
    EXPERT_CONVERSION_CASES=$(realpath "$2")
    export EXPERT_CONVERSION_CASES
fi
cd "$(dirname "$0")/.."
cargo test --test it conver -- --include-ignored --nocapture

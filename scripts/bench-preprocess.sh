#!/usr/bin/env bash
# Rows a second of `preprocess` against the Python pipeline that it replaces (sqlglot, compiled where it is installed so),
# and its peak memory over many rows.
#
#   scripts/bench-preprocess.sh NEW.jsonl REPEATING.jsonl BASELINE.py [PYTHON]
#   scripts/bench-preprocess.sh --memory ROWS NEW.jsonl
#
# NEW and REPEATING are rows {context, question, answer} or {sql_context, sql_prompt, sql} (also .gz). Of NEW one row of
# each schema is taken, so that every schema is new; REPEATING is repeated with other questions until it is as long.
# BASELINE.py reads and writes JSON lines: `PYTHON BASELINE.py IN OUT`. Both run three times, one after the other; the
# medians count. CPU seconds are shown beside the wall's: on a busy machine they are the fairer measure. With --memory
# NEW is repeated with other questions up to ROWS rows, and the peak of the resident memory is shown.
#
# EXPERT names the program (target/debug/expert-cli); nothing is left behind.
set -euo pipefail
usage() {
    sed -n '2,15s/^# \{0,1\}//p' "$0"
    exit 2
}
[ $# -ge 3 ] || usage
expert=$(realpath "${EXPERT:-$(dirname "$0")/../target/debug/expert-cli}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# rows MODE COUNT FILE > rows
rows() {
    python3 - "$@" <<'PY'
import gzip, json, sys
mode, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
    rows = [json.loads(line) for line in file if line.strip()]
context = lambda row: row.get("context") or row.get("sql_context") or ""
if mode == "new":
    first = {}
    for row in rows:
        first.setdefault(context(row), row)
    rows = list(first.values())
    count = count or len(rows)
key = "question" if "question" in rows[0] else "sql_prompt"
for at in range(count):
    row = dict(rows[at % len(rows)])
    if at >= len(rows):
        row[key] = f"{row[key]} ({at // len(rows)})"
    sys.stdout.write(json.dumps(row) + "\n")
PY
}

# run NAME COMMAND…: wall and CPU seconds, peak MiB
run() {
    local name=$1
    shift
    python3 - "$name" "$@" <<'PY'
import os, resource, subprocess, sys, time
begun = time.time()
done = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
if done.returncode:
    sys.exit(f"{sys.argv[1]} failed: {done.stderr.decode()[-400:]}")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.time() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
PY
}

if [ "$1" = --memory ]; then
    rows repeat "$2" "$3" > "$folder/many.jsonl"
    read -r wall cpu peak < <(run preprocess "$expert" preprocess --dataset "$folder/many.jsonl" --output "$folder/out" --quiet)
    printf '%s rows: %.1f s wall, %.1f s CPU, %s MiB at the peak\n' "$2" "$wall" "$cpu" "$peak"
    exit
fi
baseline=$(realpath "$3")
python=${4:-python3}
rows new 0 "$1" > "$folder/new.jsonl"
rows repeat "$(wc -l < "$folder/new.jsonl")" "$2" > "$folder/repeating.jsonl"
for kind in new repeating; do
    count=$(wc -l < "$folder/$kind.jsonl")
    for round in 1 2 3; do
        run preprocess "$expert" preprocess --dataset "$folder/$kind.jsonl" --output "$folder/out" --quiet >> "$folder/$kind.ours"
        run baseline "$python" "$baseline" "$folder/$kind.jsonl" "$folder/out.jsonl" >> "$folder/$kind.theirs"
    done
    python3 - "$kind" "$count" "$folder/$kind.ours" "$folder/$kind.theirs" <<'PY'
import statistics, sys
kind, count = sys.argv[1], int(sys.argv[2])
median = lambda path, at: statistics.median(float(line.split()[at]) for line in open(path))
wall, cpu, theirs_wall, theirs_cpu = (median(path, at) for path in sys.argv[3:5] for at in (0, 1))
print(f"{kind}: {count} rows; ours {count / wall:.0f} rows/s, {count / cpu:.0f} a CPU second; "
      f"theirs {count / theirs_wall:.0f} rows/s, {count / theirs_cpu:.0f} a CPU second; "
      f"{theirs_wall / wall:.1f} times as fast, {2 * theirs_cpu / cpu:.1f} with two whole cores")
PY
done

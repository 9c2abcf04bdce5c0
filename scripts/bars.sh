#!/usr/bin/env bash
# Measures what this project promises and prints one table: measured, bar, stretch, and whether the bar is reached.
#
#   SPIDER=FOLDER [BASE=DIR] [EXPERT=DIR|NAME] scripts/bars.sh [FOLDER]
#
# FOLDER (default: a temporary one) keeps everything between runs; what is there is not trained again.
# SPIDER     folder with train.json.gz, tables.json.gz and sqlite_synthetic_rows.tar.gz; without it the ten schemas are left out
# BASE       the base model (default: the embedded one)
# EXPERT     adapter folder or installed expert that is asked the scenarios (default: the base model alone)
# MANIFEST   manifest that the ten experts are trained by (default: experts/expert-sql/manifest.json, else a starter)
# MODEL      its base model, where it has several (of the first manifest: tiny-sql)
# ONLY       regular expression over the names of the rows: quickstart rate schemas human scenarios-en scenarios-pt complex
#            valid vote latency official
# MINUTES    training time of each of the ten (3) · STEPS  or steps, where the machine is not quiet enough for minutes
# COUNT      pairs synthesized for each (4000) · SCHEMAS  which of the ten
# BASELINE   what the ten experts stand beside (base; empty: nothing, which saves half of the time of asking)
# TEMPERATURE  of the eight candidates (0.7) · TRAIN, ASK  further flags for `train` and `eval` · EXPERT_CLI  another build
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
root=$PWD

ONLY=${ONLY:-.}
MINUTES=${MINUTES:-3}
trained="${STEPS:-$MINUTES} $([ -n "${STEPS:-}" ] && echo steps || echo min)"
COUNT=${COUNT:-4000}
baseline=()
[ -z "${BASELINE-base}" ] || baseline=(--baseline "${BASELINE-base}")
TEMPERATURE=${TEMPERATURE:-0.7}
SCHEMAS=${SCHEMAS:-customers_and_invoices department_store store_1 hospital_1 college_2 wine_1 apartment_rentals hr_1 race_track election}
read -r -a TRAIN <<<"${TRAIN:-}"
read -r -a ASK <<<"${ASK:-}"
[ -n "${MANIFEST:-}${BASE:-}" ] || MODEL=${MODEL:-tiny-sql}
MANIFEST=${MANIFEST:-experts/expert-sql/manifest.json}
[ -f "$MANIFEST" ] || MANIFEST=
base=()
[ -z "${BASE:-}" ] || base=(--base-model "$(realpath "$BASE")")

folder=${1:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
folder=$(realpath "$folder")

if [ -z "${EXPERT_CLI:-}" ]; then
    cargo build --quiet
    EXPERT_CLI=target/debug/expert-cli
fi
cli=$(realpath "$EXPERT_CLI")

wanted() { [[ $1 =~ $ONLY ]]; }

# Value at a path such as execution.right of a JSON object printed with two spaces a level; nothing where it is not there.
value() {
    awk -v want="$2" '
        match($0, /^ *"[^"]*":/) {
            depth = (index($0, "\"") - 1) / 2
            key = substr($0, RSTART, RLENGTH); gsub(/^ *"|":$/, "", key)
            path[depth] = key
            full = path[1]; for (i = 2; i <= depth; i++) full = full "." path[i]
            if (full == want) { rest = substr($0, RSTART + RLENGTH + 1); sub(/,$/, "", rest); print rest; exit }
        }' "$1"
}

table=$folder/table.txt
printf '%-46s %-26s %-12s %-10s %s\n' what measured bar stretch reached >"$table"
row() { printf '%-46s %-26s %-12s %-10s %s\n' "$@" | tee -a "$table"; }

# Sums right and n of several reports: "RIGHT N".
sum() {
    local right=0 n=0 file
    for file in "$@"; do
        right=$((right + $(value "$file" execution.right)))
        n=$((n + $(value "$file" execution.n)))
    done
    echo "$right $n"
}

share() { awk -v right="$1" -v n="$2" 'BEGIN { printf "%.1f", n ? right * 100 / n : 0 }'; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { print (a >= b) ? "yes" : "NO" }'; }
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { print (a <= b) ? "yes" : "NO" }'; }

# eval NAME FLAGS… : a report under FOLDER/reports/NAME, made once.
ask() {
    local name=$1
    shift
    local file=$folder/reports/$name/summary.json
    [ -f "$file" ] || "$cli" eval --quiet -o "$folder/reports/$name" "$@" "${ASK[@]}" >"$folder/reports-$name.log"
    echo "$file"
}

if wanted quickstart; then
    begun=$(date +%s.%N)
    code=0
    EXPERT_HOME=$folder/quickstart-home "$cli" quickstart --json >"$folder/quickstart.json" 2>"$folder/quickstart.log" || code=$?
    seconds=$(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN { printf "%.0f", b - a }')
    reached=$(at_most "$seconds" 300)
    [ "$code" = 0 ] || reached=NO
    row "quickstart, after the build" "$seconds s, exit $code" "300 s" "180 s" "$reached"
fi

# Trains an expert on a database that no base has seen: rows, MINUTES of training, both reports.
train_one() {
    local name=$1 own=$folder/schemas/$1
    if [ ! -f "$own/rows/metadata.json" ]; then
        "$cli" synthesize --quiet --json --db "sqlite:$folder/db/$name.sqlite" --count "$COUNT" --held-out 200 --lang en,pt \
            --output "$own/rows" >"$own.synthesize.json"
    fi
    [ -d "$own/expert/weights" ] && return
    rm -rf "$own/expert"
    if [ -n "$MANIFEST" ]; then
        mkdir -p "$own/expert"
        cp "$MANIFEST" "$own/expert/manifest.json"
    else
        (cd "$own" && "$cli" init --quiet expert-bars --base-model "${BASE:-tiny-sql}" --dialect sqlite && mv expert-bars expert)
    fi
    (cd "$own/expert" && "$cli" preprocess --quiet --dataset ../rows/train.jsonl --dialect sqlite --val-split 0 \
        --output datasets/processed >preprocess.log)
    local flags=(--quiet --manifest "$own/expert" --dataset "$own/expert/datasets/processed" --set training.config.save_strategy=no
        --set training.config.evaluation_strategy=no "${base[@]}" "${TRAIN[@]}")
    [ -z "${MODEL:-}" ] || flags+=(--model "$MODEL")
    local begun ended steps=${STEPS:-}
    if [ -z "$steps" ]; then
        # How many steps the time is good for: twelve are timed first, loading included.
        begun=$(date +%s.%N)
        "$cli" train "${flags[@]}" --output "$own/trial" --max-steps 12 >"$own/trial.log"
        ended=$(date +%s.%N)
        rm -rf "$own/trial"
        steps=$(awk -v a="$begun" -v b="$ended" -v m="$MINUTES" 'BEGIN { printf "%d", m * 60 * 12 / (b - a) }')
    fi
    "$cli" train "${flags[@]}" --output "$own/weights" --max-steps "$steps" >"$own/train.log"
    mkdir -p "$own/expert/weights"
    mv "$own"/weights/* "$own/expert/weights/"
}

if [ -n "${SPIDER:-}" ] && { wanted schemas || wanted human || wanted vote || wanted rate; }; then
    mkdir -p "$folder/db" "$folder/schemas"
    [ -f "$folder/db/election.sqlite" ] || tar -xzf "$SPIDER/sqlite_synthetic_rows.tar.gz" -C "$folder/db"
    held=() human=() base_held=() rates=()
    for name in $SCHEMAS; do
        mkdir -p "$folder/schemas/$name"
        train_one "$name"
        adapter=$(dirname "$(ls -d "$folder/schemas/$name"/expert/weights/*/final/adapter_config.json)")
        rates+=("$(value "$folder/schemas/$name.synthesize.json" pairs_per_second)")
        who=(--adapter "$adapter" "${base[@]}")
        if wanted schemas || wanted vote; then
            held+=("$(ask "held-$name" "${who[@]}" --suite "$folder/schemas/$name/rows/held-out.jsonl" \
                --db "sqlite:$folder/db/$name.sqlite" "${baseline[@]}")")
        fi
        if wanted human; then
            human+=("$(ask "human-$name" "${who[@]}" --suite "spider:$SPIDER/train.json.gz" --db-dir "$folder/db" \
                --only-databases "$name" --lang en)")
        fi
    done
    if wanted rate; then
        rate=$(printf '%s\n' "${rates[@]}" | sort -n | awk '{ all[NR] = $1 } END { printf "%.0f", all[int((NR + 1) / 2)] }')
        row "synthesize, executed pairs a second (median)" "$rate" 2000 10000 "$(at_least "$rate" 2000)"
    fi
    if wanted schemas; then
        read -r right n <<<"$(sum "${held[@]}")"
        percent=$(share "$right" "$n")
        row "unseen schemas, $trained each, held-out" "$percent % ($right/$n)" "75 %" "90 %" "$(at_least "$percent" 75)"
        for name in $SCHEMAS; do
            file=$folder/reports/held-$name/summary.json
            beside=
            [ ${#baseline[@]} = 0 ] ||
                beside=" (${baseline[1]} $(share "$(value "$file" baseline.scores.execution.right)" "$(value "$file" baseline.scores.execution.n)") %)"
            row "  $name" "$(share "$(value "$file" execution.right)" "$(value "$file" execution.n)") %$beside" "" "" ""
        done
    fi
    if wanted human; then
        read -r right n <<<"$(sum "${human[@]}")"
        percent=$(share "$right" "$n")
        row "their human questions" "$percent % ($right/$n)" "25 %" "45 %" "$(at_least "$percent" 25)"
    fi
    if wanted vote; then
        greedy=() voted=()
        for name in $SCHEMAS; do
            file=$folder/reports/held-$name/summary.json
            [ "$(at_least "$(share "$(value "$file" execution.right)" "$(value "$file" execution.n)")" 90)" = NO ] || continue
            adapter=$(dirname "$(ls -d "$folder/schemas/$name"/expert/weights/*/final/adapter_config.json)")
            greedy+=("$file")
            voted+=("$(ask "vote-$name" --adapter "$adapter" "${base[@]}" --suite "$folder/schemas/$name/rows/held-out.jsonl" \
                --db "sqlite:$folder/db/$name.sqlite" -n 8 --temperature "$TEMPERATURE")")
        done
        if [ ${#greedy[@]} = 0 ]; then
            row "n = 8 with a vote, where greedy is under 90 %" "greedy is nowhere under" "+3 points" "+8" "yes"
        else
            read -r right n <<<"$(sum "${greedy[@]}")"
            read -r voted_right voted_n <<<"$(sum "${voted[@]}")"
            points=$(awk -v a="$(share "$right" "$n")" -v b="$(share "$voted_right" "$voted_n")" 'BEGIN { printf "%+.1f", b - a }')
            row "n = 8 with a vote, where greedy is under 90 %" "$points points ($right to $voted_right of $n)" "+3 points" "+8" "$(at_least "$points" 3)"
        fi
    fi
fi

# The scenarios, by the expert or the base model alone.
who=("${base[@]}")
if [ -n "${EXPERT:-}" ]; then
    if [ -d "$EXPERT" ]; then who+=(--adapter "$(realpath "$EXPERT")"); else who+=(--experts "$EXPERT"); fi
fi
suites=(--suites "$root/experts/expert-sql/suites")
scenarios() { ask "$1" "${who[@]}" "${suites[@]}" --suite "$2" --lang "$3"; }
counted() {
    local name=$1 file=$2 bar=$3 stretch=$4
    row "$name" "$(value "$file" execution.right) of $(value "$file" execution.n)" "$bar" "$stretch" \
        "$(at_least "$(value "$file" execution.right)" "$bar")"
}
if wanted scenarios-en || wanted valid || wanted latency; then english=$(scenarios scenarios-en real-world en); fi
if wanted scenarios-pt || wanted valid; then portuguese=$(scenarios scenarios-pt real-world pt); fi
if wanted complex || wanted valid; then complex=$(scenarios complex complex en); fi
if wanted scenarios-en; then counted "the 30 scenarios, English" "$english" 27 30; fi
if wanted scenarios-pt; then counted "the 30 scenarios, Portuguese" "$portuguese" 24 30; fi
if wanted complex; then counted "the 10 complex ones" "$complex" 7 10; fi
if wanted valid; then
    valid=0 resolved=0 n=0
    for file in "$english" "$portuguese" "$complex"; do
        valid=$((valid + $(value "$file" valid_sql.right)))
        resolved=$((resolved + $(value "$file" schema_valid.right)))
        n=$((n + $(value "$file" valid_sql.n)))
    done
    reached=NO
    [ "$valid" = "$n" ] && [ "$resolved" = "$n" ] && reached=yes
    row "the same answers parse / resolve" "$valid / $resolved of $n" "100 %" "" "$reached"
fi
if wanted latency; then
    milliseconds=$(awk -v s="$(value "$english" latency_p50)" 'BEGIN { printf "%.0f", s * 1000 }')
    slow=$(awk -v s="$(value "$english" latency_p95)" 'BEGIN { printf "%.0f", s * 1000 }')
    row "an answer takes (p50; p95)" "$milliseconds ms; $slow ms" "150 ms" "40 ms" "$(at_most "$milliseconds" 150)"
fi
if wanted official; then
    reached=NO
    cargo test --quiet --test shared official_verdicts -- --ignored --nocapture >"$folder/official.log" 2>&1 && reached=yes
    found=$(grep -o 'of [0-9]*: exact match.*' "$folder/official.log" || true)
    [ -n "$found" ] || reached="not measured: the cases are not here"
    row "the published evaluators' verdicts" "$found" "100 / 98 %" "100 %" "$reached"
fi
echo
cat "$table"

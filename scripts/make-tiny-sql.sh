#!/usr/bin/env bash
# Makes the embedded base model `tiny-sql` again, from nothing but what `synthesize` writes.
#
#   scripts/make-tiny-sql.sh FOLDER
#
# FOLDER holds rows, checkpoints and the result, and is resumed from where it was stopped. Two stages learn questions and
# answers: a constant rate from random numbers (STAGE1 steps, 3000), then other rows with a rate that falls to zero
# (STAGE2, 2300). Seven more learn answers only, at a constant rate and six times at a falling one (STAGE3, 1250; STAGE4, 3100;
# STAGE5, 1500; STAGE6, 920; STAGE7, 1500; STAGE8, 1200; STAGE9, 1400). The seventh begins with the mean of the fifth and the
# sixth, the ninth with that of the seventh and the eighth (`average-weights.py`, which needs python3).
# EXPERT_CLI names another build than `cargo build`'s. Afterwards FOLDER/tiny-sql holds the files of models/tiny-sql in bf16, and `expert-cli eval --base-model FOLDER/tiny-sql` scores them.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
folder=${1:?usage: scripts/make-tiny-sql.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
STAGE1=${STAGE1:-3000}
STAGE2=${STAGE2:-2300}
STAGE3=${STAGE3:-1250}
STAGE4=${STAGE4:-3100}
STAGE5=${STAGE5:-1500}
STAGE6=${STAGE6:-920}
STAGE7=${STAGE7:-1500}
STAGE8=${STAGE8:-1200}
STAGE9=${STAGE9:-1400}
export EXPERT_HOME=${EXPERT_HOME:-$folder/home}
# Large buffers come and go in every layer: kept, they cost no page faults (a quarter less processor time).
export MALLOC_MMAP_THRESHOLD_=33000000 MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_TOP_PAD_=67108864
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

if [ -z "${EXPERT_CLI:-}" ]; then
    cargo build --quiet
    EXPERT_CLI=$root/target/debug/expert-cli
fi

# Nothing that the suites ask, nor six words of it in a row, may be among the rows.
exclude=()
for suite in experts/expert-sql/suites/*.jsonl; do exclude+=(--exclude "$root/$suite"); done

rows() { # FOLDER SCHEMAS COUNT HELD_OUT DIALECT SEED [LANGUAGES]
    [ -f "$folder/$1/metadata.json" ] || "$EXPERT_CLI" synthesize --quiet --schemas "$2" --count "$3" --held-out "$4" \
        --dialect "$5" --lang "${7:-en,en,pt}" --seed "$6" "${exclude[@]}" --output "$folder/$1"
}
joined() { # RESULT PARTS…: training rows of all parts, held-out rows of the first
    local into=$folder/$1
    shift
    mkdir -p "$into"
    [ -f "$into/train.jsonl" ] || cat $(printf "$folder/%s/train.jsonl " "$@") >"$into/train.jsonl"
    [ -f "$into/val.jsonl" ] || head -n 300 "$folder/$1/held-out.jsonl" >"$into/val.jsonl"
}
result_of() { # STAGE
    dirname "$(find "$folder/$1/weights" -path '*final/config.json')"
}
stage() { # NAME BASE ROWS STEPS FLAGS…
    local name=$1 base=$2 rows=$3 steps=$4
    shift 4
    mkdir -p "$folder/$name"
    sed "s#\"name\": \"base\"#\"name\": \"$base\"#" models/tiny-sql/recipe/manifest.json >"$folder/$name/manifest.json"
    local resume=()
    [ -z "$(find "$folder/$name/weights" -name LATEST 2>/dev/null)" ] || resume=(--resume)
    [ -n "$(find "$folder/$name/weights" -type d -name final 2>/dev/null)" ] || "$EXPERT_CLI" train \
        --manifest "$folder/$name" --dataset "$folder/$rows/train.jsonl" --output "$folder/$name/weights" \
        --max-steps "$steps" "$@" "${resume[@]}"
}

rows sqlite-1 7000 210000 600 sqlite 11
rows postgres-1 1500 45000 0 postgres 12
rows sqlite-2 6000 150000 400 sqlite 21
rows postgres-2 1000 25000 0 postgres 22
rows sqlite-3 3000 90000 600 sqlite 1031
rows postgres-3 800 20000 0 postgres 1032
rows sqlite-4 5000 150000 800 sqlite 2031
rows postgres-4 1000 30000 200 postgres 2032
rows sqlite-5 4000 120000 600 sqlite 5031 en,pt
rows postgres-5 700 20000 100 postgres 5032 en,pt
rows sqlite-6 5000 150000 600 sqlite 6031 en,pt
rows postgres-6 800 22000 100 postgres 6032 en,pt
rows sqlite-7 6500 190000 600 sqlite 7031 en,pt
rows postgres-7 900 24000 200 postgres 7032 en,pt
rows sqlite-8 6000 160000 600 sqlite 8031 en,pt
rows postgres-8 800 20000 200 postgres 8032 en,pt
rows sqlite-9 5500 140000 600 sqlite 9031 en,pt
rows postgres-9 700 16000 100 postgres 9032 en,pt
for stage in 1 2 3 4 5 6 7 8 9; do joined "rows-$stage" "sqlite-$stage" "postgres-$stage"; done

mkdir -p "$folder/start"
cp models/tiny-sql/recipe/config.json "$folder/start/"
stage stage-1 "$folder/start" rows-1 "$STAGE1" --new-tokenizer 4096
stage stage-2 "$(result_of stage-1)" rows-2 "$STAGE2" \
    --set training.config.lr_scheduler=linear --set training.config.warmup_steps=40
stage stage-3 "$(result_of stage-2)" rows-3 "$STAGE3" --set training.config.train_on=answer \
    --set training.config.learning_rate=0.0008 --set training.config.warmup_steps=100
stage stage-4 "$(result_of stage-3)" rows-4 "$STAGE4" --set training.config.train_on=answer \
    --set training.config.learning_rate=0.001 --set training.config.warmup_steps=100 \
    --set training.config.lr_scheduler=linear
answers() { # NAME BASE ROWS STEPS RATE: a stage on answers only, at a rate that falls to zero
    stage "$1" "$2" "$3" "$4" --set training.config.train_on=answer --set training.config.learning_rate="$5" \
        --set training.config.warmup_steps=60 --set training.config.lr_scheduler=linear \
        --set training.config.save_dtype=bfloat16
}
mean() { # RESULT A B: a model of the mean weights
    mkdir -p "$1"
    "${PYTHON:-python3}" scripts/average-weights.py "$2/model.safetensors" "$3/model.safetensors" "$1/model.safetensors"
    for file in config.json tokenizer.json tokenizer_config.json; do cp "$3/$file" "$1/"; done
}

answers stage-5 "$(result_of stage-4)" rows-5 "$STAGE5" 0.0009
answers stage-6 "$(result_of stage-5)" rows-6 "$STAGE6" 0.001
mean "$folder/mean-6" "$(result_of stage-5)" "$(result_of stage-6)"
answers stage-7 "$folder/mean-6" rows-7 "$STAGE7" 0.001
answers stage-8 "$(result_of stage-7)" rows-8 "$STAGE8" 0.0009
mean "$folder/mean-8" "$(result_of stage-7)" "$(result_of stage-8)"
answers stage-9 "$folder/mean-8" rows-9 "$STAGE9" 0.0009

mean "$folder/tiny-sql" "$folder/mean-8" "$(result_of stage-9)"
cp models/tiny-sql/generation_config.json models/tiny-sql/LICENSE "$folder/tiny-sql/"
echo "$folder/tiny-sql holds the model"

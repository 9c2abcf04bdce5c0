#!/usr/bin/env bash
# Of the sound rows of a data set, how many does a real PostgreSQL refuse to prepare with their schema? The server is
# started here (a temporary folder, a free port of this host) and stopped afterwards. Without PostgreSQL: "skipped".
#
#   scripts/check-sound-rows.sh ROWS.jsonl[.gz] SOUND.json[.gz]
#
# SOUND is the list of the numbers, from 0, of the rows that are sound. Rows left out for other reasons (too long, twice)
# are not counted. EXPERT names the program (target/debug/expert-cli).
set -euo pipefail
if [ $# -ne 2 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
fi
expert=$(realpath "${EXPERT:-$(dirname "$0")/../target/debug/expert-cli}")
rows=$(realpath "$1")
sound=$(realpath "$2")
programs=
for folder in /usr/lib/postgresql/*/bin /usr/local/bin /usr/bin; do
    [ -x "$folder/initdb" ] && programs=$folder
done
if [ -z "$programs" ]; then
    echo 'skipped: no PostgreSQL here (initdb is needed)'
    exit
fi
folder=$(mktemp -d)
# PostgreSQL refuses to run as root.
as() { if [ "$(id -u)" = 0 ]; then su nobody -s /bin/bash -c "$1"; else bash -c "$1"; fi; }
[ "$(id -u)" != 0 ] || chown nobody "$folder"
stop() {
    (cd / && as "$programs/pg_ctl -D $folder/data -m immediate stop" >/dev/null 2>&1) || true
    rm -rf "$folder" "${out:-}"
}
trap stop EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(cd / && as "$programs/initdb --locale=C -E UTF8 -A trust -U postgres -D $folder/data" >/dev/null)
(cd / && as "$programs/pg_ctl -w -D $folder/data -l $folder/log start \
    -o '-p $port -k $folder -c listen_addresses=127.0.0.1 -c fsync=off'" >/dev/null)
out=$(mktemp -d)
"$expert" preprocess --dataset "$rows" --output "$out/rows" --db "postgres://postgres@127.0.0.1:$port/postgres" --quiet >/dev/null
python3 - "$out/rows/dropped.jsonl" "$sound" <<'PY'
import gzip, json, sys
with (gzip.open if sys.argv[2].endswith(".gz") else open)(sys.argv[2], "rt") as file:
    sound = set(json.load(file))
lost = [drop for drop in map(json.loads, open(sys.argv[1])) if drop["line"] - 1 in sound]
refused = [drop for drop in lost if drop["reason"] == "database"]
asked = len(sound) - len(lost) + len(refused)
for drop in refused:
    print(f"line {drop['line']}: {drop['detail']}")
print(f"{len(refused)} of {asked} sound rows refused: {100 - 100 * len(refused) / asked:.2f} % pass")
PY

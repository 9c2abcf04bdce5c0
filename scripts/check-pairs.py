#!/usr/bin/env python3
"""Compares `expert-cli convert` with a file of pairs {read, write, sql, expected}, such as those of sqlglot's own tests.

Both the conversion and the expected text are parsed and printed again by sqlglot in the target dialect, so that spelling
does not count. Pairs listed in the exceptions (key: "read write | sql", value: the reason) are left out and counted.

  scripts/check-pairs.py PAIRS.json[.gz] [--exceptions tests/cases/pair_exceptions.json] [--show] [--binary PATH]

Needs a Python with sqlglot."""
import argparse, collections, gzip, json, logging, os, subprocess, sys, tempfile
import sqlglot

logging.disable(logging.CRITICAL)
GROUPS = {
    "pooled": [("mysql", "postgres"), ("sqlite", "postgres"), ("postgres", "mysql"), ("postgres", "sqlite")],
    "to oracle": [("mysql", "oracle"), ("postgres", "oracle"), ("sqlite", "oracle")],
}


def normal(sql, dialect):
    try:
        return "; ".join(part.sql(dialect) for part in sqlglot.parse(sql, read=dialect) if part)
    except Exception:
        return " ".join(sql.split())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("pairs")
    arguments.add_argument("--exceptions", default="tests/cases/pair_exceptions.json")
    arguments.add_argument("--binary", default="target/debug/expert-cli")
    arguments.add_argument("--show", action="store_true")
    given = arguments.parse_args()
    opened = gzip.open if given.pairs.endswith(".gz") else open
    with opened(given.pairs, "rt") as file:
        pairs = json.load(file)
    exceptions = {}
    if os.path.exists(given.exceptions):
        with open(given.exceptions) as file:
            exceptions = json.load(file)
    for group, directions in GROUPS.items():
        right = total = left_out = 0
        counts = collections.Counter()
        for read, write in directions:
            rows = [p for p in pairs if (p["read"], p["write"]) == (read, write)]
            kept = [p for p in rows if f"{read} {write} | {p['sql']}" not in exceptions]
            left_out += len(rows) - len(kept)
            if not kept:
                continue
            with tempfile.TemporaryDirectory() as folder:
                source, target = os.path.join(folder, "in.jsonl"), os.path.join(folder, "out.jsonl")
                with open(source, "w") as file:
                    file.writelines(json.dumps({"sql": p["sql"]}) + "\n" for p in kept)
                command = [given.binary, "convert", "--from", read, "--to", write, "--input", source, "--output", target]
                subprocess.run(command + ["--quiet"], check=True, capture_output=True)
                with open(target) as file:
                    done = [json.loads(line) for line in file]
            for pair, row in zip(kept, done):
                total += 1
                same = normal(row["converted"], write) == normal(pair["expected"], write)
                right += same
                counts[f"{read} to {write}"] += 1
                if not same and given.show:
                    print(f"{read} to {write}\n  {pair['sql']}\n  wanted {pair['expected']}\n  found  {row['converted']}")
        share = 100 * right / max(total, 1)
        print(f"{group}: {right} of {total} ({share:.1f} %), {left_out} listed as exceptions")


if __name__ == "__main__":
    sys.exit(main())

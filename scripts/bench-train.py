"""The rounds and the table of bench-train.sh; with --peft, one run of PEFT's side in its own process."""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
RANK, ALPHA = 12, 24

# name, model, rows of a batch, tokens of a row, adapter, checkpointing, our quantization, PEFT's dtypes. Ours holds the
# weights in bf16 (30m is stored in f32, 0.6b-shape in bf16) where it does not quantise them.
CASES = [
    ("30m dora", "30m", 4, 256, "dora", False, "none", ["float32", "bfloat16"]),
    ("30m lora", "30m", 4, 256, "lora", False, "none", ["float32", "bfloat16"]),
    ("0.6b-shape dora", "0.6b-shape", 1, 256, "dora", False, "none", ["bfloat16", "float32"]),
    ("0.6b-shape lora", "0.6b-shape", 1, 256, "lora", False, "none", ["bfloat16"]),
    ("0.6b-shape dora checkpointing", "0.6b-shape", 1, 256, "dora", True, "none", ["bfloat16"]),
    ("0.6b-shape dora int8", "0.6b-shape", 1, 256, "dora", True, "int8", []),
    ("0.6b-shape dora int4", "0.6b-shape", 1, 256, "dora", True, "int4", []),
    ("0.6b-shape dora nf4", "0.6b-shape", 1, 256, "dora", True, "nf4", []),
]


def has_bf16():
    """Whether the processor multiplies bf16. PyTorch without: 14 tokens/s where f32 has 700; ours widens, which f32 saves."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("\nflags", 1)[1].split("\n", 1)[0]
    except (OSError, IndexError):
        return True
    return "avx512_bf16" in flags or "amx_bf16" in flags


BF16 = has_bf16()


def peft_run(model, batch, tokens, adapter, checkpointing, dtype, steps):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    base.config.use_cache = False
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM",
                        use_dora=adapter == "dora")
    net = get_peft_model(base, config)
    if checkpointing:
        net.enable_input_require_grads()
        net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    net.train()
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    rates, cpu = [], []
    for _ in range(steps):
        ids = torch.randint(3, net.config.vocab_size, (batch, tokens))
        begun, begun_cpu = time.perf_counter(), time.process_time()
        loss = net(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.append(batch * tokens / (time.perf_counter() - begun))
        cpu.append(batch * tokens / (time.process_time() - begun_cpu))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # The first two steps warm up.
    print(json.dumps({"tokens_per_s": statistics.median(rates[2:]), "per_cpu_s": statistics.median(cpu[2:]),
                      "peak_mib": peak}))


def our_run(folder, model, batch, tokens, adapter, checkpointing, quantization, steps):
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    (run / "rows").mkdir(parents=True)
    words = "select from where group order limit count name city price stock bought joined".split()
    with open(run / "rows" / "train.jsonl", "w") as out:
        for row in range(steps * batch):
            # Longer than a row can be, so that every row is cut to as many tokens.
            text = " ".join(words[(row * 7 + i * i) % len(words)] + str((row + i) % 97) for i in range(tokens))
            out.write(json.dumps({"text": text}) + "\n")
    config = {"method": "sft", "adapter_type": adapter, "rank": RANK, "alpha": ALPHA, "dropout": 0.0,
              "target_modules": TARGETS, "epochs": 1, "learning_rate": 1e-4, "batch_size": batch,
              "gradient_accumulation_steps": 1, "warmup_steps": 0, "lr_scheduler": "constant", "train_on": "all",
              "max_seq_length": tokens, "gradient_checkpointing": checkpointing, "bf16": BF16 and quantization == "none", "logging_steps": 1,
              "save_strategy": "no", "evaluation_strategy": "no", "quantize_embeddings": quantization != "none"}
    manifest = {"name": "expert-bench", "version": "0.1.0", "schema_version": "2.0", "description": "A benchmark",
                "license": "MIT", "capabilities": ["database:postgres"],
                "base_models": [{"name": str(folder / model), "quantization": quantization, "adapters": [
                    {"type": adapter, "target_modules": TARGETS, "r": RANK, "alpha": ALPHA}]}],
                "routing": {"keywords": ["sql"]},
                "constraints": {"load_order": 9, "incompatible_with": [], "requires": []},
                "training": {"dataset": {"path": "rows"}, "config": config}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    command = [os.environ["EXPERT_CLI"], "train", "--manifest", str(run), "--quiet"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    rates = []
    for line in next(run.glob("weights/*/metrics.jsonl")).read_text().splitlines():
        record = json.loads(line)
        if record["step"] > 2 and record.get("tokens_per_s"):
            rates.append(record["tokens_per_s"])
    return {"tokens_per_s": statistics.median(rates), "peak_mib": usage.ru_maxrss / 1024,
            "cpu_s": usage.ru_utime + usage.ru_stime}


def table(folder, rounds, steps, only):
    cases = [case for case in CASES if re.search(only, case[0])]
    print(f"{'':34} {'tokens/s':>10} {'PEFT':>8} {'ratio':>6} {'MiB':>7} {'PEFT':>7} {'ratio':>6}  PEFT's dtype")
    if not BF16:
        print("this processor has no bf16 products: PEFT in float32 only")
    for name, model, batch, tokens, adapter, checkpointing, quantization, dtypes in cases:
        if dtypes and not BF16:
            dtypes = ["float32"]
        ours, peft = [], {dtype: [] for dtype in dtypes}
        for _ in range(rounds):
            ours.append(our_run(folder, model, batch, tokens, adapter, checkpointing, quantization, steps))
            for dtype in dtypes:
                arguments = [str(folder / model), batch, tokens, adapter, int(checkpointing), dtype, steps]
                child = subprocess.run([sys.executable, __file__, "--peft", *map(str, arguments)], capture_output=True,
                                       text=True, check=False)
                if child.returncode != 0:
                    sys.exit(f"{child.stderr}PEFT's side of {name} failed")
                peft[dtype].append(json.loads(child.stdout.splitlines()[-1]))

        def median(runs, key):
            return statistics.median(run[key] for run in runs)

        speed, peak = median(ours, "tokens_per_s"), median(ours, "peak_mib")
        if quantization != "none":
            # The first round may have quantised: its peak is shown too.
            name = f"{name} (first run {ours[0]['peak_mib']:.0f})"
        if not dtypes:
            print(f"{name:34} {speed:10.1f} {'':>8} {'':>6} {peak:7.0f}", flush=True)
        for dtype in dtypes:
            their_speed, their_peak = median(peft[dtype], "tokens_per_s"), median(peft[dtype], "peak_mib")
            print(f"{name:34} {speed:10.1f} {their_speed:8.1f} {speed / their_speed:6.2f} {peak:7.0f} "
                  f"{their_peak:7.0f} {peak / their_peak:6.2f}  {dtype}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--peft":
        model, batch, tokens, adapter, checkpointing, dtype, steps = sys.argv[2:]
        peft_run(model, int(batch), int(tokens), adapter, checkpointing == "1", dtype, int(steps))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        for argument in ("folder", "rounds", "steps", "only"):
            parser.add_argument(argument)
        given = parser.parse_args()
        table(Path(given.folder).resolve(), int(given.rounds), int(given.steps), given.only)

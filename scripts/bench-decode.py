"""The rounds and the table of bench-decode.sh; with --peer, one run of llama.cpp in its own process."""

import argparse
import ctypes
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

# name, model, our --quantization, llama.cpp's type
CASES = [
    ("30m int8 / q8_0", "30m", "int8", "q8_0"),
    ("30m bf16 / bf16", "30m", "none", "bf16"),
    ("0.6b-shape int8 / q8_0", "0.6b-shape", "int8", "q8_0"),
    ("0.6b-shape bf16 / bf16", "0.6b-shape", "none", "bf16"),
    ("0.6b-shape int4 / q4_K", "0.6b-shape", "int4", "q4_K"),
]

PER_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensors(path):
    """(name, f32 array) of everything in a safetensors file, bf16 and f32 alike."""
    import numpy as np

    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, about in header.items():
            begin, end = about["data_offsets"]
            file.seek(8 + size + begin)
            raw = file.read(end - begin)
            if about["dtype"] == "BF16":
                values = (np.frombuffer(raw, dtype="<u2").astype("<u4") << 16).view("<f4")
            else:
                values = np.frombuffer(raw, dtype="<f4")
            yield name, values.reshape(about["shape"])


def in_bf16(model):
    """The folder of the same model in bf16, made beside it where it is stored in f32."""
    import numpy as np

    if json.loads((model / "config.json").read_text()).get("torch_dtype") == "bfloat16":
        return model
    folder = model.with_name(model.name + "-bf16")
    if (folder / "model.safetensors").exists():
        return folder
    folder.mkdir(exist_ok=True)
    header, parts, at = {}, [], 0
    for name, values in tensors(model / "model.safetensors"):
        bits = np.ascontiguousarray(values).view("<u4")
        # To the nearest, ties to even; random weights hold no NaN.
        raw = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    head = json.dumps(header).encode()
    for file in model.iterdir():
        if file.suffix != ".safetensors" and file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    part = folder / "part"
    part.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(parts))
    part.rename(folder / "model.safetensors")
    return folder


def gguf_name(name):
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in fixed:
        return fixed[name]
    layer, rest = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name).groups()
    return f"blk.{layer}.{PER_LAYER[rest]}.weight"


def write_gguf(model, path, kind):
    """A model folder as one GGUF file; without a vocabulary, for prompts are random ids."""
    import gguf

    config = json.loads((model / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    types = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "bf16": gguf.GGMLQuantizationType.BF16}
    for file in sorted(model.glob("*.safetensors")):
        for name, values in tensors(file):
            held = types[kind] if values.ndim > 1 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(gguf_name(name), gguf.quantize(values, held), raw_dtype=held)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_file(folder, shape, kind):
    path = folder / f"{shape}.{kind}.gguf"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    if kind == "q4_K":
        import llama_cpp

        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = 15
        params.pure = True
        source = gguf_file(folder, shape, "bf16")
        failed = llama_cpp.llama_model_quantize(str(source).encode(), str(part).encode(), ctypes.byref(params))
        assert failed == 0, f"llama.cpp does not quantise {source}"
    else:
        write_gguf(folder / shape, part, kind)
    part.rename(path)
    return path


def peer_run(path, prompt, answer, queries, threads):
    """llama.cpp's side: medians of prompt and answer tokens a second, as JSON."""
    import llama_cpp as l

    l.llama_backend_init()
    silence = l.llama_log_callback(lambda *_: None)
    l.llama_log_set(silence, ctypes.c_void_p(0))
    model = l.llama_model_load_from_file(str(path).encode(), l.llama_model_default_params())
    assert model, f"llama.cpp does not load {path}"
    params = l.llama_context_default_params()
    params.n_ctx = prompt + answer + 8
    params.n_batch = params.n_ubatch = max(prompt, 32)
    params.n_threads = params.n_threads_batch = threads
    context = l.llama_init_from_model(model, params)
    size = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))
    prefill, decode = [], []
    for query in range(queries + 1):
        l.llama_memory_clear(l.llama_get_memory(context), True)
        ids = (l.llama_token * prompt)(*[(query * 7919 + i * 104729) % size for i in range(prompt)])
        begun = time.perf_counter()
        assert l.llama_decode(context, l.llama_batch_get_one(ids, prompt)) == 0
        logits = l.llama_get_logits_ith(context, -1)
        between = time.perf_counter()
        for step in range(answer - 1):
            one = (l.llama_token * 1)((query + step * 31337) % size)
            assert l.llama_decode(context, l.llama_batch_get_one(one, 1)) == 0
            logits = l.llama_get_logits_ith(context, -1)
            logits[0]
        ended = time.perf_counter()
        # The first query warms up.
        if query:
            prefill.append(prompt / (between - begun))
            decode.append((answer - 1) / (ended - between))
    print(json.dumps({"prefill": statistics.median(prefill), "decode": statistics.median(decode)}))


def ours(folder, shape, quantization, prompt, answer, queries):
    model = in_bf16(folder / shape) if quantization == "none" else folder / shape
    command = [os.environ["EXPERT_CLI"], "bench", "--base-model", str(model), "--json", "--iterations", str(queries + 1)]
    command += ["--prompt-tokens", str(prompt), "--answer-tokens", str(answer)]
    if quantization != "none":
        command += ["--quantization", quantization, "--quantize-embeddings"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"prefill": found["prefill_tokens_per_s"], "decode": found["decode_tokens_per_s"], "first": found["start_to_first_token_s"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", type=Path)
    args = parser.parse_args()
    number = lambda name: int(os.environ[name])
    prompt, answer, queries = number("PROMPT"), number("ANSWER"), number("QUERIES")
    if args.peer:
        return peer_run(args.peer, prompt, answer, queries, number("RAYON_NUM_THREADS"))
    rows = []
    for name, shape, quantization, kind in CASES:
        if not re.search(os.environ["ONLY"], name):
            continue
        path = gguf_file(args.folder, shape, kind)
        mine, theirs = [], []
        # What is quantised on the first run is read from the cache by the others.
        ours(args.folder, shape, quantization, 32, 2, 1)
        for _ in range(number("ROUNDS")):
            mine.append(ours(args.folder, shape, quantization, prompt, answer, queries))
            peer = [sys.executable, __file__, str(args.folder), "--peer", str(path)]
            theirs.append(json.loads(subprocess.run(peer, check=True, capture_output=True, text=True).stdout))
        middle = lambda runs, what: statistics.median(run[what] for run in runs)
        rows.append((name, middle(mine, "prefill"), middle(theirs, "prefill"), middle(mine, "decode"), middle(theirs, "decode"), middle(mine, "first")))
        print(f"{name}: {mine} {theirs}", file=sys.stderr)
    print(f"{'':26} {'prompt: ours':>13} {'llama.cpp':>10} {'ratio':>6}   {'answer: ours':>13} {'llama.cpp':>10} {'ratio':>6}   first token")
    for name, p, q, d, e, first in rows:
        print(f"{name:26} {p:13.1f} {q:10.1f} {p / q:6.2f}   {d:13.1f} {e:10.1f} {d / e:6.2f}   {first:8.2f} s")


if __name__ == "__main__":
    main()

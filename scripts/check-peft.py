"""Compares `chat --json --logits` with PEFT: check-peft.py BASE PACKAGE CHAT.json (called by check-peft.sh)."""
import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base_dir, package_dir, chat_file = sys.argv[1:]
chat = json.load(open(chat_file))
tokenizer = AutoTokenizer.from_pretrained(package_dir)
prompt = tokenizer.decode(chat["prompt_ids"])
turns = [turn.split("<|im_end|>", 1)[0].split("\n", 1) for turn in prompt.split("<|im_start|>")[1:]]
messages = [{"role": role, "content": content} for role, content in turns if role != "assistant"]
text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
assert text == prompt, f"prompt differs from apply_chat_template:\n{text!r}\n{prompt!r}"
ids = tokenizer(text, return_tensors="pt").input_ids
assert ids[0].tolist() == chat["prompt_ids"], "prompt ids differ"

base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
with torch.no_grad():
    plain = base(ids).logits[0, -1].clone()
model = PeftModel.from_pretrained(base, package_dir).eval()
with torch.no_grad():
    logits = model(ids).logits[0, -1]
    generated = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False)
ours = torch.tensor(chat["logits"])
moved = (logits - plain).abs().max().item()
difference = (logits - ours).abs().max().item()
tokens = generated[0, ids.shape[1]:].tolist()
print(f"adapter moves the logits by {moved:.3f}; chat and PEFT differ by {difference:.2e}")
print("PEFT  ", tokens)
print("chat  ", chat["token_ids"])
assert moved >= 0.5, "the adapter hardly moves the logits"
assert difference <= 1e-4, "logits differ"
count = min(len(tokens), len(chat["token_ids"]))
assert count and tokens[:count] == chat["token_ids"][:count], "greedy tokens differ"
print("PEFT and chat agree")

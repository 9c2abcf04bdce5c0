"""Makes tests/fixtures/full/<model>.safetensors: one full-training step of the tiny fixtures models in PyTorch.

All weights trainable, f32, eager attention; batch, loss and gradients before clipping, then one AdamW step (lr 1e-3,
betas .9/.999, eps 1e-8, weight decay 0.01 on matrices only). Run with torch, transformers and safetensors installed:
    python scripts/make-full-golden.py tests/fixtures
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

root = Path(sys.argv[1])
(root / "full").mkdir(exist_ok=True)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
for name in ["tiny-qwen3", "tiny-llama", "tiny-qwen2"]:
    model = AutoModelForCausalLM.from_pretrained(root / name, dtype=torch.float32, attn_implementation="eager")
    model.train()
    generator = torch.Generator().manual_seed(len(name))
    ids = torch.randint(3, 512, (2, 24), generator=generator)
    labels = ids.clone()
    labels[0, :9] = -100
    labels[1, :5] = -100
    decay = [p for n, p in model.named_parameters() if p.dim() == 2]
    plain = [p for n, p in model.named_parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    out = {"input_ids": ids, "labels": labels, "loss": loss.detach().reshape(1)}
    for n, p in model.named_parameters():
        out["grad." + n] = p.grad.clone()
    optimizer.step()
    for n, p in model.named_parameters():
        out["step." + n] = p.detach().clone()
    save_file({k: v.contiguous() for k, v in out.items()}, root / "full" / f"{name}.safetensors")
    print(name, loss.item(), len(out))

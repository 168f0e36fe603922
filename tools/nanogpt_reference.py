"""nanoGPT's model and the step of its training loop, cut down to what its speed depends on.

From https://github.com/karpathy/nanoGPT, model.py and train.py, as they train GPT-2 124M: no
biases, tied embedding, vocabulary 50304, flash attention, autocast, `torch.compile`, fused AdamW.
Left out: generation, loading of OpenAI's weights, dropout (0 there), what old versions of PyTorch
need.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """The defaults are those of GPT-2 124M."""

    block_size: int = 1024
    vocab_size: int = 50304
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    bias: bool = False  # GPT-2 has biases; train.py leaves them out: "a bit better and faster"


class LayerNorm(nn.Module):
    """LayerNorm with or without a bias."""

    def __init__(self, width: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class CausalSelfAttention(nn.Module):
    """(B, T, C) -> (B, T, C)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.c_attn = nn.Linear(shape.n_embd, 3 * shape.n_embd, bias=shape.bias)
        self.c_proj = nn.Linear(shape.n_embd, shape.n_embd, bias=shape.bias)
        self.n_head, self.n_embd = shape.n_head, shape.n_embd

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.size()
        parts = self.c_attn(x).split(self.n_embd, dim=2)
        q, k, v = (p.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for p in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    """(B, T, C) -> (B, T, C)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.ln_1 = LayerNorm(shape.n_embd, shape.bias)
        self.attn = CausalSelfAttention(shape)
        self.ln_2 = LayerNorm(shape.n_embd, shape.bias)
        self.c_fc = nn.Linear(shape.n_embd, 4 * shape.n_embd, bias=shape.bias)
        self.c_proj = nn.Linear(4 * shape.n_embd, shape.n_embd, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))


class GPT(nn.Module):
    """Inputs and targets (B, T) int64 -> the mean cross-entropy."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.wte = nn.Embedding(shape.vocab_size, shape.n_embd)
        self.wpe = nn.Embedding(shape.block_size, shape.n_embd)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.ln_f = LayerNorm(shape.n_embd, shape.bias)
        self.lm_head = nn.Linear(shape.n_embd, shape.vocab_size, bias=False)
        self.wte.weight = self.lm_head.weight
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                residual = name.endswith("c_proj.weight")
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * shape.n_layer) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, idx: Tensor, targets: Tensor) -> Tensor:
        position = torch.arange(idx.size(1), dtype=torch.long, device=idx.device)
        x = self.wte(idx) + self.wpe(position)
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)


class Trainer:
    """One training of the model on a stretch of tokens, a step at a time."""

    def __init__(
        self,
        shape: Shape,
        tokens: np.ndarray[tuple[int], np.dtype[np.unsignedinteger]],
        batch_size: int,
        accumulate: int,
        device: torch.device,
        compiled: bool,
        learning_rate: float = 6e-4,
    ):
        torch.manual_seed(1337)
        self.model = GPT(shape).to(device)
        decayed = [p for p in self.model.parameters() if p.dim() >= 2]
        spared = [p for p in self.model.parameters() if p.dim() < 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}],
            lr=learning_rate,
            betas=(0.9, 0.95),
            fused=device.type == "cuda",
        )
        self.call = torch.compile(self.model) if compiled else self.model
        self.tokens, self.device = tokens, device
        self.block_size, self.batch_size, self.accumulate = shape.block_size, batch_size, accumulate
        self.low = (
            torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
        )
        self.batch = self.get_batch()

    def get_batch(self) -> tuple[Tensor, Tensor]:
        """Random stretches, pinned and copied beside what the card is doing."""
        starts = torch.randint(len(self.tokens) - self.block_size, (self.batch_size,)).tolist()
        rows = [self.tokens[i : i + 1 + self.block_size].astype(np.int64) for i in starts]
        x = torch.stack([torch.from_numpy(row[:-1]) for row in rows])
        y = torch.stack([torch.from_numpy(row[1:]) for row in rows])
        if self.device.type == "cuda":
            return (
                x.pin_memory().to(self.device, non_blocking=True),
                y.pin_memory().to(self.device, non_blocking=True),
            )
        return x, y

    def step(self) -> None:
        """One update, as in train.py."""
        for _ in range(self.accumulate):
            with self.low:
                loss = self.call(*self.batch) / self.accumulate
            self.batch = self.get_batch()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

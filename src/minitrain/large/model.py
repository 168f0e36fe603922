"""The course's GPT at another size: any vocabulary, any context.

At 12 layers of width 768 with 12 heads, a context of 1024 and 50,257 tokens it has the shape of
GPT-2 small (Radford et al., 2019), and differs from it in two ways. The activation is SiLU, not
GELU: the blocks are those of the course, so that a comparison of both sizes compares sizes alone.
And `qkv_bias` and `tied_embedding` of the config may be off; GPT-2 has both.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitrain.training import model
from minitrain.training.config import ModelConfig
from minitrain.training.model import INIT_STD

MULTIPLE = 64


class GPT(model.GPT):
    """Token ids (B, T) int64 -> logits (B, T, V), where T <= context and V is `vocabulary`."""

    def __init__(self, config: ModelConfig, vocabulary: int, context: int):
        super().__init__(config)
        self.context = context
        self.token_embedding = nn.Embedding(vocabulary, config.d_model)
        self.position_embedding = nn.Embedding(context, config.d_model)
        if not config.tied_embedding:
            self.head = nn.Linear(config.d_model, vocabulary, bias=False)


class SummedLoss(nn.Module):
    """Inputs and targets (B, T) int64 -> the sum of their cross-entropies in nats, a scalar.

    Model and loss are one module, so that they are compiled as one: logits of 50,000 values a token
    are then never written in float32. A sum, not a mean: sums of micro-batches of any size add up.

    compiled_size: the B to compile for, or None for no compilation. Batches of another size, such
    as the last of an evaluation, run as they are: each size would take a compilation of its own.
    """

    def __init__(self, gpt: GPT, compiled_size: int | None):
        super().__init__()
        self.gpt = gpt
        self.compiled_size = compiled_size
        if compiled_size is not None:
            self._compiled = torch.compile(self.plain, dynamic=False)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        compiled = len(inputs) == self.compiled_size
        return (self._compiled if compiled else self.plain)(inputs, targets)

    def plain(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The same, not compiled."""
        logits = self.gpt(inputs)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")


def build_model(config: ModelConfig, seed: int, vocabulary: int, context: int) -> GPT:
    """A freshly initialised model in float32, on the CPU, as the course's `build_model` makes one.

    It draws the same values in the same order: with the course's vocabulary and context it is the
    course's model.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        gpt = GPT(config, vocabulary, context)
    gpt = gpt.to(torch.float32).to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in gpt.named_parameters():
            if parameter.ndim >= 2:
                residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                std = INIT_STD / math.sqrt(2 * config.n_layer) if residual else INIT_STD
                draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(std * draw)
            else:
                is_scale = ".ln_" in f".{name}" and name.endswith("weight")
                parameter.fill_(1.0 if is_scale else 0.0)
    return gpt


def padded(vocabulary: int) -> int:
    """The next multiple of 64: 50,257 becomes 50,304.

    Matrix units work on tiles; a width that they divide is faster (nanoGPT does the same). The
    tokens that nobody uses soon have a probability of nothing.
    """
    return math.ceil(vocabulary / MULTIPLE) * MULTIPLE


def parameter_count(gpt: GPT) -> int:
    """All parameters; the tied embedding counts once."""
    return sum(p.numel() for p in gpt.parameters())


def flops_per_token(gpt: GPT, config: ModelConfig) -> int:
    """Floating-point operations of training on one token, forward and backward.

    6 for each parameter but the position embedding, and 12 * n_layer * d_model * context for the
    attention (Chowdhery et al., 2022, appendix B; nanoGPT counts the same way).
    """
    parameters = parameter_count(gpt) - gpt.position_embedding.weight.numel()
    return 6 * parameters + 12 * config.n_layer * config.d_model * gpt.context

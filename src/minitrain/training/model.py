"""A GPT small enough to read: pre-LayerNorm blocks, causal attention, SiLU, a tied output layer.

The shape follows GPT-2 (Radford et al., 2019), with SiLU in place of GELU: a close relative that
costs less in float64, where the error function of GELU is slow.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitrain.training.config import ModelConfig
from minitrain.training.corpus import CONTEXT, PAD, vocabulary

INIT_STD = 0.02


class Attention(nn.Module):
    """Causal multi-head self-attention: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=config.qkv_bias)
        self.out = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head)
        q, k, v = (part.transpose(1, 2) for part in heads.unbind(2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(B, T, C))


class MLP(nn.Module):
    """Position-wise feed-forward layer, four times as wide inside: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.up = nn.Linear(config.d_model, 4 * config.d_model)
        self.down = nn.Linear(4 * config.d_model, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.up(x)))


def dropout(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """`x` with a share `rate` of it zero and the rest scaled by 1 / (1 - rate), if training.

    PyTorch's own dropout draws from the global generator; ours draws only from explicit ones, and
    evaluation hands in none.
    """
    if generator is None or rate == 0:
        return x
    # In float32 by name: under another default type, the same seed would draw another mask. On the
    # generator's device, which is the CPU: a GPU has another stream of random numbers.
    keep = torch.rand(x.shape, generator=generator, dtype=torch.float32) >= rate
    return x * (keep.float() / (1 - rate)).to(x)


class Block(nn.Module):
    """Attention then MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = config.dropout
        self.ln_1 = nn.LayerNorm(config.d_model)
        self.attention = Attention(config)
        self.ln_2 = nn.LayerNorm(config.d_model)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x = x + dropout(self.attention(self.ln_1(x)), self.dropout, generator)
        return x + dropout(self.mlp(self.ln_2(x)), self.dropout, generator)


class GPT(nn.Module):
    """Token ids (B, T) int64 -> logits (B, T, V), where T <= CONTEXT.

    Training hands in a generator; it draws the masks of dropout, which acts on the sum of the
    embeddings and on what each block writes to the residual stream. Without one, none drops.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = config.dropout
        self.token_embedding = nn.Embedding(len(vocabulary()), config.d_model)
        self.position_embedding = nn.Embedding(CONTEXT, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.d_model)
        if not config.tied_embedding:
            self.head = nn.Linear(config.d_model, len(vocabulary()), bias=False)

    def forward(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x = self.token_embedding(inputs) + self.position_embedding.weight[: inputs.shape[1]]
        x = dropout(x, self.dropout, generator)
        for block in self.blocks:
            x = block(x, generator)
        return F.linear(self.ln_f(x), self.output_weight)

    @property
    def device(self) -> torch.device:
        """Where the parameters lie; inputs have to be there too."""
        return self.token_embedding.weight.device

    @property
    def output_weight(self) -> Tensor:
        """The matrix (V, C) of the output layer: the token embedding, unless the two are untied."""
        return self.head.weight if hasattr(self, "head") else self.token_embedding.weight


def build_model(config: ModelConfig, seed: int, dtype: torch.dtype = torch.float64) -> GPT:
    """A freshly initialised model, as GPT-2 is: matrices from N(0, 0.02), the two that write to the
    residual stream divided by sqrt(2 n_layer), biases zero, norm scales one.

    Values are drawn in float64 from a generator of their own, parameter by parameter in the order
    of `named_parameters`, so they depend on nothing but `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    # On "meta", PyTorch's own initialisation draws nothing from the global generator.
    with torch.device("meta"):
        model = GPT(config)
    model = model.to(dtype).to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                std = INIT_STD / math.sqrt(2 * config.n_layer) if residual else INIT_STD
                draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(std * draw)
            else:
                is_scale = ".ln_" in f".{name}" and name.endswith("weight")
                parameter.fill_(1.0 if is_scale else 0.0)
    return model


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats over every target that is not padding."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)

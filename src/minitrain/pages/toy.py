"""Two classes of points in the plane, and small networks that learn to tell them apart.

The smallest setting in which a model can be too simple, right, and too powerful, and in which we
know the best that any model can do, because we made the points ourselves.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitrain.training.grid import GRID_BITS, fingerprint, round_to_grid
from minitrain.training.optim import Decay, ParameterGroup

SIDE = 2.0  # the points lie in the square from -SIDE to SIDE
FLIPPED = 0.1  # the share of points that carry the other class's label


@dataclass(frozen=True)
class Points:
    """One set of points for each seed. inputs: (S, N, 2). labels: (S, N), 0.0 or 1.0."""

    inputs: Tensor
    labels: Tensor


def curve(x: Tensor) -> Tensor:
    """The height of the true boundary above `x`."""
    return torch.sin(2.5 * x)


def points(n: int, seeds: Sequence[int], purpose: str = "train") -> Points:
    """`n` points for each seed, uniform in the square; class 1 lies above the curve.

    A share `FLIPPED` of the labels is wrong, at random: what no model can predict. Another
    `purpose` ("val") gives other points.
    """
    inputs, labels = [], []
    for seed in seeds:
        generator = _generator(f"{purpose} points", seed)
        x = SIDE * (2 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 1)
        flipped = torch.rand(n, generator=generator, dtype=torch.float64) < FLIPPED
        inputs.append(x)
        labels.append(((x[:, 1] > curve(x[:, 0])) ^ flipped).double())
    return Points(torch.stack(inputs), torch.stack(labels))


class Networks(nn.Module):
    """One classifier for each seed, side by side in one tensor: (S, N, 2) -> logits (S, N).

    A hidden layer of `width` tanh units; width 0 is a straight line, logistic regression. Nothing
    is shared between the seeds: training all of them at once is training each alone.
    """

    def __init__(self, width: int, seeds: Sequence[int]):
        super().__init__()
        sizes = [2, width, 1] if width else [2, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        generators = [_generator("networks", seed) for seed in seeds]
        for fan_in, fan_out in pairwise(sizes):
            shape = (fan_in + 1, fan_out)
            draws = [torch.randn(shape, generator=g, dtype=torch.float64) for g in generators]
            drawn = torch.stack(draws) * math.sqrt(2 / fan_in)
            self.weights.append(drawn[:, :-1].contiguous())
            self.biases.append(drawn[:, -1:].contiguous())

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (torch.tanh(x) if i else x) @ weight + bias
        return x.squeeze(-1)

    def groups(self, weight_decay: float, biases: bool = False) -> list[ParameterGroup]:
        """The weights, which decay, and the biases, which do so only if asked to."""
        return [
            ParameterGroup(list(self.weights), weight_decay),
            ParameterGroup(list(self.biases), weight_decay if biases else 0.0),
        ]

    def fingerprint(self) -> str:
        return fingerprint(dict(self.named_parameters()))


class Optimizer(Protocol):
    """What `fit` asks of an optimizer: `optim.Adam` and `GradientDescent` both have it."""

    groups: Sequence[ParameterGroup]

    def step(self, learning_rate: float) -> None: ...


class GradientDescent:
    r"""Gradient descent, with momentum if asked for, and weight decay either way.

    ``decay="l2"`` adds :math:`\lambda\theta` to the gradient; ``decay="decoupled"`` shrinks the
    parameter by :math:`1 - \eta\lambda` (SGDW: Loshchilov & Hutter, 2019, algorithm 1). The
    momentum is that of `torch.optim.SGD`.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        decay: Decay = "decoupled",
        momentum: float = 0.0,
    ):
        self.groups = groups
        self.decay = decay
        self.momentum = momentum

    def step(self, learning_rate: float) -> None:
        """One update of every parameter from its gradient."""
        for group in self.groups:
            theta, g, m = group.values, group.gradients, group.first_moment
            if self.decay == "l2":
                g = g + group.weight_decay * theta
            else:
                theta.mul_(1 - learning_rate * group.weight_decay)
            m.mul_(self.momentum).add_(g)
            theta.sub_(learning_rate * m)


def losses(networks: Networks, data: Points) -> Tensor:
    """Mean cross-entropy of each network on its own points, in nats: (S,)."""
    each = F.binary_cross_entropy_with_logits(networks(data.inputs), data.labels, reduction="none")
    return each.mean(dim=1)


@torch.no_grad()
def accuracies(networks: Networks, data: Points) -> Tensor:
    """The share of its own points that each network puts in the right class: (S,)."""
    right = (networks(data.inputs) > 0) == (data.labels > 0)
    return right.double().mean(dim=1)


def fit(
    networks: Networks,
    data: Points,
    optimizer: Optimizer,
    learning_rate: float,
    steps: int,
    grid_bits: int | None = GRID_BITS,
    penalty: Callable[[Networks], Tensor] | None = None,
) -> Networks:
    """Train `networks` in place, each on all of its points at every step; return them.

    penalty: what is added to the loss, for those who want it there and not in the optimizer.
    """
    values = [group.values for group in optimizer.groups]
    if grid_bits:
        round_to_grid(values, grid_bits)
    for _ in range(steps):
        for group in optimizer.groups:
            group.gradients.zero_()
        loss = losses(networks, data).sum()
        if penalty:
            loss = loss + penalty(networks)
        loss.backward()
        optimizer.step(learning_rate)
        if grid_bits:
            round_to_grid(values, grid_bits)
    return networks


def _generator(purpose: str, seed: int) -> torch.Generator:
    digest = hashlib.sha256(f"toy {purpose} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))

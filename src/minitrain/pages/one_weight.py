"""One weight under AdamW and under Adam-L2, fed with gradients of the reader's choice.

Near zero, a weight under Adam-L2 can swing chaotically: a difference in the last bit, which
processors may have, grows until it is seen. So the weight lies on a grid, as those of every run do
(see `grid`), but on a much finer one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from minitrain.common.errors import UserError
from minitrain.common.messages import got, say
from minitrain.pages.handles import Handle, checked
from minitrain.training.grid import round_to_grid
from minitrain.training.optim import Adam, Decay, ParameterGroup

EPS = 1e-8
GRID_BITS = 36
BURST = 50  # steps after which the gradient of a burst falls silent
SEED = 18

OPTIMIZERS: dict[str, Decay] = {"AdamW": "decoupled", "Adam-L2": "l2"}


@dataclass(frozen=True)
class Settings:
    """Where the weight starts, what it is fed, and how both optimizers are set."""

    theta: float = 0.4
    stream: str = "zero"
    size: float = 0.1
    learning_rate: float = 3e-4
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    steps: int = 1000


HANDLES = (
    Handle("theta", "θ₀", -100, 100, (-1, 1)),
    Handle("size", "g", 0, 1e6, (1e-4, 10), log=True),
    Handle("learning_rate", "η", 1e-6, 1, (1e-5, 1e-1), log=True),
    Handle("weight_decay", "λ", 0, 1000, (1e-3, 10), log=True),
    Handle("beta1", "β₁", 0, 0.9999, (0, 0.99)),
    Handle("beta2", "β₂", 0, 0.9999, (0, 0.999)),
    Handle("steps", "T", 1, 5000, (10, 5000), log=True, whole=True),
)


def check(settings: Settings) -> None:
    """Raise `UserError`, one line with symbol and value, unless the settings make sense."""
    checked(HANDLES, vars(settings))
    pull = settings.learning_rate * settings.weight_decay
    if pull >= 1:
        reason = got(say("less_than", limit=1), pull)
        raise UserError(say("at", source="ηλ", reason=reason))


def uniform_noise(steps: int) -> list[float]:
    """Numbers that look random, with mean 0 and variance 1: the same ones everywhere.

    A linear congruential generator (Numerical Recipes' constants), because a browser has no
    `torch.randn`: whole numbers and one division are the same in every language.
    """
    state, values = SEED, []
    for _ in range(steps):
        state = (1664525 * state + 1013904223) % 2**32
        values.append(math.sqrt(3) * (2 * (state + 0.5) / 2**32 - 1))
    return values


STREAMS: dict[str, Callable[[int], list[float]]] = {
    "zero": lambda steps: [0.0] * steps,
    "constant": lambda steps: [1.0] * steps,
    "alternating": lambda steps: [1.0 if t % 2 == 0 else -1.0 for t in range(steps)],
    "noise": uniform_noise,
    "burst": lambda steps: [1.0 if t < BURST else 0.0 for t in range(steps)],
}
"""Each stream for size 1: the gradient of step 1, 2, ..."""


@dataclass(frozen=True)
class Path:
    """A weight and its corrected moments after 0, 1, 2, ... steps (moments after 0 steps: nan)."""

    theta: tuple[float, ...]
    m_hat: tuple[float, ...]
    root_v_hat: tuple[float, ...]
    """The square root of the corrected second moment: what Adam divides by."""

    @property
    def lost(self) -> float:
        """How much of the weight is gone."""
        return self.theta[0] - self.theta[-1]

    @property
    def crossing(self) -> int | None:
        """The first step after which the weight is at zero or on its other side."""
        start = self.theta[0]
        return next((t for t, theta in enumerate(self.theta) if t and theta * start <= 0), None)


def path(settings: Settings, decay: Decay) -> Path:
    """The weight's path, step by step, by the optimizer that trains every model of the course."""
    parameter = nn.Parameter(torch.tensor([settings.theta], dtype=torch.float64))
    group = ParameterGroup([parameter], settings.weight_decay)
    betas = (settings.beta1, settings.beta2)
    adam = Adam([group], betas=betas, eps=EPS, decay=decay)
    thetas, m_hats, roots = [settings.theta], [math.nan], [math.nan]
    for g in STREAMS[settings.stream](settings.steps):
        group.gradients.fill_(settings.size * g)
        adam.step(settings.learning_rate)
        round_to_grid([group.values], GRID_BITS)
        thetas.append(group.values.item())
        m_hats.append(group.first_moment.item() / (1 - settings.beta1**adam.steps))
        roots.append(math.sqrt(group.second_moment.item() / (1 - settings.beta2**adam.steps)))
    return Path(tuple(thetas), tuple(m_hats), tuple(roots))


def paths(settings: Settings) -> dict[str, Path]:
    """Both paths, by the optimizer's name."""
    return {name: path(settings, decay) for name, decay in OPTIMIZERS.items()}

"""How much of its start a run forgets: recipes of large models, and the course's own, compared."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from minitrain.common.errors import UserError
from minitrain.common.messages import Message, got, say
from minitrain.pages import scaling
from minitrain.pages.handles import Handle, checked
from minitrain.runs import experiments
from minitrain.training.config import Config, OptimizerConfig, ScheduleConfig
from minitrain.training.schedule import learning_rate

POINTS = 100  # a curve is drawn at so many equal shares of the run, and at its start
MOST_STEPS = 2_000_000


@dataclass(frozen=True)
class Recipe:
    """What decides how long a run remembers.

    learning_rate: the peak. batch_size and data count the same, tokens or examples. warmup: the
    share of the run until the peak. cosine: the share at which the learning rate has fallen to
    `final_fraction` of the peak, where it stays.
    """

    learning_rate: float
    weight_decay: float
    batch_size: float
    data: float
    warmup: float
    cosine: float
    final_fraction: float

    @property
    def steps(self) -> int:
        return int(self.data // self.batch_size)


HANDLES = (
    Handle("learning_rate", "η", 1e-8, 1, (1e-5, 1e-1), log=True),
    Handle("weight_decay", "λ", 1e-6, 1000, (1e-3, 100), log=True),
    Handle("batch_size", "B", 1, 1e9, (1, 1e8), log=True),
    Handle("data", "D", 2, 1e15, (1e3, 1e14), log=True),
    Handle("warmup", "w", 0, 0.9, (0, 0.2)),
    Handle("cosine", "c", 0.01, 1, (0.2, 1)),
    Handle("final_fraction", "f", 0, 1, (0, 1)),
)

LAB = "18-regularisation", "decay"


@cache
def recipes() -> dict[str, Recipe]:
    """The presets, by name.

    GPT-3: Brown et al., 2020, table 2.1 and appendix B (its small batches at the start left out).
    LLaMA: Touvron et al., 2023, table 2 and section 2.3; 2000 steps of warm-up. The course's run is
    that of chapter 05.
    """
    gpt3 = {"warmup": 0.00125, "cosine": 0.866667, "final_fraction": 0.1}
    return {
        "GPT-3 Small": Recipe(6.0e-4, 0.1, 0.5e6, 300e9, **gpt3),
        "GPT-3 175B": Recipe(0.6e-4, 0.1, 3.2e6, 300e9, **gpt3),
        "LLaMA 7B": Recipe(3.0e-4, 0.1, 4.0e6, 1.0e12, 0.008, 1, 0.1),
        "LLaMA 65B": Recipe(1.5e-4, 0.1, 4.0e6, 1.4e12, 0.005714, 1, 0.1),
        "minitrain": _of_config(experiments.load(LAB[0]).config(LAB[1])),
    }


def _of_config(config: Config) -> Recipe:
    return Recipe(
        learning_rate=config.optimizer.learning_rate,
        weight_decay=config.optimizer.weight_decay,
        batch_size=config.batch_size,
        data=config.batch_size * config.steps,
        warmup=float(f"{config.schedule.warmup_steps / config.steps:.4g}"),
        cosine=1,
        final_fraction=config.schedule.final_fraction,
    )


def check(recipe: Recipe) -> None:
    """Raise `UserError`, one line with symbol and value, unless the recipe makes sense."""
    checked(HANDLES, vars(recipe))
    pull = recipe.learning_rate * recipe.weight_decay
    if pull >= 1:
        raise _error("ηλ", say("less_than", limit=1), pull)
    if recipe.steps < 2:
        raise _error("D/B", say("at_least", limit=2), recipe.steps)
    if recipe.steps > MOST_STEPS:
        raise _error("D/B", say("at_most", limit=MOST_STEPS), recipe.steps)
    if recipe.warmup >= recipe.cosine:
        raise _error("w", say("less_than", limit=f"{recipe.cosine:g}"), recipe.warmup)


def _error(source: str, reason: Message, value: object) -> UserError:
    return UserError(say("at", source=source, reason=got(reason, value)))


def learning_rates(recipe: Recipe) -> list[float]:
    """The learning rate of every step, by the schedule that trains every model of the course."""
    warmup, cosine = (
        math.floor(share * recipe.steps + 0.5) for share in (recipe.warmup, recipe.cosine)
    )
    config = Config(
        steps=max(cosine, warmup + 1),
        batch_size=1,
        optimizer=OptimizerConfig(learning_rate=recipe.learning_rate),
        schedule=ScheduleConfig(warmup_steps=warmup, final_fraction=recipe.final_fraction),
    )
    last = config.steps - 1
    falling = [learning_rate(t, config) for t in range(min(config.steps, recipe.steps))]
    return falling + [learning_rate(last, config)] * (recipe.steps - len(falling))


@dataclass(frozen=True)
class Forgetting:
    """What a recipe's decay does over its run.

    timescale: 1/(eta lambda) at the peak, in steps. tau: the same as a share of the run. total: the
    run's length in timescales, lambda times the sum of the learning rates. left: the share of its
    start that a weight without gradients keeps. The curves have `POINTS` + 1 values, at equal parts
    of the run. kept: what is left of the start by then. memory: the share of the step there in the
    final weights, times the number of steps (1 if all steps counted alike).
    """

    steps: int
    timescale: float
    tau: float
    total: float
    left: float
    kept: tuple[float, ...]
    memory: tuple[float, ...]


@cache
def forgetting(recipe: Recipe) -> Forgetting:
    """Chapter 07's quantities for one recipe."""
    check(recipe)
    rates = learning_rates(recipe)
    alphas = recipe.weight_decay * np.array(rates)
    kept = np.concatenate([[1.0], np.cumprod(1 - alphas)])
    later = np.concatenate([np.cumprod((1 - alphas)[::-1])[::-1][1:], [1.0]])
    done = [point * recipe.steps // POINTS for point in range(POINTS + 1)]
    steps = [min(t, recipe.steps - 1) for t in done]
    return Forgetting(
        steps=recipe.steps,
        timescale=1 / (recipe.learning_rate * recipe.weight_decay),
        tau=scaling.timescale(
            recipe.batch_size, recipe.learning_rate, recipe.weight_decay, recipe.data
        ),
        total=recipe.weight_decay * math.fsum(rates),
        left=float(kept[-1]),
        kept=tuple(kept[done].tolist()),
        memory=tuple((recipe.steps * alphas[steps] * later[steps]).tolist()),
    )

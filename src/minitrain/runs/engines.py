"""Which program trains a run: PyTorch, which the pages show, or the kernel, which is faster.

Both give the same bytes. The kernel trains by default where it can, but only while the sources of
the training are those that it was compared with (`kernel/verified.json`): whoever edits `model.py`
trains what they edited.
"""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import overload

from minitrain.common.errors import UserError
from minitrain.kernel import binding, build
from minitrain.kernel import training as kernel_training
from minitrain.runs import faults
from minitrain.runs.code import training_code
from minitrain.runs.faults import Recipe
from minitrain.training import loop
from minitrain.training.config import Config
from minitrain.training.loop import Training

log = logging.getLogger(__name__)

ENGINE_VARIABLE = "MINITRAIN_ENGINE"
PYTORCH, KERNEL = "pytorch", "kernel"
NAMES = (PYTORCH, KERNEL)

# How far apart two programs may round grows with the step that Adam takes, the grid does not. With
# a peak of 0.21 a run was found that PyTorch and the kernel end differently on one processor, and
# PyTorch alone on two. Above this rate PyTorch trains, and the book has no such run.
HIGHEST_RATE = 0.1


@dataclass(frozen=True)
class Engine:
    """How to begin a run, and how to train it to its end.

    Attributes:
        name: one of `NAMES`, as a run records it.
        start: a run before its first step.
        train: as `loop.train`.
    """

    name: str
    start: Callable[[Config], Training]
    train: Callable[..., Training]


def pytorch(device: str = "cpu") -> Engine:
    """The reference."""
    return Engine(PYTORCH, partial(loop.start, device=device), loop.train)


def kernel(fault: str | None = None) -> Engine:
    """The training in C, with a fault planted. Raises `NoCompiler` if it cannot be compiled."""
    binding.load()
    planted = faults.load(fault).request.kernel if fault else None
    how = planted.model_dump() if planted else {}
    return Engine(KERNEL, partial(kernel_training.start, **how), kernel_training.train)


@overload
def choose(recipe: Config, device: str = "cpu", wanted: str | None = None) -> Engine: ...
@overload
def choose(
    recipe: Config | Recipe, device: str = "cpu", wanted: str | None = None
) -> Engine | None: ...
def choose(
    recipe: Config | Recipe, device: str = "cpu", wanted: str | None = None
) -> Engine | None:
    """The engine that trains a config here; for a recipe with a fault that only PyTorch trains,
    None: PyTorch then has to have the patched sources, in another process.

    wanted: one of `NAMES`; by default the environment decides (`MINITRAIN_ENGINE`), and without it
    the kernel trains what it can to the same bytes. Raises `UserError` if the one that is wanted
    cannot.
    """
    recipe = Recipe.of(recipe)
    name = wanted or os.environ.get(ENGINE_VARIABLE) or None
    if name not in (None, *NAMES):
        raise UserError(f"{ENGINE_VARIABLE}={name!r}: expected {' or '.join(NAMES)}")
    reference = None if recipe.fault else pytorch(device)
    if name == PYTORCH:
        return reference
    obstacle = _obstacle(recipe, device)
    if obstacle is None:
        return kernel(recipe.fault)
    if name == KERNEL:
        raise UserError(f"the kernel does not train this run: {obstacle}")
    return reference


def other(name: str, config: Config, device: str = "cpu") -> Engine:
    """The engine that a run is verified with: the one that did not train it, where there is one."""
    return choose(config, device) if name == PYTORCH else pytorch(device)


def _obstacle(recipe: Recipe, device: str) -> str | None:
    """Why the kernel does not train a recipe here; None if it does."""
    config = recipe.config
    if recipe.fault and faults.load(recipe.fault).request.kernel is None:
        return f"it does not know the fault {recipe.fault}"
    if device != "cpu":
        return f"it computes on the processor, not on {device}"
    if not binding.covers(config):
        return "its arithmetic is not float64 on the grid"
    if config.optimizer.learning_rate > HIGHEST_RATE:
        return f"above a learning rate of {HIGHEST_RATE} two programs may round differently"
    return _obstacle_here()


@cache
def _obstacle_here() -> str | None:
    """Why the kernel trains nothing here. Says so once, since training takes twice as long then."""
    reason = None
    try:
        if build.sources() and verified() != current():
            reason = (
                "training code or kernel is not what the two were compared with;"
                " `minitrain engines --write` compares them"
            )
        else:
            binding.load()
    except build.NoCompiler as error:
        reason = str(error)
    if reason:
        log.warning("PyTorch trains: %s", reason)
    return reason


def current() -> dict[str, str]:
    """The hashes of the training code, of the kernel and of the faults, as they are."""
    return {
        "training": training_code(),
        "kernel": build.kernel_code(),
        "faults": faults.all_code(),
    }


def verified_path() -> Path:
    """The file with the hashes of the sources whose runs were found to be equal."""
    return build.folder() / "verified.json"


def verified() -> dict[str, str] | None:
    """What that file says; None if it is not there or not readable."""
    try:
        values = json.loads(verified_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None

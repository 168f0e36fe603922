"""A check of saving and loading: a run that was stopped goes on as if it had not been."""

import random
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from minitrain.checks.reading import copies, equal
from minitrain.checks.verdict import CannotJudge, Verdict, few

Run = TypeVar("Run")
Saved = TypeVar("Saved")


def resume(
    start: Callable[[], Run],
    advance: Callable[[Run], object],
    save: Callable[[Run], Saved],
    load: Callable[[Saved], Run],
    state: Callable[[Run], Mapping[str, Tensor]],
    before: int = 3,
    after: int = 3,
) -> Verdict:
    """Stopped after `before` steps, saved, loaded and continued, a run ends where it would have.

    start: a new run, seeded. advance: its next step. save, load: as the training program does it;
    `load` builds everything anew, as in a fresh process. state: the tensors to compare, by name;
    parameters, and whatever else should be named if it differs, say the moments. Compared to the
    last bit. The random numbers of PyTorch and of `random` are other ones after the stop, as they
    are in a fresh process, and the caller's are put back.

    Finds moments that are not saved, or dropped on loading (KempnerInstitute/KempnerForge PR #115),
    a schedule that is not restored (facebookresearch/ParlAI PR #1812), data that begin anew, random
    numbers that are not saved. Cannot see what `state` leaves out if no step of `after` shows it,
    what a file would lose unless `save` and `load` go through one, nor NumPy's random numbers.
    """
    if before < 1 or after < 1:
        raise CannotJudge(f"before, after: {before}, {after}; both are at least 1")
    python = random.getstate()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            run = start()
            began = _state(state, run)
            _advance(run, advance, before)
            halfway = _state(state, run)
            _advance(run, advance, after)
            gone_on = _state(state, run)
            if not _differing(began, halfway) or not _differing(halfway, gone_on):
                raise CannotJudge("advance: changes nothing in state")

            run = start()
            _advance(run, advance, before)
            if differ := _differing(halfway, _state(state, run)):
                raise CannotJudge(f"start: two runs differ without a stop, first in {differ[0]}")
            saved = save(run)
            torch.manual_seed(1 + torch.initial_seed() % 2**32)
            random.seed(1)
            run = load(saved)
            at_once = _differing(halfway, _state(state, run))
            _advance(run, advance, after)
            resumed = _state(state, run)
    finally:
        random.setstate(python)
    differ = _differing(gone_on, resumed)
    evidence = f"{before} + {after} steps: {len(gone_on) - len(differ)} / {len(gone_on)} ="
    if differ:
        name = differ[0]
        evidence += f"; ≠: {few(differ, longest=45)}{_distance(gone_on[name], resumed.get(name))}"
    if at_once:
        evidence += f"; ≠ on load: {few(at_once, longest=45)}"
    return Verdict("resume", not differ and not at_once, evidence)


def _advance(run: Run, advance: Callable[[Run], object], steps: int) -> None:
    for _ in range(steps):
        advance(run)


def _state(state: Callable[[Run], Mapping[str, Tensor]], run: Run) -> dict[str, Tensor]:
    tensors = state(run)
    if not isinstance(tensors, Mapping) or not tensors:
        raise CannotJudge(f"state: returned {type(tensors).__name__}, expected tensors by name")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise CannotJudge(
                f"state: {name} is a {type(tensor).__name__}, expected tensors by name"
            )
    return copies(tensors)


def _differing(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> list[str]:
    return [name for name in one if name not in two or not equal(one[name], two[name])]


def _distance(one: Tensor, two: Tensor | None) -> str:
    if two is None or one.shape != two.shape:
        return ""
    return f" (max |Δ| {(one.double() - two.double()).abs().max().item():.2g})"

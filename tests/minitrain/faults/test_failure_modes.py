"""Chapter 19/03: what three knobs do, over the range that it shows.

The runs with a warm-up are the book's own, from its store. What is said of a model before its first
step needs no training.
"""

import math
from statistics import mean
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from minitrain import checks
from minitrain.labs.lab import Lab
from minitrain.training import corpus, loop, metrics
from minitrain.training.model import GPT, INIT_STD

LAB = Lab("19-three-failure-modes")
Ends = dict[tuple[float, int], list[float]]


@pytest.fixture(scope="module")
def ends() -> Ends:
    """The final validation loss of each seed, by peak and warm-up."""
    found: Ends = {}
    for run in LAB.runs("warmup")["warmup"]:
        key = run.config.optimizer.learning_rate, run.config.schedule.warmup_steps
        found.setdefault(key, []).append(run.last.val_loss)
    return found


def test_at_the_courses_peak_any_warm_up_will_do_but_all_of_the_run(ends: Ends) -> None:
    plateau = [loss for warmup in (3, 10, 30, 100) for loss in ends[0.007, warmup]]
    assert max(plateau) < 1.1 * min(plateau)
    assert min(ends[0.007, 299]) > 1.5 * max(plateau)


def test_the_higher_the_peak_the_longer_the_warm_up_has_to_be(ends: Ends) -> None:
    for peak, short, long in ((0.017, 3, 10), (0.05, 30, 100)):
        assert min(ends[peak, short]) > max(ends[peak, long])
    assert min(ends[0.017, 0]) > 1.5 * max(ends[0.017, 30])
    assert min(ends[0.05, 10]) > 3 * max(ends[0.017, 10])


def test_no_run_diverges(ends: Ends) -> None:
    assert max(loss for losses in ends.values() for loss in losses) < math.log(V)


V = len(corpus.vocabulary())


def first_loss(factor: float, part: str, seed: int = 42) -> float:
    """Before the first step, with the matrices of one part scaled."""
    model = loop.start(LAB.config("warmup", seed=seed)).model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and name.startswith(part):
                parameter.mul_(factor)
    return metrics.evaluate(model, "val").loss


@pytest.mark.parametrize("factor", [0, 0.1, 1, 10, 100])
def test_the_first_loss_sees_nothing_of_the_blocks(factor: float) -> None:
    assert first_loss(factor, "blocks") == pytest.approx(math.log(V), abs=0.05)


@pytest.mark.parametrize("factor", [10, 100])
def test_the_first_loss_grows_with_a_tied_embedding(factor: float) -> None:
    found = mean(first_loss(factor, "token_embedding", seed) for seed in (42, 43, 44))
    assert found == pytest.approx(64 * INIT_STD * factor, rel=0.12)


@pytest.mark.parametrize(("strength", "passes"), [(6, False), (20, False), (40, True)])
def test_a_weak_mask_is_found_until_it_is_below_the_precision(strength: int, passes: bool) -> None:
    attend = F.scaled_dot_product_attention

    def weakly(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
        mask = torch.full((q.shape[2], q.shape[2]), -float(strength), dtype=q.dtype).triu(1)
        return attend(q, k, v, attn_mask=mask)

    model: GPT = loop.start(LAB.config("warmup")).model
    with mock.patch.object(F, "scaled_dot_product_attention", weakly):
        verdict = checks.causality(model, corpus.encoded("train").inputs[:8])
    assert bool(verdict) is passes

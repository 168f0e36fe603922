"""The faults that chapters 02, 03 and 06 show bite on every seed.

Like those of the lab, these are the book's own runs, from the same store.
"""

import math
from collections.abc import Sequence

import pytest

from minitrain.labs.lab import Lab
from minitrain.pages import plots
from minitrain.runs.store import Run
from minitrain.training import corpus

UNIFORM = math.log(len(corpus.vocabulary()))

Runs = dict[str, list[Run]]


def finals(runs: Sequence[Run], quantity: plots.Quantity = plots.train_loss) -> list[float]:
    return [quantity(run.last) for run in runs]


@pytest.fixture(scope="module")
def rates() -> Runs:
    """Chapter 02: learning rates and schedules."""
    return Lab("18-learning-rate-range").runs(
        "peak-4.9e-3", "peak-6e-2", "peak-1.7e-2", "no-warmup", "no-decay", "no-warmup-1.7e-2"
    )


@pytest.fixture(scope="module")
def precisions() -> Runs:
    """Chapter 03: what is rounded, and where the loss scale stands."""
    return Lab("18-mixed-precision").runs(
        "float16-scaled", "float16-small", "float16-tiny", "float64", "l2", "l2-lost", "l2-none"
    )


@pytest.fixture(scope="module")
def masks() -> Runs:
    """Chapter 06: what decays."""
    return Lab("18-decay-masks").runs("matrices", "all", "matrices-tenth", "all-tenth", "l2")


def test_a_rate_one_rung_too_high_stalls_and_does_not_diverge(rates: Runs) -> None:
    assert not any(run.diverged for run in rates["peak-6e-2"])
    assert min(finals(rates["peak-6e-2"])) > 4 * max(finals(rates["peak-4.9e-3"]))


def test_at_the_healthy_peak_the_decay_of_the_schedule_counts_most(rates: Runs) -> None:
    healthy, no_warmup, no_decay = (
        finals(rates[name]) for name in ("peak-4.9e-3", "no-warmup", "no-decay")
    )
    assert max(no_warmup) < min(no_decay)
    assert min(no_decay) > 1.2 * max(healthy)


def test_at_the_high_peak_a_run_fails_without_its_warm_up(rates: Runs) -> None:
    assert min(finals(rates["no-warmup-1.7e-2"])) > 2 * max(finals(rates["peak-1.7e-2"]))


def test_underflow_ends_no_better_than_a_uniform_guess_and_without_a_nan(precisions: Runs) -> None:
    assert not any(run.diverged for run in precisions["float16-tiny"])
    losses = finals(precisions["float16-tiny"], plots.val_loss)
    assert min(losses) > 0.99 * UNIFORM
    assert sum(losses) / len(losses) > UNIFORM
    assert max(finals(precisions["float16-scaled"], plots.val_loss)) < UNIFORM / 4
    norm = plots.embedding_norm
    assert min(finals(precisions["float16-tiny"], norm)) > 3 * max(
        finals(precisions["float16-scaled"], norm)
    )


def test_a_little_underflow_costs_a_little_on_every_seed(precisions: Runs) -> None:
    losses = {
        name: finals(precisions[name], plots.val_loss)
        for name in ("float16-small", "float16-scaled")
    }
    for small, scaled in zip(*losses.values(), strict=True):
        assert scaled < small < UNIFORM / 2


def test_mixed_precision_done_properly_cannot_be_told_from_float64(precisions: Runs) -> None:
    scaled = finals(precisions["float16-scaled"], plots.val_loss)
    float64 = finals(precisions["float64"], plots.val_loss)
    away = max(abs(a - b) for a, b in zip(scaled, float64, strict=True))
    assert away < (max(float64) - min(float64)) / 5


def test_l2_before_the_unscaling_is_hardly_any_l2(precisions: Runs) -> None:
    l2, lost, none = (
        finals(precisions[name], plots.embedding_norm) for name in ("l2", "l2-lost", "l2-none")
    )
    assert max(l2) < 0.85 * min(lost)
    assert lost == pytest.approx(none, rel=0.01)
    assert lost != none


def test_decaying_everything_harms_on_every_seed(masks: Runs) -> None:
    pairs = zip(
        finals(masks["all"], plots.val_loss), finals(masks["matrices"], plots.val_loss), strict=True
    )
    assert all(everything > 1.2 * matrices for everything, matrices in pairs)


def test_at_a_tenth_of_the_decay_five_seeds_agree_and_ten_do_not(masks: Runs) -> None:
    differences = [
        everything - matrices
        for everything, matrices in zip(
            finals(masks["all-tenth"], plots.val_loss),
            finals(masks["matrices-tenth"], plots.val_loss),
            strict=True,
        )
    ]
    assert all(difference > 0 for difference in differences[:5])
    assert any(difference < 0 for difference in differences[5:])


def test_decay_chained_before_adam_learns_no_form(masks: Runs) -> None:
    assert finals(masks["l2"], plots.accuracy("train")) == [0]

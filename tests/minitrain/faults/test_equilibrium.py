"""What chapter 09 finds, pinned on the runs that the book trains."""

import math

import pytest

from minitrain.pages.intervals import paired
from minitrain.runs import experiments
from minitrain.runs.store import Run
from minitrain.runs.sweep import run_all


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Run]]:
    """The runs of each variant, in the order of their seeds."""
    found: dict[str, list[Run]] = {}
    for (variant, _), config in experiments.load("18-equilibrium").shown().items():
        found.setdefault(variant, []).extend(run_all([config]))
    return found


def test_in_a_run_as_short_as_one_pass_decay_costs(runs: dict[str, list[Run]]) -> None:
    without = [run.last.val_loss for run in runs["once-0"]]
    for variant in ("once-0.9", "once-8.1", "once-24.3"):
        assert paired(without, [run.last.val_loss for run in runs[variant]]).low > 0


def test_three_times_the_decay_shortens_weights_by_about_a_root_of_three(
    runs: dict[str, list[Run]],
) -> None:
    for a, b in zip(runs["low-2.7"], runs["low-8.1"], strict=True):
        for kind in ("attention", "mlp", "token_embedding", "position_embedding"):
            ratio = b.last.weight_norms[kind] / a.last.weight_norms[kind]
            assert ratio == pytest.approx(1 / math.sqrt(3), rel=0.2)

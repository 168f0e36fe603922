"""What chapter 07 finds in its sweep, pinned on the runs that the book trains."""

import pandas as pd
import pytest

from minitrain.runs import experiments, table
from minitrain.runs.sweep import run_all


@pytest.fixture(scope="module")
def sweep() -> pd.DataFrame:
    """The sweep's runs, one row each, with short names for its two axes and their product."""
    points = experiments.load("18-lambda-sweep").points()
    frame = table.of(run_all(point.config for point in points))
    frame["eta"] = frame["optimizer.learning_rate"]
    frame["lam"] = frame["optimizer.weight_decay"]
    frame["product"] = (frame["eta"] * frame["lam"] * frame["steps"]).round(9)
    return frame


def apart(frame: pd.DataFrame, quantity: str, scale: str) -> float:
    """Largest over smallest of the learning rates' means at one place of `scale`, averaged."""
    means = frame[frame["lam"] > 0].groupby(["eta", "lam"]).mean(numeric_only=True).reset_index()
    groups = [
        group[quantity] for _, group in means.groupby(means[scale].round(9)) if len(group) > 1
    ]
    return sum(group.max() / group.min() for group in groups) / len(groups)


def test_the_sweep_is_three_rates_by_six_decays_by_three_seeds(sweep: pd.DataFrame) -> None:
    assert [sweep[name].nunique() for name in ("eta", "lam", "seed")] == [3, 6, 3]
    assert len(sweep) == sweep["fingerprint"].nunique() == 54


def test_some_decay_helps_at_the_highest_peak_on_every_seed(sweep: pd.DataFrame) -> None:
    losses = sweep[sweep["eta"] == 0.018].pivot(index="seed", columns="lam", values="test_loss")
    assert (losses[0.0] - losses[0.3]).min() > 0.015


def test_too_much_decay_is_ruinous_at_every_peak(sweep: pd.DataFrame) -> None:
    losses = sweep.groupby("lam")["test_loss"]
    assert losses.min()[8.1] > 2 * losses.max()[0.0]
    assert losses.min()[2.7] > losses.max()[0.0]


def test_the_loss_falls_together_on_lambda_and_the_relative_norm_on_the_product(
    sweep: pd.DataFrame,
) -> None:
    without = sweep[sweep["lam"] == 0].groupby("eta")["embedding_norm"].mean()
    sweep["ratio"] = sweep["embedding_norm"] / sweep["eta"].map(without)
    assert apart(sweep, "test_loss", "lam") < 1.25 < 1.5 < apart(sweep, "test_loss", "product")
    assert apart(sweep, "ratio", "product") < 1.3 < 2.5 < apart(sweep, "ratio", "lam")


def test_where_decay_does_no_harm_the_loss_prefers_neither_scale(sweep: pd.DataFrame) -> None:
    roomy = sweep[sweep["lam"] <= 0.9]
    assert abs(apart(roomy, "test_loss", "product") - apart(roomy, "test_loss", "lam")) < 0.1


def test_no_weight_leaves_the_box(sweep: pd.DataFrame) -> None:
    points = experiments.load("18-lambda-sweep").points()
    for point in (p for p in points if p.config.optimizer.weight_decay == 8.1):
        (run,) = run_all([point.config])
        matrices = [p.detach() for p in run.model().parameters() if p.ndim >= 2]
        assert max(float(p.abs().max()) for p in matrices) < 1 / 8.1

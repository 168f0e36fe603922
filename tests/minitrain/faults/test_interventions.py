"""What chapter 08 finds in its study, pinned on the runs that the book trains."""

import math
import statistics

import pandas as pd
import pytest

from minitrain.runs import experiments, table
from minitrain.runs.store import Run
from minitrain.runs.sweep import run_all
from minitrain.training.config import differing

STUDY = experiments.load("18-interventions")
SMALL = ("gradient-clipping", "qkv-bias", "no-dropout", "weight-tying")
PAIRED = [42, 43, 44, 45, 46]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return run_all(point.config for point in STUDY.points())


@pytest.fixture(scope="module")
def frame(runs: list[Run]) -> pd.DataFrame:
    return table.of(runs, STUDY.points())


@pytest.fixture(scope="module")
def losses(frame: pd.DataFrame) -> pd.DataFrame:
    """Test losses: a row for each seed, a column for each variant."""
    return frame.pivot(index="seed", columns="variant", values="test_loss")


def differences(losses: pd.DataFrame, variant: str, base: str = "baseline") -> "pd.Series[float]":
    return (losses[variant] - losses[base]).dropna()


def test_the_baseline_has_more_runs_than_any_variant(losses: pd.DataFrame) -> None:
    counts = losses.count()
    assert counts["baseline"] == 10 > counts.drop("baseline").max() == 5


def test_no_run_of_the_study_diverges(frame: pd.DataFrame) -> None:
    assert not frame["diverged"].any()


def test_runs_of_one_seed_see_the_same_tokens(frame: pd.DataFrame) -> None:
    assert (frame.groupby("seed")["tokens"].nunique() == 1).all()


@pytest.mark.parametrize("name", ["gradient-clipping", "qkv-bias", "no-dropout", "decay-low"])
def test_on_the_schedule_an_intervention_is_the_same_one_leaf(name: str) -> None:
    on_baseline = differing(STUDY.config("baseline"), STUDY.config(name))
    on_baseline.pop("eval_interval")  # how often a run is measured changes nothing of it
    on_schedule = differing(STUDY.config("schedule-peak"), STUDY.config(f"peak-{name}"))
    assert on_baseline == on_schedule
    assert len(on_schedule) == 1


def test_two_runs_without_any_difference_can_differ_by_more_than_low_decay_gains(
    losses: pd.DataFrame,
) -> None:
    baseline = losses["baseline"]
    assert baseline.max() - baseline.min() > -differences(losses, "decay-low").mean() > 0


def test_one_run_shows_the_schedule_and_the_high_decay(losses: pd.DataFrame) -> None:
    assert losses["schedule-peak"].max() < losses["baseline"].min()
    assert losses["decay-high"].min() > losses["baseline"].max()


@pytest.mark.parametrize("name", ["schedule", "schedule-peak", "decay-low"])
def test_the_large_gains_are_gains_on_every_seed(name: str, losses: pd.DataFrame) -> None:
    assert differences(losses, name).max() < -0.02


@pytest.mark.parametrize("name", SMALL)
def test_the_seeds_disagree_on_whether_a_small_intervention_helps(
    name: str, losses: pd.DataFrame
) -> None:
    d = differences(losses, name)
    assert d.min() < 0 < d.max()


def test_the_luck_of_the_baseline_decides_on_all_small_interventions_at_once(
    losses: pd.DataFrame,
) -> None:
    better = losses[list(SMALL)].loc[PAIRED].lt(losses["baseline"].loc[PAIRED], axis=0).sum(axis=1)
    assert better[44] == 4
    assert better[43] == 0
    assert losses["baseline"].idxmax() == 44


def test_with_a_falling_learning_rate_the_seeds_scatter_less_than_half_as_much(
    losses: pd.DataFrame,
) -> None:
    falls = {name: STUDY.config(name).schedule.final_fraction < 1 for name in STUDY.patches}
    pooled = losses.var().groupby(pd.Series(falls)).mean()
    assert math.sqrt(pooled[False]) > 2 * math.sqrt(pooled[True])


def test_on_the_schedule_five_seeds_resolve_low_decay_and_find_nothing_in_qkv_bias(
    losses: pd.DataFrame,
) -> None:
    low = differences(losses, "peak-decay-low", "schedule-peak")
    bias = differences(losses, "peak-qkv-bias", "schedule-peak")
    assert low.max() < -0.005
    assert bias.abs().max() < 0.01


def test_only_bfloat16_stays_close_enough_to_its_twin_for_pairs_to_help(
    losses: pd.DataFrame,
) -> None:
    baseline = losses["baseline"]
    assert losses["bfloat16"].corr(baseline) > 0.95
    assert differences(losses, "bfloat16").abs().max() < 0.02
    others = [name for name in STUDY.patches if name != "bfloat16" and "peak-" not in name]
    assert all(differences(losses, name).std() > 0.02 for name in others if name != "baseline")


def curves(runs: list[Run], variant: str) -> list[list[float]]:
    """The logarithm of the training loss, every ten steps, for each of the first five seeds."""
    return [
        [math.log(record.train_loss) for record in run.records[1:]]
        for point, run in zip(STUDY.points(), runs, strict=True)
        if point.variant == variant and point.seed in PAIRED
    ]


def roughness(curve: list[float]) -> float:
    """Standard deviation around a running median of five points."""
    return statistics.pstdev(
        value - statistics.median(curve[max(0, i - 2) : i + 3]) for i, value in enumerate(curve)
    )


def test_a_schedule_calms_the_run_with_high_decay_and_a_higher_peak_stirs_it_up(
    runs: list[Run],
) -> None:
    high, calm, peak = (
        [roughness(curve) for curve in curves(runs, f"decay-high{suffix}")]
        for suffix in ("", "-schedule", "-schedule-peak")
    )
    assert max(calm) < min(high)
    assert max(calm) < min(peak)


def test_clipping_at_one_rescales_even_the_last_gradient(runs: list[Run]) -> None:
    norms = [
        run.last.gradient_norm
        for point, run in zip(STUDY.points(), runs, strict=True)
        if point.variant == "baseline"
    ]
    assert all(norm is not None and norm > 2 for norm in norms)


def test_the_smoke_test_cannot_tell_the_best_run_from_the_worst(frame: pd.DataFrame) -> None:
    best, worst = (frame.loc[frame["test_loss"].agg(end)] for end in ("idxmin", "idxmax"))
    assert best["completion"] != "plays."
    assert worst["completion"] != "plays."
    assert worst["test_loss"] > 2 * best["test_loss"]

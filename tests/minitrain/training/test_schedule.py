"""The learning rate climbs, turns and falls where it should."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minitrain.training.config import Config, patched
from minitrain.training.schedule import learning_rate, total_decay


def config(peak: float, steps: int, warmup: int, final: float, decay: float = 0.1) -> Config:
    """A config with this schedule."""
    return patched(
        Config(),
        {
            "steps": steps,
            "optimizer": {"learning_rate": peak, "weight_decay": decay},
            "schedule": {"warmup_steps": warmup, "final_fraction": final},
        },
    )


@st.composite
def configs(draw: st.DrawFn, min_steps: int = 1) -> Config:
    """Any schedule."""
    steps = draw(st.integers(min_steps, 3000))
    return config(
        peak=draw(st.floats(1e-6, 1.0)),
        steps=steps,
        warmup=draw(st.integers(0, steps - 1)),
        final=draw(st.floats(0, 1)),
        decay=draw(st.floats(0, 2)),
    )


@given(configs())
def test_the_peak_comes_at_the_end_of_the_warm_up_and_is_never_passed(config: Config) -> None:
    peak, warmup = config.optimizer.learning_rate, config.schedule.warmup_steps
    rates = [learning_rate(step, config) for step in range(config.steps)]
    assert rates[warmup] == pytest.approx(peak, rel=1e-12)
    assert max(rates) <= peak * (1 + 1e-12)


@given(configs())
def test_the_last_step_has_the_final_fraction_of_the_peak(config: Config) -> None:
    assume(config.schedule.warmup_steps < config.steps - 1)
    expected = config.schedule.final_fraction * config.optimizer.learning_rate
    last = learning_rate(config.steps - 1, config)
    assert last == pytest.approx(expected, rel=1e-9, abs=1e-12 * config.optimizer.learning_rate)


@given(configs())
def test_it_rises_evenly_from_above_zero_then_never_rises_again(config: Config) -> None:
    peak, warmup = config.optimizer.learning_rate, config.schedule.warmup_steps
    rates = [learning_rate(step, config) for step in range(config.steps)]
    assert rates[0] > 0
    rises = [b - a for a, b in pairwise(rates[: warmup + 1])]
    assert all(rise == pytest.approx(peak / (warmup + 1), rel=1e-6) for rise in rises)
    falling = rates[warmup:]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(falling))


@given(configs(min_steps=3))
def test_no_step_is_larger_than_the_steepest_part_of_the_curve(config: Config) -> None:
    assume(config.schedule.warmup_steps < config.steps - 1)
    peak, warmup = config.optimizer.learning_rate, config.schedule.warmup_steps
    rates = [learning_rate(step, config) for step in range(config.steps)]
    steepest = peak * max(1 / (warmup + 1), math.pi / 2 / (config.steps - 1 - warmup))
    assert all(abs(b - a) <= steepest * (1 + 1e-9) for a, b in pairwise(rates))


def test_half_way_down_it_is_half_way_between_peak_and_end() -> None:
    middle = config(peak=1.0, steps=1101, warmup=100, final=0.2)
    assert learning_rate(600, middle) == pytest.approx(0.6, rel=1e-12)


def test_a_schedule_worked_out_by_hand() -> None:
    by_hand = config(peak=1.0, steps=5, warmup=2, final=0.0)
    rates = [learning_rate(step, by_hand) for step in range(5)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 0.5, 0], abs=1e-15)


@given(configs())
def test_total_decay_is_the_sum_that_an_untouched_weight_feels(config: Config) -> None:
    weight, weight_decay = 0.0, config.optimizer.weight_decay
    for step in range(config.steps):
        weight += learning_rate(step, config) * weight_decay
    assert total_decay(config) == pytest.approx(weight, rel=1e-9, abs=1e-300)


def test_a_constant_rate_decays_by_rate_times_lambda_times_steps() -> None:
    constant = config(peak=3e-4, steps=2000, warmup=0, final=1.0, decay=0.1)
    assert total_decay(constant) == pytest.approx(0.06, rel=1e-12)

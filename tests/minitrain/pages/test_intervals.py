"""Intervals over seeds: against SciPy's own, and what they must not say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from minitrain.pages.intervals import interval, paired

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).filter(
    lambda xs: max(xs) - min(xs) > 1e-3
)


@given(xs=values)
def test_the_interval_is_students(xs: list[float]) -> None:
    found = interval(xs)
    low, high = stats.t.interval(0.95, len(xs) - 1, loc=found.mean, scale=stats.sem(xs))
    assert math.isclose(found.low, low, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(found.high, high, rel_tol=1e-9, abs_tol=1e-9)


@given(xs=values, shift=st.floats(-100, 100))
def test_pairing_cancels_what_the_seeds_share(xs: list[float], shift: float) -> None:
    found = paired(xs, [x + shift for x in xs])
    assert math.isclose(found.mean, shift, abs_tol=1e-9)
    assert found.half < 1e-9


def test_three_seeds_that_agree_may_settle_nothing() -> None:
    found = interval([0.1, 0.2, 0.9])
    assert found.holds(0)
    assert f"{found:+.2f}" == "+0.40 ± 1.08"


def test_one_value_has_no_spread() -> None:
    with pytest.raises(ValueError, match=r"at least two values \(got 1\)"):
        interval([1.0])

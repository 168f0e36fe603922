"""The rules of thumb give the figures of the post that quotes them, its rounding included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitrain.pages.scaling import (
    compute_optimal_batch_size,
    optimal_batch_size,
    optimal_timescale,
    timescale,
    weight_decay_for,
)

# The post's run: GPT-2 small on as many tokens as 20 for each parameter, in sequences of 1024.
TOKENS = 3_260_252_160
SEQUENCES = 3_183_840
BATCH = 96

positive = st.floats(1e-6, 1e12)


def test_the_optimal_batch_size_is_the_posts() -> None:
    assert round(optimal_batch_size(TOKENS), 2) == 134.68
    assert round(optimal_batch_size(SEQUENCES), 2) == 9.47  # its footnote: data in sequences


def test_the_posts_optimal_timescale_is_that_of_a_rounded_power() -> None:
    assert 1.084 * round(20**-0.527, 4) == pytest.approx(0.22352, abs=5e-6)
    assert optimal_timescale(20) == pytest.approx(0.22356, abs=5e-6)


@pytest.mark.parametrize(("learning_rate", "expected"), [(4e-4, "0.33724"), (1.4e-3, "0.096355")])
def test_the_weight_decay_of_its_timescale_is_the_posts(
    learning_rate: float, expected: str
) -> None:
    assert f"{weight_decay_for(0.22352, BATCH, learning_rate, SEQUENCES):.5g}" == expected


def test_sequences_or_tokens_give_the_same_if_batch_and_data_count_the_same() -> None:
    in_sequences = weight_decay_for(0.2, BATCH, 4e-4, SEQUENCES)
    assert weight_decay_for(0.2, 1024 * BATCH, 4e-4, TOKENS) == pytest.approx(in_sequences)
    assert weight_decay_for(0.2, BATCH, 4e-4, TOKENS) == pytest.approx(in_sequences / 1024)


@given(batch=positive, rate=positive, decay=positive, data=positive)
def test_timescale_and_weight_decay_are_each_others_inverse(
    batch: float, rate: float, decay: float, data: float
) -> None:
    tau = timescale(batch, rate, decay, data)
    assert weight_decay_for(tau, batch, rate, data) == pytest.approx(decay, rel=1e-12)


def test_the_timescale_is_a_share_of_the_steps() -> None:
    """1 / (rate * decay) steps of the data / batch that there are."""
    assert timescale(8, 0.01, 0.5, 8 * 1000) == pytest.approx((1 / (0.01 * 0.5)) / 1000)


def test_eight_times_the_compute_doubles_the_fit_to_compute() -> None:
    assert compute_optimal_batch_size(8e20) / compute_optimal_batch_size(1e20) == pytest.approx(
        8**0.3271
    )
    assert compute_optimal_batch_size(1.0) == 0.2920


def test_the_posts_gpt2_small_is_far_from_373_sequences_by_deepseeks_own_count() -> None:
    per_token = 72 * 12 * 768**2 + 12 * 12 * 768 * 1024
    assert round(compute_optimal_batch_size(per_token * TOKENS) / 1024) == 278
    without_embeddings = 6 * 12 * 12 * 768**2
    assert round(compute_optimal_batch_size(without_embeddings * TOKENS) / 1024) == 260

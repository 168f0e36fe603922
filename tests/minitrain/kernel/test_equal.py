"""The kernel computes what PyTorch computes: the same fingerprints, and records to ten digits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minitrain.common.errors import UserError
from minitrain.runs import engines, equality, experiments
from minitrain.runs.faults import Recipe
from minitrain.training.config import Config, patched

# Rates at which the parameters stay where the grid is coarser than their last bits.
RATES = st.floats(1e-4, 2e-2)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any config that the kernel covers, small enough to train in a second."""
    n_head = draw(st.sampled_from([1, 2, 3, 4]))
    changes: dict[str, Any] = {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "steps": equality.STEPS,
        "batch_size": draw(st.integers(1, 20)),
        "eval_interval": draw(st.sampled_from([20, 25, 60])),
        "model.n_layer": draw(st.integers(1, 3)),
        "model.n_head": n_head,
        "model.d_model": n_head * draw(st.sampled_from([1, 2, 3, 5, 8, 16])),
        "model.dropout": draw(st.sampled_from([0.0, 0.0, 0.1, 0.3])),
        "model.qkv_bias": draw(st.booleans()),
        "model.tied_embedding": draw(st.booleans()),
        "optimizer.name": draw(st.sampled_from(["adamw", "adam"])),
        "optimizer.learning_rate": draw(RATES),
        "optimizer.betas": draw(
            st.tuples(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.9, 0.95, 0.999]))
        ),
        "optimizer.eps": draw(st.sampled_from([1e-8, 1e-3])),
        "optimizer.weight_decay": draw(st.sampled_from([0.0, 0.1, 1.0, 8.0])),
        "optimizer.decay_mask": draw(st.sampled_from(["matrices", "no_embedding", "all"])),
        "optimizer.gradient_clip": draw(st.sampled_from([None, 0.25, 1.0])),
        "schedule.warmup_steps": draw(st.integers(0, 59)),
        "schedule.final_fraction": draw(st.sampled_from([0.0, 0.1, 1.0])),
        "arithmetic.grid_bits": draw(st.sampled_from([12, 20, 24])),
        "arithmetic.loss_scale": draw(st.sampled_from([1.0, 1024.0])),
    }
    return patched(Config(), changes)


@settings(max_examples=25)
@given(configs())
@example(patched(Config(), {"steps": 60, "schedule.warmup_steps": 10, "batch_size": 17}))
def test_any_config_ends_at_the_same_bytes(config: Config) -> None:
    assert equality.difference(config) is None


def test_runs_of_the_book_begin_the_same() -> None:
    assert equality.first_difference(equality.short_runs(6)) is None


@pytest.mark.parametrize("recipe", equality.with_faults(), ids=lambda recipe: recipe.fault)
def test_a_fault_in_the_kernel_is_the_one_of_the_patch(recipe: Recipe) -> None:
    assert equality.difference_under(recipe) is None


def test_a_run_that_diverges_does_so_with_both() -> None:
    """Not at the same step: beyond 1e33 PyTorch's layers overflow earlier than the kernel's."""
    changes = {"optimizer.learning_rate": 1.0, "optimizer.weight_decay": 1e6, "steps": 60}
    config = patched(Config(), {**changes, "schedule.warmup_steps": 1})
    for engine in (engines.pytorch(), engines.kernel()):
        training = engine.train(engine.start(config))
        assert training.diverged
        assert training.step < config.steps


def test_a_difference_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(config: Config) -> Any:
        training = engines.pytorch().start(config)
        training.optimizer.groups[0].values[0] += 2.0**-20
        return training

    kernel = engines.Engine("kernel", shifted, engines.pytorch().train)
    monkeypatch.setattr(engines, "kernel", lambda: kernel)
    config = equality.short_runs(1)[0]
    found = equality.first_difference([config])
    assert found is not None
    assert "step 0, " in found


def test_what_is_noted_are_the_sources_as_they_are() -> None:
    assert engines.verified() == engines.current(), (
        "the training code or the kernel was edited: `minitrain engines --write` compares the two"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"arithmetic.autocast": "bfloat16"},
        {"arithmetic.dtype": "float32"},
        {"arithmetic.grid_bits": None},
        {"optimizer.learning_rate": 0.21},
    ],
)
def test_what_it_does_not_cover_is_refused_in_one_line(
    changes: dict[str, Any], small: Callable[..., Config]
) -> None:
    config = patched(small(), changes)
    assert engines.choose(config).name == "pytorch"
    with pytest.raises(UserError, match="the kernel does not train this run") as caught:
        engines.choose(config, wanted="kernel")
    assert "\n" not in str(caught.value)


def test_the_run_that_two_machines_end_differently_is_at_most_one_step_of_the_grid_off() -> None:
    """Why there is a `HIGHEST_RATE`: an update of 0.21 turns the last bits of a small gradient into
    half a step of the grid. On some processors the two end this run alike, on others not; nor does
    PyTorch alone end it alike on all of them.
    """
    changes = {"seed": 44, "optimizer.learning_rate": 0.21}
    config = experiments.load("18-learning-rate-range").config("peak-6e-2", changes)
    ends = []
    for engine in (engines.pytorch(), engines.kernel()):
        training = engine.train(engine.start(config))
        ends.append(torch.cat([group.values for group in training.optimizer.groups]))
    apart = (ends[0] - ends[1]).abs() * 2.0**config.arithmetic.grid_bits
    assert torch.count_nonzero(apart) <= 1
    assert apart.max() <= 1

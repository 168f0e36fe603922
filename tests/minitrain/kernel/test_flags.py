"""What the compiler may do to the kernel, and what it may not: the chapter on four programs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from minitrain.kernel import build
from minitrain.kernel.binding import Memory
from minitrain.labs.lab import Lab
from minitrain.training import loop
from minitrain.training.config import patched
from minitrain.training.loop import Training

CONFIG = patched(
    Lab("18-the-run-that-remembers").config("control"),
    {"steps": 60, "eval_interval": 60, "schedule.warmup_steps": 20},
)


def trained(*flags: str) -> Memory:
    training = Memory(CONFIG, *flags)
    while training.step < CONFIG.steps:
        training.advance()
    training.record()
    return training


@pytest.fixture(scope="module")
def reference() -> Training:
    return loop.train(loop.start(CONFIG))


def equal_parameters(training: Memory, reference: Training) -> bool:
    begin = 0
    for group in reference.optimizer.groups:
        values = training.values[begin : begin + len(group.values)]
        if not (values == group.values).all():
            return False
        begin += len(group.values)
    return begin == len(training.values)


@pytest.mark.parametrize(
    "flags", [["-ffp-contract=off"], ["-O1"], ["-ffast-math", "-fsigned-zeros"]]
)
def test_rounding_noise_breaks_nothing(flags: list[str], reference: Training) -> None:
    training = trained(*flags)
    assert training.fingerprint() == reference.fingerprint()


def test_without_signed_zeros_the_hash_is_another_and_the_parameters_are_not(
    reference: Training,
) -> None:
    training = trained("-fno-signed-zeros")
    assert equal_parameters(training, reference)
    assert training.fingerprint() != reference.fingerprint()


def test_fast_math_is_an_exponential_without_its_rounding(
    reference: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same line changed by hand gives the same parameters, all of them."""
    fast = trained("-ffast-math")
    assert not equal_parameters(fast, reference)

    sources = shutil.copytree(build.folder(), tmp_path / "kernel")
    numbers = sources / "numbers.h"
    text = numbers.read_text(encoding="utf-8")
    rounded, folded = "double whole = k.value - to_whole;", "double whole = x * 1.4426950408889634;"
    assert rounded in text
    numbers.write_text(text.replace(rounded, folded), encoding="utf-8")
    monkeypatch.setattr(build, "folder", lambda: sources)
    build.kernel_code.cache_clear()
    try:
        by_hand = trained("-DBY_HAND")  # a name of its own for the loaded library
    finally:
        monkeypatch.undo()
        build.kernel_code.cache_clear()
    assert (by_hand.values == fast.values).all()

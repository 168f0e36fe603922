"""A wrong answer is told what it contradicts, and a near one which way to go; never the value."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitrain.labs import texts
from minitrain.labs.judgement import judge, outcome
from minitrain.runs.run import Run
from minitrain.training.config import Config, patched

HEALTHY = patched(Config(), {"optimizer.weight_decay": 1.0})
BROKEN = patched(Config(), {"optimizer.weight_decay": 0.0})


def sentence(answer: str, language: str = "en") -> str:
    judgement = judge(answer, HEALTHY, BROKEN)
    return texts.fill(language, judgement.contradicted or judgement.hint, **judgement.values())


@pytest.mark.parametrize(
    ("answer", "english", "spanish"),
    [
        ("learning_rate=0.5", "healthy and broken both have 0.001", "tienen 0.001"),
        ("tied_embedding=false", "healthy and broken both have true", "tienen true"),
        ("gradient_clip=1.0", "healthy and broken both have null", "tienen null"),
        ("betas=[0.9, 0.999]", "both have [0.9, 0.95]", "tienen [0.9, 0.95]"),
        ("optimizer.name=adam", "both have adamw", "tienen adamw"),
        ("weight_decay=0", "the value that the broken run has already", "ya tiene la rota"),
        ("weight_decay=0.1", "the healthy value is higher than 0.1", "es mayor que 0.1"),
        ("weight_decay=30", "the healthy value is lower than 30.0", "es menor que 30.0"),
        ("weight_decay=0.7", "a little higher", "un poco mayor"),
        ("weight_decay=1.5", "a little lower", "un poco menor"),
        ("weight_decay=1", "another", "no es la sana"),
    ],
)
def test_it_says_what_the_answer_contradicts(answer: str, english: str, spanish: str) -> None:
    assert english in sentence(answer)
    assert spanish in sentence(answer, "es")


@given(st.floats(0, 1000).filter(lambda value: value not in (0.0, 1.0)))
def test_a_hint_points_at_the_healthy_value_and_does_not_say_it(value: float) -> None:
    judgement = judge(f"weight_decay={value!r}", HEALTHY, BROKEN)
    assert ("higher" in judgement.hint) == (value < 1.0)
    assert ("near" in judgement.hint) == (0.5 <= value <= 2.0)
    said = texts.fill("en", judgement.hint, **judgement.values())
    assert "1.0" not in said.replace(judgement.values()["typed"], "")


def test_a_bare_key_is_given_back_in_full() -> None:
    judgement = judge(" weight_decay = 1 ", HEALTHY, BROKEN)
    assert judgement.text == "optimizer.weight_decay=1"
    assert judgement.repaired == HEALTHY


def ended(**changes: Any) -> Run:
    """A run that went from one loss to another."""
    values = {"first": 3.0, "last": 1.0, "fingerprint": "ff", "diverged": False} | changes

    class Losses:
        def __init__(self, loss: float) -> None:
            self.train_loss = loss

    run = object.__new__(Run)
    object.__setattr__(run, "records", (Losses(values["first"]), Losses(values["last"])))
    object.__setattr__(run, "fingerprint", values["fingerprint"])
    object.__setattr__(run, "diverged", values["diverged"])
    return run


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (ended(fingerprint="aa"), "healthy"),
        (ended(fingerprint="bb"), "broken"),
        (ended(fingerprint="cc"), "another"),
        (ended(diverged=True), "diverged"),
        (ended(last=50.0), "diverged"),
        (ended(last=float("nan")), "diverged"),
        (ended(first=float("nan")), "diverged"),
    ],
)
def test_a_run_is_called_what_it_is(run: Run, expected: str) -> None:
    assert outcome(run, [ended(fingerprint="aa")], [ended(fingerprint="bb")]) == expected


def test_both_languages_say_the_same_with_the_same_values() -> None:
    english, spanish = texts.TEXTS["en"], texts.TEXTS["es"]
    assert english.keys() == spanish.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", spanish[key])), key

"""Whoever trains many runs from a notebook sees how far it is, in the notebook's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minitrain.runs import notice, sweep, workload
from minitrain.runs.notice import Standing, duration, notebook_line
from minitrain.runs.store import Store
from minitrain.training.config import Config


@pytest.mark.parametrize(
    ("standing", "english", "spanish"),
    [
        (Standing(0, 15, None), "0/15 runs trained", "0/15 ejecuciones entrenadas"),
        (
            Standing(7, 15, 170.0),
            "7/15 runs trained, about 3 min left",
            "7/15 ejecuciones entrenadas, faltan unos 3 min",
        ),
        (
            Standing(14, 15, 12.0),
            "14/15 runs trained, about 10 s left",
            "14/15 ejecuciones entrenadas, faltan unos 10 s",
        ),
        (Standing(15, 15, 0.0), "15/15 runs trained", "15/15 ejecuciones entrenadas"),
    ],
)
def test_it_says_how_many_runs_and_how_long(standing: Standing, english: str, spanish: str) -> None:
    assert standing.message.text() == english
    assert standing.message.text("es") == spanish


def test_nothing_left_is_never_said_of_a_training_that_goes_on() -> None:
    assert duration(0.01).text() == "about 5 s"


def test_outside_a_readers_notebook_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    with notebook_line() as watch:
        assert watch is None
    monkeypatch.setenv("JPY_SESSION_NAME", "labs/es/lab.ipynb")  # but no notebook
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: None)
    with notebook_line() as watch:
        assert watch is None


def test_a_sweep_tells_how_far_it_is(
    store: Store, small: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "SECONDS_BEFORE_GUESSING", 0)
    told: list[Any] = []
    sweep.run_all([small(seed=1)], store, told.append)
    assert told[0] == Standing(0, 1, None)
    assert told[-1].finished == told[-1].total == 1
    left = [standing.seconds_left for standing in told if standing.seconds_left is not None]
    assert len(left) >= 40
    assert left[-1] == 0


def test_a_watcher_can_end_a_sweep(store: Store, small: Callable[..., Config]) -> None:
    def stop(standing: notice.Standing) -> None:
        if standing.seconds_left is not None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sweep.run_all([small(seed=1, steps=10**6), small(seed=2, steps=10**6)], store, stop)

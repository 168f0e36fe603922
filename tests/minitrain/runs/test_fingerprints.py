"""The lock file has a line for every run of the book, and a difference is one line."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from minitrain.common.errors import UserError
from minitrain.runs import engines, fingerprints
from minitrain.runs.experiments import Point
from minitrain.runs.faults import Recipe
from minitrain.runs.fingerprints import Lock
from minitrain.runs.store import Run, Store
from minitrain.training import grid
from minitrain.training.config import Config

MakeConfig = Callable[..., Config]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig) -> list[Run]:
    store = Store(tmp_path_factory.mktemp("runs"))
    return [store.get(small(seed=seed, steps=6, eval_interval=2)) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def points(runs: Sequence[Run]) -> list[Point]:
    places = [{}, {}, {"optimizer.weight_decay": 1.0, "optimizer.betas": [0.9, 0.95]}]
    return [
        Point("99-made-up", "sweep", place, run.config.seed, run.config)
        for place, run in zip(places, runs, strict=True)
    ]


@pytest.fixture
def lock(tmp_path: Path, points: list[Point], runs: list[Run]) -> Lock:
    return fingerprints.read(fingerprints.write(points, runs, tmp_path / "some.lock"))


def test_every_run_of_the_book_is_in_the_lock_file_and_no_other() -> None:
    lock = fingerprints.read()
    fingerprints.check_listed(lock, fingerprints.points())
    assert list(lock.fingerprints) == [fingerprints.label(p) for p in fingerprints.points()]


def test_equal_recipes_have_equal_fingerprints_in_the_lock_file() -> None:
    lock = fingerprints.read()
    found: dict[Recipe, str] = {}
    for point in fingerprints.points():
        fingerprint = lock.fingerprints[fingerprints.label(point)]
        assert found.setdefault(point.recipe, fingerprint) == fingerprint


def test_a_line_is_a_fingerprint_and_the_name_of_a_run(lock: Lock, runs: list[Run]) -> None:
    lines = [line for line in lock.path.read_text().splitlines() if not line.startswith("#")]
    assert lines == [
        f"{runs[0].fingerprint}  99-made-up sweep seed=1",
        f"{runs[1].fingerprint}  99-made-up sweep seed=2",
        f"{runs[2].fingerprint}  99-made-up sweep optimizer.weight_decay=1.0"
        " optimizer.betas=[0.9,0.95] seed=3",
    ]


def test_what_was_written_agrees(lock: Lock, points: list[Point], runs: list[Run]) -> None:
    fingerprints.check(lock, points, runs)


def said(lock: Lock, points: list[Point], runs: list[Run]) -> str:
    with pytest.raises(UserError) as caught:
        fingerprints.check(lock, points, runs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_first_run_that_differs_is_named(
    lock: Lock, points: list[Point], runs: list[Run]
) -> None:
    message = said(lock, points, [runs[0], runs[2], runs[1]])
    expected, got = (grid.short(run.fingerprint) for run in (runs[1], runs[2]))
    assert message.startswith(
        f"99-made-up sweep seed=2: fingerprint {got}, expected {expected} ({lock.path}); "
    )
    assert message.endswith("code and torch are those of the file: this machine rounds otherwise")


def test_the_advice_knows_why(lock: Lock, points: list[Point], runs: list[Run]) -> None:
    swapped = runs[::-1]
    edited = said(replace(lock, code="0" * 16), points, swapped)
    assert "the training code was edited: if on purpose" in edited
    assert edited.endswith("minitrain fingerprints --write")
    other = said(replace(lock, torch="1.0.0"), points, swapped)
    assert "the file was made with 1.0.0" in other


def test_a_run_that_is_new_or_gone_is_named(
    lock: Lock, points: list[Point], runs: list[Run]
) -> None:
    new = [*points, replace(points[0], variant="other")]
    assert ": 99-made-up other seed=1: is not in it; " in said(lock, new, [*runs, runs[0]])
    gone = said(lock, points[1:], runs[1:])
    assert ": 99-made-up sweep seed=1: is in no experiment; " in gone
    assert gone.endswith("minitrain fingerprints --write")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<<<<<<< ours\n", "line 1: is not a fingerprint and a run (got '<<<<<<< ours')"),
        (f"{'0' * 64}  a\n{'1' * 64}  a\n", "line 2: is there twice"),
        (f"{'0' * 63}  a\n", "line 1: is not a fingerprint"),
        (b"\xff", "is not UTF-8; `minitrain fingerprints --write` writes it"),
        (None, "No such file or directory; `minitrain fingerprints --write` writes it"),
    ],
)
def test_a_lock_file_that_is_none_is_one_line(
    tmp_path: Path, text: str | bytes | None, message: str
) -> None:
    path = tmp_path / "some.lock"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        fingerprints.read(path)
    assert f"{path}: {message}" in str(caught.value)


def test_runs_of_one_config_part_nowhere(runs: list[Run]) -> None:
    assert fingerprints.parting(runs[0].records, runs[0].records) is None


def test_the_first_record_with_other_parameters_is_named(runs: list[Run]) -> None:
    records = list(runs[0].records)
    noise = replace(records[1], val_loss=records[1].val_loss * (1 + 1e-15))
    other = replace(
        records[2], val_loss=1.5, train_loss=records[2].train_loss, fingerprint="f" * 64
    )
    found = [records[0], noise, other, records[3]]
    expected = f"step {records[2].step}, val_loss 1.5 (expected {records[2].val_loss:.10g})"
    assert fingerprints.parting(records, found) == expected
    hidden = [*records[:3], replace(records[3], fingerprint="f" * 64)]
    assert "fingerprint ffffffffffff" in str(fingerprints.parting(records, hidden))
    lost = replace(other, val_loss=math.nan)
    assert "val_loss nan" in str(fingerprints.parting(records, [*records[:2], lost]))


def test_a_run_that_ended_earlier_parts_there(runs: list[Run]) -> None:
    records = runs[0].records
    assert fingerprints.parting(records, records[:2]) == "number 3 of 4: one ended earlier"


def test_every_published_run_has_a_rate_at_which_all_machines_end_alike() -> None:
    """Above it, one run of the book was found that ended differently on another processor."""
    fastest = max(point.config.optimizer.learning_rate for point in fingerprints.points())
    assert fastest <= engines.HIGHEST_RATE

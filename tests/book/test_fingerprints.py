"""The book shows the runs of the lock file, and a build that trained others says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from course import execution
from minitrain.common.errors import UserError
from minitrain.runs import fingerprints
from minitrain.runs.store import Store


@pytest.mark.usefixtures("site")
def test_the_store_that_the_book_was_built_from_has_the_fingerprints_of_the_lock_file() -> None:
    store, lock = Store(), fingerprints.read()
    found = {fingerprints.label(p): store.find(p.recipe) for p in fingerprints.points()}
    trained = {name: run.fingerprint for name, run in found.items() if run}
    assert trained == {name: lock.fingerprints[name] for name in trained}


def test_a_build_that_trains_another_run_stops_and_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = fingerprints.read()
    names = list(lock.fingerprints)
    trained = [SimpleNamespace(fingerprint=each) for each in lock.fingerprints.values()]
    monkeypatch.setattr(execution, "run_all", lambda configs: trained)
    execution.train_runs()

    trained[5] = trained[7] = SimpleNamespace(fingerprint="f" * 64)
    with pytest.raises(UserError, match="fingerprint ffffffffffff, expected") as caught:
        execution.train_runs()
    assert str(caught.value).startswith(f"{names[5]}: ")

    fewer = {name: lock.fingerprints[name] for name in names[1:]}
    monkeypatch.setattr(fingerprints, "read", lambda: replace(lock, fingerprints=fewer))
    with pytest.raises(UserError, match=r"is not in it; .*minitrain fingerprints --write"):
        execution.train_runs()

"""A run trained elsewhere travels as bytes, is checked when it arrives, and is the same run."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minitrain.common.errors import UserError
from minitrain.common.files import sha256
from minitrain.runs import elsewhere, engines
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.elsewhere import Identity, Order, Parcel, Refused, identity
from minitrain.runs.faults import Recipe
from minitrain.runs.run import packed
from minitrain.runs.store import DISPUTED, Disagreement, Store
from minitrain.runs.sweep import run_all
from minitrain.training.config import Config

MakeConfig = Callable[..., Config]
FAULT = "decay-by-name"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of the machine that trains: that of its environment."""
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "there"))
    return Store()


def contents(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("engine", engines.NAMES)
def test_any_executor_trains_the_same_runs(
    store: Store, there: Store, small: MakeConfig, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a fault and without, by another engine than ours, in the order asked for."""
    recipes = [Recipe(small(seed=1)), Recipe(small(seed=2), FAULT), Recipe(small(seed=1))]
    alone = [store.get(recipe).fingerprint for recipe in recipes]
    monkeypatch.setenv("MINITRAIN_ENGINE", engine)
    ours = Store(store.root.parent / "ours")
    with ThreadPoolExecutor(2) as threads:
        runs = run_all(recipes, ours, executor=threads)
    assert [run.fingerprint for run in runs] == alone
    assert {run.path.parent for run in runs} == {ours.root}
    assert {run.engine for run in runs} == {engine}
    assert contents(ours) == contents(there)


def test_who_asks_again_has_at_once_what_was_finished_elsewhere(
    store: Store, there: Store, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = elsewhere.train(Order.of(Recipe(small())))
    monkeypatch.setattr(Store, "_train", None)
    assert elsewhere.train(Order.of(Recipe(small()))) == first
    assert store.accept(small(), first.files, "there").config == small()


def test_the_steps_are_told_where_the_run_is_trained(there: Store, small: MakeConfig) -> None:
    told: list[int] = []
    elsewhere.train(Order.of(Recipe(small())), told.append)
    assert told == list(range(1, 41))


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ({"version": "0.0.1"}, "minitrain 0.0.1 there, 0.1.0 here"),
        ({"torch": "9.9.9"}, "PyTorch 9.9.9 there, "),
        ({"code": {"": "f" * 64, FAULT: "e" * 64}}, "training code: ffffffffffff there, "),
        ({"code": {FAULT: "e" * 64}}, "training code: none there"),
    ],
)
def test_other_code_is_refused_in_one_line(
    theirs: dict[str, Any], reason: str, there: Store, small: MakeConfig
) -> None:
    ours = identity([FAULT])
    assert ours.difference(ours) is None
    other = replace(ours, **theirs)
    assert (ours.difference(other) or "").startswith(reason)
    order = Order(Recipe(small(), FAULT), other)
    with pytest.raises(Refused, match=r"^worker on \S+: refused: .* here$"):
        elsewhere.train(order)
    assert not there.root.exists()


def test_a_fault_that_is_another_or_missing_is_named(there: Store) -> None:
    ours = identity([FAULT])
    changed = Identity(ours.version, ours.torch, {**ours.code, FAULT: "e" * 64})
    assert "under fault decay-by-name: eeeeeeeeeeee there" in str(ours.difference(changed))
    without = identity(["not-here"])
    assert "not-here" not in without.code
    assert "under fault decay-by-name: none there" in str(ours.difference(without))


@pytest.mark.parametrize("name", ["run.json", "parameters.safetensors", "SHA256SUMS"])
def test_what_arrives_damaged_is_not_kept(
    name: str, store: Store, there: Store, small: MakeConfig
) -> None:
    files = dict(elsewhere.train(Order.of(Recipe(small()))).files)
    whole = files[name]
    for damaged in (whole[:-1], bytes([whole[40] ^ 1]).join((whole[:40], whole[41:])), b""):
        with pytest.raises(DamagedFile):
            store.accept(small(), {**files, name: damaged}, "there")
    del files[name]
    with pytest.raises(DamagedFile):
        store.accept(small(), files, "there")
    assert store.find(small()) is None


def test_another_run_than_the_one_asked_for_is_not_kept(
    store: Store, there: Store, small: MakeConfig
) -> None:
    """Another seed; and the run of a fault, sent as that of the code without it."""
    other = elsewhere.train(Order.of(Recipe(small(seed=2)))).files
    faulty = elsewhere.train(Order.of(Recipe(small(), FAULT))).files
    for files in (other, faulty):
        with pytest.raises(DamagedFile, match="another run than the one that was asked for"):
            store.accept(small(), files, "there")
    assert store.find(small()) is None
    assert contents(store) == []
    assert not list(store.root.glob(".new-*"))


def test_a_file_that_is_none_of_a_run_is_not_written(
    store: Store, there: Store, small: MakeConfig
) -> None:
    files = elsewhere.train(Order.of(Recipe(small()))).files
    run = store.accept(small(), {**files, "../../escaped": b"x"}, "there")
    assert sorted(path.name for path in run.path.iterdir()) == sorted(files)
    assert not (store.root.parent / "escaped").exists()


def forged(parcel: Parcel, config: Config, store: Store) -> dict[str, bytes]:
    """The files of a run that claims to be that of `config`, whole in itself, with another end."""
    files = dict(parcel.files)
    values = json.loads(files["run.json"])
    other = json.loads(packed(store.get(config))["run.json"])
    values["fingerprint"] = other["fingerprint"]
    values["records"] = other["records"]
    files["run.json"] = json.dumps(values, indent=1).encode()
    files["parameters.safetensors"] = packed(store.get(config))["parameters.safetensors"]
    files["SHA256SUMS"] = "".join(
        f"{sha256(files[name])}  {name}\n" for name in ("run.json", "parameters.safetensors")
    ).encode()
    return files


def test_two_ends_of_one_run_are_said_loudly_and_neither_is_kept(
    store: Store, there: Store, small: MakeConfig, tmp_path: Path
) -> None:
    parcel = elsewhere.train(Order.of(Recipe(small())))
    wrong = forged(parcel, small(seed=9), Store(tmp_path / "other"))
    right = store.get(small())
    assert store.accept(small(), parcel.files, "there").fingerprint == right.fingerprint
    with pytest.raises(Disagreement) as caught:
        store.accept(small(), wrong, "machine 7")
    message = str(caught.value)
    assert "\n" not in message
    assert right.fingerprint[:12] in message
    assert "came from machine 7" in message
    assert store.find(small()) is None
    aside = list((store.root / DISPUTED).iterdir())
    assert len(aside) == 2
    assert all(str(path) in message for path in aside)


class Late:
    """An executor during whose work somebody else puts the run into our store."""

    def __init__(self, store: Store, files: Callable[[Parcel], Any]):
        self.store = store
        self.files = files

    def submit(self, function: Callable[..., Any], order: Order, *rest: Any) -> "Future[Any]":
        parcel = function(order, *rest)
        self.store.get(order.recipe)
        future = Future[Any]()
        future.set_result(Parcel(self.files(parcel), "machine 7"))
        return future


def test_a_run_that_two_happen_to_train_is_compared(
    store: Store, there: Store, small: MakeConfig, tmp_path: Path
) -> None:
    (run,) = run_all([small()], store, executor=Late(store, lambda parcel: parcel.files))
    assert run.fingerprint == store.get(small()).fingerprint
    other = Store(tmp_path / "other")
    wrong = Late(store, lambda parcel: forged(parcel, small(seed=9), other))
    with pytest.raises(Disagreement):
        run_all([small(seed=3)], store, executor=wrong)
    assert store.find(small(seed=3)) is None


def test_what_fails_elsewhere_is_raised_here_and_the_rest_is_cancelled(
    store: Store, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nine runs the first fails; the second has begun by then, and is let go on after it."""
    begun: list[int] = []
    raised = threading.Event()

    def train(order: Order, _tell: object) -> None:
        begun.append(order.recipe.config.seed)
        if len(begun) == 1:
            raise UserError("no space")
        raised.wait()

    monkeypatch.setattr(elsewhere, "train", train)
    with ThreadPoolExecutor(1) as one:
        with pytest.raises(UserError, match="no space"):
            run_all([small(seed=seed) for seed in range(9)], store, executor=one)
        raised.set()
    assert len(begun) <= 2

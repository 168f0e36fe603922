"""What of two runs differs is named: config, fault, training code, and where they part."""

from collections.abc import Callable

import pytest

from minitrain.runs import explanation, faults, fingerprints
from minitrain.runs.code import training_code
from minitrain.runs.explanation import code_name, difference, name_of
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store
from minitrain.training.config import Config, patched

MakeConfig = Callable[..., Config]


def test_a_run_and_itself(store: Store, small: MakeConfig) -> None:
    run = store.get(small())
    found = difference(run, run)
    assert (found.config, found.code, found.modules, found.parting) == ({}, None, (), None)


def test_the_leaves_of_the_configs_with_both_values(store: Store, small: MakeConfig) -> None:
    other = small(seed=7, optimizer={"weight_decay": 0.0})
    found = difference(store.get(small()), store.get(other))
    assert found.config == {"seed": (42, 7), "optimizer.weight_decay": (0.1, 0.0)}
    assert found.code is None
    here, there = (store.get(config).records[0] for config in (small(), other))
    assert found.parting == (0, (here.val_loss, there.val_loss))


def test_two_runs_part_where_both_have_a_record(store: Store, small: MakeConfig) -> None:
    """Records at other steps are not compared."""
    often, seldom = (small(eval_interval=interval) for interval in (10, 20))
    found = difference(store.get(often), store.get(seldom))
    assert found.config == {"eval_interval": (10, 20)}
    assert found.parting is None
    decayed = small(eval_interval=20, optimizer={"weight_decay": 1.0})
    step, _ = difference(store.get(often), store.get(decayed)).parting or (0, None)
    assert step == 20


@pytest.mark.parametrize("name", faults.names())
def test_the_fault_and_the_modules_that_it_changes(
    name: str, store: Store, small: MakeConfig
) -> None:
    """Compared with the healthy code, and with its own repair."""
    fault = faults.load(name)
    found = difference(store.get(small()), store.get(Recipe(small(), name)))
    assert found.config == {}
    assert found.code == ("as here", f"fault {name} ({fault.code[:12]})")
    changed = {file.path.rpartition("/")[2].removesuffix(".py") for file in fault.patch}
    assert set(found.modules or ()) == changed


def test_code_that_nobody_knows_is_of_another_version() -> None:
    assert code_name(training_code()) == "as here"
    assert code_name("f" * 64) == "of another version (ffffffffffff)"
    assert explanation._modules(training_code(), "f" * 64) is None


def test_a_run_of_the_book_has_the_name_that_its_lock_file_has() -> None:
    for point in fingerprints.points()[::40]:
        name = name_of(point.config, faults.code_of(point.recipe))
        same = [p for p in fingerprints.points() if p.recipe == point.recipe]
        assert name in map(fingerprints.label, same)


def test_another_run_is_named_after_the_nearest(small: MakeConfig) -> None:
    point = fingerprints.points(["18-the-run-that-remembers"])[0]
    code = faults.code_of(point.recipe)
    name = name_of(patched(point.config, {"seed": 12345}), code)
    assert name.endswith("with seed=12345")
    assert name.startswith("1")
    name = name_of(point.config, "f" * 64)
    assert name.endswith("with training code of another version (ffffffffffff)")

"""Many runs at once are the same runs, in the order in which they were asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minitrain import sweep
from minitrain.config import Config
from minitrain.errors import UserError
from minitrain.loop import start, train
from minitrain.store import Store
from minitrain.sweep import run_all

MakeConfig = Callable[..., Config]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[Config]]:
    """What `run_all` hands over for training, which then happens here, one after the other."""
    calls: list[list[Config]] = []

    def train_here(configs: list[Config], store: Store) -> None:
        calls.append(configs)
        for config in reversed(configs):
            store.get(config)

    monkeypatch.setattr(sweep, "_train", train_here)
    return calls


def test_runs_come_back_in_order_and_equal_configs_are_trained_once(
    store: Store, small: MakeConfig, asked: list[list[Config]]
) -> None:
    a, b, c = (small(seed=seed) for seed in (3, 1, 2))
    runs = run_all([a, b, a, c, b], store)
    assert [run.config for run in runs] == [a, b, a, c, b]
    assert asked == [[a, b, c]]


def test_what_the_store_has_is_not_trained_again(
    store: Store, small: MakeConfig, asked: list[list[Config]]
) -> None:
    a, b = small(seed=1), small(seed=2)
    store.get(a)
    run_all([a, b], store)
    run_all([b, a], store)
    assert asked == [[b]]


def test_nothing_is_asked_for_nothing(store: Store, asked: list[list[Config]]) -> None:
    assert run_all([], store) == []
    assert asked == []


def test_runs_trained_side_by_side_are_those_trained_alone(store: Store, small: MakeConfig) -> None:
    configs = [small(seed=seed) for seed in (5, 6, 5)]
    runs = run_all(iter(configs), store)
    assert [run.config for run in runs] == configs
    alone = [train(start(config)).fingerprint() for config in configs]
    assert [run.fingerprint for run in runs] == alone
    assert len(set(alone)) == 2


def test_a_disk_that_cannot_be_written_is_one_line_from_a_sweep_too(
    tmp_path: Path, small: MakeConfig
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write the run"):
        run_all([small(seed=1)], Store(tmp_path / "file" / "runs"))

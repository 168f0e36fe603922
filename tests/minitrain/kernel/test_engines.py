"""Who trains: the kernel where it can, PyTorch where it cannot; and the run says which."""

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minitrain.common.errors import UserError
from minitrain.kernel import build
from minitrain.runs import engines
from minitrain.runs.store import Store
from minitrain.training.config import Config
from minitrain.training.loop import Training

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What stands in the way is looked for again, and no setting of the tester's leaks in."""
    monkeypatch.delenv(engines.ENGINE_VARIABLE, raising=False)
    engines._obstacle_here.cache_clear()
    yield
    engines._obstacle_here.cache_clear()


def test_the_kernel_trains_by_default_and_the_run_says_so(store: Store, small: MakeConfig) -> None:
    run = store.get(small())
    assert run.engine == "kernel"
    assert json.loads((run.path / "run.json").read_text())["engine"] == "kernel"


def test_either_engine_can_be_asked_for_and_the_run_is_the_same(
    tmp_path: Path, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [Store(tmp_path / name, engine=name).get(small()) for name in engines.NAMES]
    assert [run.engine for run in runs] == list(engines.NAMES)
    assert runs[0].fingerprint == runs[1].fingerprint
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "pytorch")
    assert engines.choose(small()).name == "pytorch"


def test_an_engine_that_there_is_not_is_one_line(
    store: Store, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "tensorflow")
    with pytest.raises(UserError, match="MINITRAIN_ENGINE='tensorflow': expected pytorch or k"):
        store.get(small())


class Killed(Exception):
    pass


@pytest.mark.parametrize("first", engines.NAMES)
def test_a_killed_run_is_resumed_by_the_other_engine(
    first: str, store: Store, small: MakeConfig, tmp_path: Path
) -> None:
    config = small(steps=230, model={"dropout": 0.2}, eval_interval=50)

    def kill(training: Training) -> None:
        if training.step == 150:
            raise Killed

    second = next(name for name in engines.NAMES if name != first)
    with pytest.raises(Killed):
        Store(store.root, engine=first).get(config, kill)
    steps: list[int] = []
    run = Store(store.root, engine=second).get(config, lambda training: steps.append(training.step))
    assert steps[0] == 101
    assert run.engine == "both"
    whole = Store(tmp_path / "whole").get(config)
    assert run.fingerprint == whole.fingerprint
    assert run.tokens == whole.tokens
    assert [r.fingerprint for r in run.records] == [r.fingerprint for r in whole.records]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_edited_training_code_is_trained_by_pytorch(
    store: Store,
    small: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = engines.current() | {"training": "0" * 64}
    monkeypatch.setattr(engines, "verified", lambda: other)
    assert store.get(small()).engine == "pytorch"
    store.get(small(seed=1))
    (line,) = warnings_of(caplog)
    assert line.startswith("PyTorch trains: training code or kernel is not what")


def test_without_the_compiler_pytorch_trains_and_one_line_says_so(
    store: Store,
    small: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    from minitrain.kernel import binding

    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ziglang" else find(name)
    )
    binding._library.cache_clear()
    try:
        assert store.get(small()).engine == "pytorch"
        with pytest.raises(UserError, match="the package ziglang"):
            engines.choose(small(), wanted="kernel")
    finally:
        binding._library.cache_clear()
    (line,) = warnings_of(caplog)
    assert line.startswith("PyTorch trains: the package ziglang")


def test_a_kernel_that_does_not_compile_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "minitrain.c").write_text("int x = ;\n")
    monkeypatch.setattr(build, "folder", lambda: tmp_path)
    monkeypatch.setattr(build, "kernel_code", lambda: tmp_path.name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(build.NoCompiler, match="the kernel does not compile: ") as caught:
        build.library()
    assert "\n" not in str(caught.value)


def test_a_graphics_card_is_pytorchs(small: MakeConfig) -> None:
    assert engines.choose(small(), device="cuda").name == "pytorch"

"""An address answers for the code that ran: what was edited is never kept under another's name."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import minitrain
from minitrain.common.errors import UserError
from minitrain.runs import code
from minitrain.runs import store as store_module
from minitrain.runs.store import Store, address
from minitrain.training import corpus, grid, loop, metrics, model, optim, schedule
from minitrain.training.config import Config
from minitrain.training.loop import Training

MakeConfig = Callable[..., Config]


def test_the_code_as_imported_is_that_of_its_sources() -> None:
    code.verify()


def test_the_address_contains_every_training_module(
    monkeypatch: pytest.MonkeyPatch, small: MakeConfig
) -> None:
    before = address(small())
    for name, source in code.SOURCES.items():
        monkeypatch.setitem(code.SOURCES, name, source + "\n# a change\n")
        code.training_code.cache_clear()
        assert address(small()) != before, name
        monkeypatch.setitem(code.SOURCES, name, source)
    code.training_code.cache_clear()
    assert address(small()) == before


def other(*_args: Any, **_kwargs: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (optim.Adam, "step", other),
        (optim, "decays", other),
        (loop, "advance", other),
        (loop, "evaluate", other),
        (model.GPT, "output_weight", property(other)),
        (model.Block, "forward", other),
        (model, "dropout", other),
        (model, "INIT_STD", 0.03),
        (grid, "GRID_BITS", 18),
        (metrics, "judge", other),
        (schedule, "learning_rate", other),
        (corpus, "split", other),
        (corpus, "N_TRAIN", 241),
        (corpus.Batch, "__getitem__", other),
    ],
)
def test_whatever_is_replaced_is_named_and_gets_no_address(
    monkeypatch: pytest.MonkeyPatch, small: MakeConfig, owner: Any, name: str, value: Any
) -> None:
    monkeypatch.setattr(owner, name, value)
    with pytest.raises(UserError, match=rf"{name} is not what it was .* restart Python"):
        address(small())


def test_a_constant_that_is_changed_in_place_is_found_before_anything_is_kept(
    monkeypatch: pytest.MonkeyPatch, store: Store, small: MakeConfig
) -> None:
    monkeypatch.setitem(metrics._KINDS, "bias", "mlp")
    with pytest.raises(UserError, match=r"metrics\._KINDS is not what it was"):
        store.get(small())
    monkeypatch.undo()
    assert store.find(small()) is None


def test_code_that_is_replaced_while_a_run_trains_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, store: Store, small: MakeConfig
) -> None:
    """Nor a checkpoint of it, even if all is put back before the next one is due."""

    def meddle(training: Training) -> None:
        if training.step == 10:
            monkeypatch.setattr(optim.Adam, "step", faster)

    def faster(self: optim.Adam, learning_rate: float) -> None:
        original(self, 1.5 * learning_rate)

    original = optim.Adam.step
    with pytest.raises(UserError, match=r"Adam\.step is not what it was"):
        store.get(small(), meddle)
    monkeypatch.undo()
    assert store.find(small()) is None
    assert not list(store.root.rglob("*.safetensors"))


def test_a_wrapper_that_poses_as_what_it_wraps_is_found(
    monkeypatch: pytest.MonkeyPatch, store: Store, small: MakeConfig
) -> None:
    original = optim.Adam.step

    @functools.wraps(original)
    def faster(self: optim.Adam, learning_rate: float) -> None:
        original(self, 1.5 * learning_rate)

    monkeypatch.setattr(optim.Adam, "step", faster)
    with pytest.raises(UserError, match=r"optim\.Adam\.step is not what it was"):
        store.get(small())
    assert not store.root.exists()


def test_a_decorated_function_is_what_it_calls_not_what_it_says_it_wraps(
    monkeypatch: pytest.MonkeyPatch, small: MakeConfig
) -> None:
    """Under autoreload `__wrapped__` is brought up to date, and the function that runs is not."""

    @torch.no_grad()
    def coarser(tensors: Any, bits: int = 20) -> None:
        for tensor in tensors:
            tensor.mul_(2.0**10).round_().mul_(2.0**-10)

    coarser.__wrapped__ = grid.round_to_grid.__wrapped__
    monkeypatch.setattr(loop, "round_to_grid", coarser)
    with pytest.raises(UserError, match=r"loop\.round_to_grid is not what it was"):
        address(small())


@pytest.fixture
def inputs() -> Iterator[torch.Tensor]:
    """The training inputs that every run of this process reads; put back afterwards."""
    tensor = corpus.encoded("train").inputs
    before = tensor.clone()
    yield tensor
    tensor.copy_(before)


def test_a_corpus_that_was_written_to_trains_nothing_that_is_kept(
    inputs: torch.Tensor, store: Store, small: MakeConfig
) -> None:
    inputs[0] = 0
    with pytest.raises(UserError, match=r"corpus\.encoded\('train'\) is not what it was"):
        store.get(small())
    assert not list(store.root.rglob("*.safetensors"))


def test_nor_one_that_is_written_to_while_a_run_trains(
    monkeypatch: pytest.MonkeyPatch, inputs: torch.Tensor, store: Store, small: MakeConfig
) -> None:
    """Not in a checkpoint either, which another process would resume."""
    monkeypatch.setattr(store_module, "CHECKPOINT_EVERY", 12)

    def meddle(training: Training) -> None:
        if training.step == 10:
            inputs[0] = 0

    with pytest.raises(UserError, match="is not what it was"):
        store.get(small(), meddle)
    assert not list(store.root.rglob("*.safetensors"))


def test_a_corpus_that_is_encoded_anew_is_the_same(store: Store, small: MakeConfig) -> None:
    before = store.get(small())
    corpus.encoded.cache_clear()
    assert store.get(small(seed=1)).fingerprint != before.fingerprint


def test_nothing_that_training_uses_is_noticed_as_a_change(small: MakeConfig) -> None:
    loop.train(
        loop.start(small(steps=2, **{"model.dropout": 0.1, "arithmetic.autocast": "float16"}))
    )
    code.verify()


SESSION = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def run(cell):
    result = shell.run_cell(cell)
    error = result.error_in_exec
    return f"{type(error).__name__}: {error}" if error else result.result
setup = '''
%load_ext autoreload
%autoreload 2
import time
from pathlib import Path
from minitrain.runs.store import Store
from minitrain.training import optim
from minitrain.training.config import Config, patched
tiny = patched(Config(), {"steps": 5, "batch_size": 2, "model": {"n_layer": 1, "n_head": 2,
    "d_model": 8}, "schedule.warmup_steps": 0})
path = Path(optim.__file__)
source = path.read_text()
'''
run(setup)
before = run("Store().get(tiny).fingerprint")
edit = "path.write_text(source.replace('value=-learning', 'value=-1.5 * learning'))"
run(edit)
run("time.sleep(1.1); path.touch()")
edited = run("Store().get(patched(tiny, {'seed': 1})).fingerprint")
run("path.write_text(source)")
run("time.sleep(1.1); path.touch()")
after = run("Store().get(tiny).fingerprint")
print("RESULT" + json.dumps([before, edited, after]))
"""


def test_an_edit_under_autoreload_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """What an attacker found: the edited code's run was served as the healthy one, for ever.

    Undoing the edit may not heal the session (autoreload leaves old classes as they are), a new
    process does.
    """
    package = tmp_path / "src" / "minitrain"
    copy_package(package)
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        env={
            "PYTHONPATH": str(package.parent),
            "MINITRAIN_STORE": str(tmp_path / "runs"),
            "IPYTHONDIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    before, edited, after = json.loads(line.removeprefix("RESULT"))
    assert "UserError" in edited
    assert "Adam.step is not what it was" in edited
    assert after == before or "restart Python" in after
    kept = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/run.json")]
    assert [run["fingerprint"] for run in kept] == [before]


def copy_package(package: Path) -> None:
    original = Path(minitrain.__path__[0])
    for path in original.rglob("*.py"):
        target = package / path.relative_to(original)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

"""A run is trained once, survives whatever kills it, and is never read unless it is whole."""

import errno
import json
import logging
import math
import os
import pickle
import random
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minitrain.common import files, paths
from minitrain.common.errors import UserError
from minitrain.runs import checkpoint
from minitrain.runs import store as store_module
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.store import CHECKPOINT_EVERY, Run, Store, address, read_run
from minitrain.training import loop
from minitrain.training.config import Config, flat, patched, plain
from minitrain.training.grid import fingerprint
from minitrain.training.loop import Training

MakeConfig = Callable[..., Config]
FILES_OF_A_RUN = ("run.json", "parameters.safetensors", "SHA256SUMS")

SMALL: dict[str, Any] = {
    "steps": 40,
    "batch_size": 4,
    "eval_interval": 1000,
    "model": {"n_layer": 1, "n_head": 2, "d_model": 8},
    "optimizer.learning_rate": 1e-2,
    "schedule.warmup_steps": 0,
}

# A step of this one takes a millisecond, and it passes several checkpoints.
KILLED_STEPS = 3 * CHECKPOINT_EVERY + 50


@pytest.fixture
def every_five_steps(monkeypatch: pytest.MonkeyPatch) -> int:
    """A checkpoint every five steps."""
    monkeypatch.setattr(store_module, "CHECKPOINT_EVERY", 5)
    return 5


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig) -> Run:
    """A run in a store of its own. Not to be touched: copy it."""
    return Store(tmp_path_factory.mktemp("finished")).get(small())


@pytest.fixture(scope="module")
def half_way(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig) -> Path:
    """A checkpoint of step 20 of the same config. Not to be touched: copy it."""
    path = tmp_path_factory.mktemp("half") / "checkpoint.safetensors"
    checkpoint.save(stopped_at(20, small()), 1.5, "pytorch", path)
    return path


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Make copies of the store of `finished`, each to be damaged in its own way."""

    def make() -> Store:
        root = tmp_path / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(finished.path.parent, root)
        return Store(root)

    return make


def stopped_at(step: int, config: Config) -> Training:
    """A run that somebody interrupted after `step` updates."""

    class Stop(Exception):
        pass

    def stop(training: Training) -> None:
        if training.step == step:
            raise Stop

    training = loop.start(config)
    if step:
        with pytest.raises(Stop):
            loop.train(training, stop)
    return training


# ------------------------------------------------------------------------- reading what was written


def test_a_run_is_read_as_it_was_trained(tmp_path: Path, small: MakeConfig) -> None:
    config = small(eval_interval=10)
    training = loop.train(loop.start(config))
    store = Store(tmp_path / "runs", engine="pytorch")
    run = store.get(config)

    assert run.config == config
    assert run.fingerprint == training.fingerprint()
    assert (run.steps, run.tokens, run.diverged) == (40, training.tokens, False)
    assert list(run.records) == training.records
    assert [record.step for record in run.records] == [0, 10, 20, 30, 40]
    assert run.last is run.records[-1]
    assert run.seconds > 0
    assert store.find(config) == run == read_run(run.path)


def test_the_model_of_a_run_has_its_parameters(finished: Run) -> None:
    assert fingerprint(dict(finished.model().named_parameters())) == finished.fingerprint


def test_what_is_not_there_is_not_found(store: Store, small: MakeConfig) -> None:
    assert store.find(small()) is None


def test_sha256sum_can_check_a_run(finished: Run) -> None:
    lines = (finished.path / "SHA256SUMS").read_text().splitlines()
    assert lines == [
        f"{files.sha256((finished.path / name).read_bytes())}  {name}"
        for name in ("run.json", "parameters.safetensors")
    ]


def test_progress_is_told_of_every_step(store: Store, small: MakeConfig) -> None:
    steps: list[int] = []
    store.get(small(), lambda training: steps.append(training.step))
    store.get(small(), lambda training: steps.append(training.step))
    assert steps == list(range(1, 41))


def test_a_finished_run_leaves_nothing_else_behind(store: Store, every_five_steps: int) -> None:
    run = store.get(patched(Config(), SMALL))
    visible = {path.name for path in store.root.iterdir() if not path.name.startswith(".")}
    assert visible == {run.path.name}
    assert {path.name for path in run.path.iterdir()} == set(FILES_OF_A_RUN)
    assert not list((store.root / ".partial").iterdir())


def test_nothing_in_a_store_is_a_pickle(
    store: Store, small: MakeConfig, every_five_steps: int, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.safetensors"

    def keep(training: Training) -> None:
        if training.step == 6:
            (partial,) = (store.root / ".partial").iterdir()
            shutil.copy(partial, kept)

    run = store.get(small(), keep)
    json.loads((run.path / "run.json").read_text())
    assert safetensors.torch.load_file(run.path / "parameters.safetensors")
    assert safetensors.torch.load_file(kept)
    for path in (kept, *run.path.iterdir()):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever pickle makes of these bytes
            pickle.loads(path.read_bytes())


def test_the_library_never_imports_pickle() -> None:
    for path in Path(store_module.__file__).parents[1].rglob("*.py"):
        source = path.read_text()
        assert "pickle" not in source
        assert "torch.load" not in source.replace("safetensors.torch.load", "")
        assert "torch.save" not in source.replace("safetensors.torch.save", "")


# --------------------------------------------------------------------------------------- addresses


def test_the_store_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: MakeConfig
) -> None:
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "elsewhere"))
    run = Store().get(small())
    assert run.path == tmp_path / "elsewhere" / address(small())
    assert run.path.is_dir()


def test_otherwise_it_lies_in_the_build_folder_of_the_course(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MINITRAIN_STORE", raising=False)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "book" / "en").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book" / "en")
    assert paths.store_root() == tmp_path / "_build" / "runs"


CHANGED_LEAVES: dict[str, Any] = {
    "seed": 43,
    "steps": 41,
    "batch_size": 5,
    "eval_interval": 7,
    "model.n_layer": 2,
    "model.n_head": 4,
    "model.d_model": 16,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.02,
    "optimizer.betas": [0.9, 0.99],
    "optimizer.eps": 1e-7,
    "optimizer.weight_decay": 0.2,
    "optimizer.gradient_clip": 1.0,
    "schedule.warmup_steps": 3,
    "schedule.final_fraction": 0.2,
    "arithmetic.dtype": "float32",
    "arithmetic.grid_bits": None,
    "arithmetic.autocast": "bfloat16",
    "arithmetic.loss_scale": 2.0,
    "model.dropout": 0.1,
    "model.qkv_bias": False,
    "model.tied_embedding": False,
    "optimizer.decay_mask": "all",
}


def test_every_leaf_of_the_config_is_in_the_address(small: MakeConfig) -> None:
    assert set(CHANGED_LEAVES) == set(flat(Config()))
    addresses = {address(patched(small(), {key: value})) for key, value in CHANGED_LEAVES.items()}
    assert len(addresses | {address(small())}) == len(CHANGED_LEAVES) + 1
    assert address(small()) == address(small())


# ---------------------------------------------------------------------------------------- resuming


@settings(max_examples=12)
@given(step=st.integers(0, 40), weight_decay=st.sampled_from([0.0, 0.5]))
def test_a_run_resumed_from_a_checkpoint_of_any_step_ends_the_same(
    step: int, weight_decay: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = patched(
        Config(), SMALL | {"eval_interval": 15, "optimizer.weight_decay": weight_decay}
    )
    path = tmp_path_factory.mktemp("resume") / "checkpoint.safetensors"
    checkpoint.save(stopped_at(step, config), 12.5, "pytorch", path)

    resumed, seconds, engine = checkpoint.load(config, path, loop.start)
    assert (resumed.step, seconds, engine) == (step, 12.5, "pytorch")
    loop.train(resumed)

    whole = loop.train(loop.start(config))
    assert resumed.fingerprint() == whole.fingerprint()
    assert resumed.records == whole.records
    assert (resumed.step, resumed.tokens) == (whole.step, whole.tokens)


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(
    store: Store, small: MakeConfig, every_five_steps: int
) -> None:
    steps: list[int] = []

    def interrupt(training: Training) -> None:
        steps.append(training.step)
        if training.step == 18:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get(small(), interrupt)
    run = store.get(small(), lambda training: steps.append(training.step))

    assert steps == [*range(1, 19), *range(16, 41)]
    assert run.fingerprint == loop.train(loop.start(small())).fingerprint()


def test_seconds_count_what_was_spent_before_the_interruption(
    store: Store, small: MakeConfig, every_five_steps: int
) -> None:
    (store.root / ".partial").mkdir(parents=True)
    partial = store.root / ".partial" / f"{address(small())}.safetensors"
    checkpoint.save(stopped_at(5, small()), 1000.0, "pytorch", partial)
    assert store.get(small()).seconds > 1000


# Forks a child for each order, has it killed without warning, then asks for the run again.
KILL = """
import json, os, random, signal, sys
from pathlib import Path
import torch
from minitrain.training.config import Config, parse
from minitrain.runs import store as store_module
from minitrain.runs.store import Store

torch.set_num_threads(1)
options = json.loads(sys.argv[1])
config = parse(options["config"], "test")
if options["checkpoint_every"]:
    store_module.CHECKPOINT_EVERY = options["checkpoint_every"]

def die(*ignored, **also_ignored):
    os.kill(os.getpid(), signal.SIGKILL)

def at_step(number):
    def progress(training):
        if training.step == number:
            die()
    return progress

def before_call(number):
    "Die just before the number-th operation on the disk."
    calls = 0
    def counted(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == number:
                die()
            return function(*args, **kwargs)
        return call
    os.fsync = counted(os.fsync)
    Path.open = counted(Path.open)
    Path.replace = counted(Path.replace)
    Path.unlink = counted(Path.unlink)
    store_module.shutil.rmtree = counted(store_module.shutil.rmtree)

reports = []
for number in options["numbers"]:
    store = Store(Path(options["root"]) / str(number))
    child = os.fork()
    if child == 0:
        if options["kill"] == "at_step":
            store.get(config, at_step(number))
        else:
            before_call(number)
            store.get(config)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    path = store.path(config)
    files = sorted(p.name for p in path.iterdir()) if path.exists() else None
    seen = store.find(config)
    steps = []
    run = store.get(config, lambda training: steps.append(training.step))
    reports.append({
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "files": files,
        "seen": seen and seen.fingerprint,
        "fingerprint": run.fingerprint,
        "first_step": steps[0] if steps else None,
        "folders": sorted(p.name for p in store.root.iterdir() if not p.name.startswith(".")),
    })
print(json.dumps(reports))
"""


def test_kill_9_at_any_step_loses_at_most_the_steps_since_the_last_checkpoint(
    run_python: Callable[..., Any], small: MakeConfig, tmp_path: Path
) -> None:
    config = small(steps=KILLED_STEPS)
    edges = [1, CHECKPOINT_EVERY - 1, CHECKPOINT_EVERY, CHECKPOINT_EVERY + 1, KILLED_STEPS]
    steps = edges + random.sample(range(1, KILLED_STEPS), 3)
    options = {
        "config": plain(config),
        "checkpoint_every": None,
        "kill": "at_step",
        "numbers": steps,
        "root": str(tmp_path),
    }

    reports = json.loads(run_python(KILL, options).stdout)

    expected = loop.train(loop.start(config)).fingerprint()
    for killed_at, report in zip(steps, reports, strict=True):
        assert report["killed"], killed_at
        assert report["seen"] is None, killed_at
        lost = killed_at - (report["first_step"] - 1)
        assert 0 <= lost < CHECKPOINT_EVERY, killed_at
        assert report["fingerprint"] == expected, killed_at


def test_kill_9_before_any_operation_on_the_disk_never_shows_half_a_run(
    run_python: Callable[..., Any], tmp_path: Path
) -> None:
    config = patched(Config(), SMALL | {"steps": 6})
    options = {
        "config": plain(config),
        "checkpoint_every": 2,
        "kill": "before_call",
        "numbers": list(range(1, 45)),
        "root": str(tmp_path),
    }

    reports = json.loads(run_python(KILL, options).stdout)

    expected = loop.train(loop.start(config)).fingerprint()
    killed = [report["killed"] for report in reports]
    assert killed == sorted(killed, reverse=True)
    assert 12 < sum(killed) < len(killed), "more numbers, or a better count of the operations"
    for number, report in enumerate(reports, 1):
        assert report["files"] in (None, sorted(FILES_OF_A_RUN)), number
        assert report["seen"] in (None, expected), number
        assert report["fingerprint"] == expected, number
        assert report["folders"] == [address(config)], number
    assert reports[0]["seen"] is None
    assert reports[-1]["seen"] == expected


# ----------------------------------------------------------------------------------- many processes

# Eight processes stand at a barrier, then ask for one run; each writes a line for each step.
SHARE = """
import json, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import torch
from minitrain.training.config import parse
from minitrain.runs.store import Store

torch.set_num_threads(1)
options = json.loads(sys.argv[1])
config = parse(options["config"], "test")
log = os.open(options["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)

barrier = multiprocessing.Barrier(8)

def ask(_):
    barrier.wait()
    run = Store(Path(options["root"])).get(
        config, lambda training: os.write(log, f"{os.getpid()} {training.step}\\n".encode())
    )
    return os.getpid(), run.fingerprint, str(run.path), run.path.stat().st_ino

with ProcessPoolExecutor(8, multiprocessing.get_context("fork")) as pool:
    print(json.dumps(list(pool.map(ask, range(8)))))
"""


def test_eight_processes_that_ask_for_one_run_train_it_once(
    run_python: Callable[..., Any], small: MakeConfig, tmp_path: Path
) -> None:
    config = small(steps=200)
    log = tmp_path / "steps.log"
    options = {"config": plain(config), "root": str(tmp_path / "runs"), "log": str(log)}

    answers = json.loads(run_python(SHARE, options).stdout)

    trained = [line.split() for line in log.read_text().splitlines()]
    assert [int(step) for _, step in trained] == list(range(1, 201))
    assert len({pid for pid, _ in trained}) == 1
    assert len({pid for pid, *_ in answers}) == 8
    assert len({tuple(answer) for _, *answer in answers}) == 1


# ------------------------------------------------------------------------------------------- damage

flips = st.tuples(st.integers(0, 2**32), st.integers(1, 255))


def flip(path: Path, where: int, mask: int) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= mask
    path.write_bytes(content)


def cut(path: Path, length: int) -> None:
    """Keep only the beginning of a file, never all of it."""
    content = path.read_bytes()
    path.write_bytes(content[: length % len(content)])


damages = st.one_of(
    st.tuples(st.just(flip), flips),
    st.tuples(st.just(cut), st.tuples(st.integers(0, 2**32))),
    st.tuples(st.just(cut), st.just((-1,))),
)
several_times_in_one_folder = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", FILES_OF_A_RUN)
@several_times_in_one_folder
@given(damage=damages)
def test_a_damaged_file_of_a_run_is_named_and_never_read(
    name: str,
    damage: tuple[Callable[..., None], tuple[int, ...]],
    copy: Callable[[], Store],
    finished: Run,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = copy()
    path = store.path(finished.config) / name
    how, arguments = damage
    how(path, *arguments)
    caplog.clear()

    assert store.find(finished.config) is None
    assert str(path) in caplog.text


@pytest.mark.parametrize("name", FILES_OF_A_RUN)
def test_a_byte_that_reads_the_same_is_damage_too(
    name: str, copy: Callable[[], Store], finished: Run
) -> None:
    store = copy()
    path = store.path(finished.config) / name
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r") + b" ")
    assert store.find(finished.config) is None


@pytest.mark.parametrize("name", FILES_OF_A_RUN)
@pytest.mark.parametrize("damage", ["flipped", "emptied", "removed"])
def test_a_damaged_run_is_trained_again(
    name: str,
    damage: str,
    copy: Callable[[], Store],
    finished: Run,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = copy()
    path = store.path(finished.config) / name
    if damage == "flipped":
        flip(path, path.stat().st_size // 2, 1)
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()

    steps: list[int] = []
    run = store.get(finished.config, lambda training: steps.append(training.step))

    assert str(path) in caplog.text
    assert steps == list(range(1, 41))
    assert run.fingerprint == finished.fingerprint
    caplog.clear()
    assert store.find(finished.config) == run
    assert not caplog.records


def test_the_run_of_another_config_is_not_taken_for_this_one(
    copy: Callable[[], Store], finished: Run, small: MakeConfig
) -> None:
    store, other = copy(), small(seed=7)
    shutil.copytree(store.path(finished.config), store.path(other))
    assert store.find(other) is None
    assert store.get(other).config == other


@several_times_in_one_folder
@given(damage=damages)
def test_a_damaged_checkpoint_is_detected(
    damage: tuple[Callable[..., None], tuple[int, ...]],
    half_way: Path,
    small: MakeConfig,
    tmp_path: Path,
) -> None:
    path = tmp_path / "damaged.safetensors"
    shutil.copy(half_way, path)
    how, arguments = damage
    how(path, *arguments)
    with pytest.raises(DamagedFile, match=str(path)):
        checkpoint.load(small(), path, loop.start)


def test_a_zero_that_changed_its_sign_is_damage_too(half_way: Path, small: MakeConfig) -> None:
    content = bytearray(half_way.read_bytes())
    first_value = 8 + int.from_bytes(content[:8], "little")
    signs = range(first_value + 7, len(content), 8)
    sign = next(i for i in signs if content[i - 7 : i + 1] == bytes(8))
    content[sign] ^= 0x80
    path = half_way.with_name("signed.safetensors")
    path.write_bytes(content)
    with pytest.raises(DamagedFile):
        checkpoint.load(small(), path, loop.start)


def test_a_damaged_checkpoint_is_named_and_the_run_starts_again(
    store: Store, half_way: Path, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    partial = store.root / ".partial" / f"{address(small())}.safetensors"
    partial.parent.mkdir(parents=True)
    shutil.copy(half_way, partial)
    flip(partial, partial.stat().st_size - 100, 4)

    steps: list[int] = []
    run = store.get(small(), lambda training: steps.append(training.step))

    assert str(partial) in caplog.text
    assert steps == list(range(1, 41))
    assert run.fingerprint == loop.train(loop.start(small())).fingerprint()


def test_the_checkpoint_of_another_config_is_not_resumed(
    store: Store, half_way: Path, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    other = small(seed=7)
    partial = store.root / ".partial" / f"{address(other)}.safetensors"
    partial.parent.mkdir(parents=True)
    shutil.copy(half_way, partial)
    assert store.get(other).fingerprint == loop.train(loop.start(other)).fingerprint()
    assert "another config" in caplog.text


def test_damage_found_while_a_run_is_asked_for_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch, store: Store, small: MakeConfig
) -> None:
    def damaged(path: Path) -> Run:
        raise DamagedFile(path, "went bad at once")

    monkeypatch.setattr(store_module, "read_run", damaged)
    with pytest.raises(DamagedFile, match="went bad at once"):
        store.get(small())


# ---------------------------------------------------------------------------------------- full disk

FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
import torch
from minitrain.runs import store as store_module
from minitrain.training.config import parse
from minitrain.common.errors import UserError
from minitrain.runs.store import Store

torch.set_num_threads(1)
options = json.loads(sys.argv[1])
store_module.CHECKPOINT_EVERY = 5
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (options["largest_file"],) * 2)
try:
    Store(Path(options["root"])).get(parse(options["config"], "test"))
except UserError as error:
    print(error)
"""


def test_a_file_that_cannot_grow_is_one_clear_line(
    run_python: Callable[..., Any], small: MakeConfig, tmp_path: Path
) -> None:
    options = {"config": plain(small()), "root": str(tmp_path / "runs"), "largest_file": 2000}
    printed = run_python(FULL_DISK, options).stdout
    assert printed.startswith(f"{tmp_path / 'runs'}: cannot write the run: ")
    assert len(printed.splitlines()) == 1
    assert Store(tmp_path / "runs").find(small()) is None
    assert not list((tmp_path / "runs" / ".partial").iterdir())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=st.integers(0, 9))
def test_a_full_disk_loses_nothing_that_was_saved_before(
    writes: int, small: MakeConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("full") / "runs")
    done = 0

    def fsync(file: int) -> None:
        nonlocal done
        if done == writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "CHECKPOINT_EVERY", 5)
        patch.setattr(files.os, "fsync", fsync)
        with pytest.raises(UserError, match="No space left on device; free some space"):
            store.get(small())

    saved = 5 * min(writes, 7)  # 7 checkpoints, then the three files of the run
    steps: list[int] = []
    run = store.get(small(), lambda training: steps.append(training.step))
    assert steps == list(range(saved + 1, 41))
    assert run.fingerprint == loop.train(loop.start(small())).fingerprint()


def test_a_store_where_one_may_not_write_is_one_clear_line(
    tmp_path: Path, small: MakeConfig
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"file/runs: cannot write the run: Not a directory"):
        Store(tmp_path / "file" / "runs").get(small())


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def fail(file: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="broken"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_ISREG(path.stat().st_mode)


# --------------------------------------------------------------------------------------- divergence

# Each update multiplies the weights by about minus 1e12, so they soon overflow.
DIVERGING: dict[str, dict[str, Any]] = {
    dtype: {
        "optimizer": {"learning_rate": 1e6, "weight_decay": 1e6},
        "arithmetic": {"dtype": dtype},
        "eval_interval": 1,
    }
    for dtype in ("float64", "float32")
}


def strict_json(text: str) -> Any:
    """What a JSON parser reads that knows no NaN and no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("dtype", DIVERGING)
def test_a_run_that_diverges_is_a_result(store: Store, small: MakeConfig, dtype: str) -> None:
    config = small(**DIVERGING[dtype])
    run = store.get(config)
    assert run.diverged
    assert run.steps < config.steps
    assert run.last.step == run.steps

    again = store.find(config)
    assert again is not None
    assert (again.fingerprint, again.diverged) == (run.fingerprint, True)
    assert len(again.records) == len(run.records)


@pytest.mark.parametrize("dtype", DIVERGING)
def test_the_json_of_a_diverged_run_is_json(store: Store, small: MakeConfig, dtype: str) -> None:
    run = store.get(small(**DIVERGING[dtype]))
    values = strict_json((run.path / "run.json").read_text())
    assert values["diverged"] is True
    last = values["records"][-1]
    if dtype == "float32":  # float64 stops at a gradient that overflows before a loss does
        assert None in (last["train_loss"], last["val_loss"], *last["weight_norms"].values())
    for record in run.records:
        assert isinstance(record.train_loss, float)
        assert all(isinstance(norm, float) for norm in record.weight_norms.values())


def test_a_finite_run_has_no_null_in_its_records(finished: Run) -> None:
    values = strict_json((finished.path / "run.json").read_text())
    for record in values["records"][1:]:
        assert None not in record.values()
        assert math.isfinite(record["train_loss"])


def test_a_run_that_was_about_to_diverge_can_be_resumed(
    store: Store, small: MakeConfig, every_five_steps: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = patched(small(**DIVERGING["float64"]), {"optimizer.learning_rate": 10.0})
    whole = loop.train(loop.start(config))
    assert whole.diverged
    assert whole.step > 6
    partial = store.root / ".partial" / f"{address(config)}.safetensors"
    checkpoint.save(stopped_at(whole.step, config), 0.0, "pytorch", partial)
    run = store.get(config)
    assert "training from the start" not in caplog.text
    assert (run.steps, run.diverged) == (whole.step, True)
    assert Counter(record.step for record in run.records).most_common(1)[0][1] == 1


def test_the_log_says_nothing_when_all_is_well(
    store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        store.get(small())
        store.get(small())
    assert not caplog.records


def test_a_run_is_trained_in_the_arithmetic_that_it_asks_for(
    store: Store, small: MakeConfig
) -> None:
    run = store.get(small(**{"arithmetic.dtype": "float32"}))
    stored = safetensors.torch.load_file(run.path / "parameters.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert {parameter.dtype for parameter in run.model().parameters()} == {torch.float32}

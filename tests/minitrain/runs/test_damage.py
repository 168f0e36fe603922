"""Damage of any kind is named in one line, never read, and always mended by training again."""

import json
import logging
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from minitrain.common.errors import UserError
from minitrain.common.files import sha256, write_atomically
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.store import Run, Store, address, read_run
from minitrain.training.config import Config
from minitrain.training.grid import fingerprint

MakeConfig = Callable[..., Config]
RUN, PARAMETERS, SUMS = "run.json", "parameters.safetensors", "SHA256SUMS"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig) -> Run:
    """A run in a store of its own. Not to be touched: copy it."""
    return Store(tmp_path_factory.mktemp("finished")).get(small())


def a_file(path: Path, _run: Run) -> None:
    path.write_text("not a folder")


def a_dangling_link(path: Path, _run: Run) -> None:
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path, _run: Run) -> None:
    path.symlink_to(path.name)


def a_link_to_a_damaged_run(path: Path, run: Run) -> None:
    other = path.with_name("elsewhere")
    shutil.copytree(run.path, other)
    (other / RUN).write_text("{}")
    path.symlink_to(other)


@pytest.mark.parametrize(
    "put", [a_file, a_dangling_link, a_link_to_itself, a_link_to_a_damaged_run]
)
def test_whatever_lies_where_a_run_goes_is_replaced_by_the_run(
    put: Callable[[Path, Run], None], finished: Run, store: Store, small: MakeConfig
) -> None:
    path = store.path(small())
    path.parent.mkdir(parents=True)
    put(path, finished)
    assert store.get(small()).fingerprint == finished.fingerprint
    assert read_run(path).fingerprint == finished.fingerprint
    assert not path.is_symlink()
    elsewhere = path.with_name("elsewhere") / RUN
    assert not elsewhere.exists() or elsewhere.read_text() == "{}", "a link was followed"


def test_leftovers_of_another_kind_are_removed(
    finished: Run, store: Store, small: MakeConfig
) -> None:
    name = address(small())
    store.root.mkdir(parents=True)
    (store.root / f".new-{name}").write_text("a file where a folder goes")
    (store.root / ".partial" / f"{name}.safetensors" / "a folder").mkdir(parents=True)
    assert store.get(small()).fingerprint == finished.fingerprint
    assert not any((store.root / ".partial").iterdir())


# -------------------------------------------------------------- right checksums, wrong content


def crafted(run: Run, folder: Path, content: Any = None, parameters: bytes | None = None) -> Path:
    """A copy of a run with other content and checksums to match."""
    shutil.copytree(run.path, folder)
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / RUN).write_text(text)
    if parameters is not None:
        (folder / PARAMETERS).write_bytes(parameters)
    lines = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in (RUN, PARAMETERS)]
    (folder / SUMS).write_text("".join(lines))
    return folder


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "not JSON": lambda _: "{",
    "not UTF-8": lambda _: "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    "a list": lambda values: [values],
    "a number": lambda _: 7,
    "null": lambda _: "null",
    "deep": lambda _: "[" * 5000,
    **{
        f"without {key}": lambda values, key=key: {k: v for k, v in values.items() if k != key}
        for key in ("config", "fingerprint", "diverged", "steps", "tokens", "seconds", "records")
    },
    **{
        f"{key} is text": lambda values, key=key: values | {key: "text"}
        for key in ("config", "diverged", "steps", "tokens", "seconds", "records")
    },
    "seconds is NaN": lambda values: json.dumps(values | {"seconds": float("nan")}),
    "steps is negative": lambda values: values | {"steps": -1},
    "no records": lambda values: values | {"records": []},
    "a record without a loss": lambda values: values | {"records": [{"step": 0}]},
    "a record is null": lambda values: values | {"records": [None]},
    "another fingerprint": lambda values: values | {"fingerprint": "0" * 64},
    **{
        f"{key} is {value!r}": lambda values, key=key, value=value: values | {key: value}
        for key, value in [
            *(("seconds", 0), ("seconds", "3"), ("steps", True), ("steps", "40")),
            *(("steps", 41), ("steps", 39), ("tokens", 10**30), ("diverged", "yes"), ("x", 1)),
            *(("fingerprint", "<b>"), ("code", "")),
        ]
    },
    **{
        f"{key} of a record is {value!r}": lambda values, key=key, value=value: (
            values | {"records": [*values["records"][:-1], values["records"][-1] | {key: value}]}
        )
        for key, value in [
            *(("x", 1), ("step", -1), ("step", 41), ("val_loss", "<b>"), ("val_loss", "1.5")),
            *(("weight_norms", None), ("weight_norms", {}), ("weight_norms", {"evil": 1.0})),
            *(("update_norms", {"evil": 1.0}), ("accuracy", {}), ("parts", {}), ("parts", None)),
            *(("fingerprint", "<b>"), ("gradient_norm", "1"), ("accuracy", {"train": {}})),
        ]
    },
    "a NaN in a record": lambda values: json.dumps(
        values | {"records": [values["records"][0] | {"train_loss": math.nan}]}
    ),
    "an infinity by way of 1e999": lambda values: json.dumps(values).replace(
        '"seconds": ', '"seconds": 1e999, "was": '
    ),
    "records out of order": lambda values: values | {"records": values["records"][::-1]},
    "an unknown leaf": lambda values: values | {"config": values["config"] | {"colour": "red"}},
    "an impossible config": lambda values: values | {"config": values["config"] | {"steps": 0}},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_run_with_nonsense_inside_is_damage(what: str, finished: Run, tmp_path: Path) -> None:
    values = json.loads((finished.path / RUN).read_text())
    folder = crafted(finished, tmp_path / "crafted", WRONG[what](values))
    with pytest.raises(DamagedFile) as damage:
        read_run(folder)
    assert "\n" not in str(damage.value)
    assert len(str(damage.value)) < 400 + len(str(folder))


def tensors_with(change: Callable[[dict[str, torch.Tensor]], Any], run: Run) -> bytes:
    tensors = safetensors.torch.load((run.path / PARAMETERS).read_bytes())
    change(tensors)
    return safetensors.torch.save(tensors)


@pytest.mark.parametrize(
    "what", ["pickle", "empty", "one missing", "one more", "other shapes", "another type"]
)
def test_parameters_that_are_none_of_this_model_are_damage(
    what: str, finished: Run, tmp_path: Path
) -> None:
    content = {
        "pickle": lambda: b"\x80\x04K\x01.",
        "empty": lambda: b"",
        "one missing": lambda: tensors_with(lambda ts: ts.pop("ln_f.weight"), finished),
        "one more": lambda: tensors_with(
            lambda ts: ts.update(evil=torch.zeros(2, dtype=torch.float64)), finished
        ),
        "other shapes": lambda: tensors_with(
            lambda ts: ts.update({"ln_f.bias": torch.zeros(2, 2, dtype=torch.float64)}), finished
        ),
        "another type": lambda: tensors_with(
            lambda ts: ts.update({"ln_f.bias": ts["ln_f.bias"].float()}), finished
        ),
    }[what]()
    values = json.loads((finished.path / RUN).read_text())
    if what not in ("pickle", "empty"):
        values["fingerprint"] = fingerprint(safetensors.torch.load(content))
    with pytest.raises(DamagedFile):
        read_run(crafted(finished, tmp_path / "crafted", values, content))


def test_a_store_trains_again_what_somebody_crafted(
    finished: Run, store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    store.root.mkdir(parents=True)
    crafted(finished, store.path(small()), "[]")
    assert store.get(small()).fingerprint == finished.fingerprint
    assert "training again" in caplog.text


def test_damage_is_named_once(
    finished: Run, store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    store.root.mkdir(parents=True)
    crafted(finished, store.path(small()), "[]")
    with caplog.at_level(logging.WARNING):
        store.get(small())
    assert len(caplog.records) == 1


def test_damage_survives_the_way_from_another_process() -> None:
    damage = DamagedFile(Path("there"), "is\nnot what it was")
    again = ForkingPickler.loads(ForkingPickler.dumps(damage))
    assert str(again) == str(damage) == "there: is not what it was"
    assert (again.path, again.reason) == (damage.path, damage.reason)


def test_a_pipe_where_a_file_goes_is_damage_and_not_waited_for(
    finished: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished.path, tmp_path / "copy"))
    (folder / RUN).unlink()
    os.mkfifo(folder / RUN)
    with pytest.raises(DamagedFile, match="is not a file"):
        read_run(folder)


# ----------------------------------------------------------------- what is read is what was checked


def test_parameters_that_change_after_a_run_was_read_are_not_loaded(
    finished: Run, tmp_path: Path
) -> None:
    run = read_run(Path(shutil.copytree(finished.path, tmp_path / "copy")))
    content = bytearray((run.path / PARAMETERS).read_bytes())
    content[-1] ^= 1
    (run.path / PARAMETERS).write_bytes(content)
    with pytest.raises(DamagedFile, match="has changed since the run was read"):
        run.model()


def test_a_finished_run_is_found_where_nothing_can_be_written(
    finished: Run, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert Store(finished.path.parent).get(small()) == finished


@pytest.mark.parametrize(
    ("name", "said"), [("x" * 300, "File name too long"), ("\udcff", "must be UTF-8")]
)
def test_a_store_that_cannot_be_named_is_one_line(name: str, said: str, small: MakeConfig) -> None:
    with pytest.raises(UserError, match=said) as error:
        Store(Path(name)).find(small())
    assert len(str(error.value)) < 200


def test_a_run_shows_itself_in_one_line(finished: Run) -> None:
    assert len(repr(finished)) < 120
    assert finished.fingerprint[:12] in repr(finished)


# ------------------------------------------------------------------------------------ writing files


def test_a_link_is_followed_and_a_pipe_is_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to("target")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_link_to_a_stream_that_is_a_pipe_is_written_through(
    run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """As /dev/stdout is; not that one, which a mistake would replace on the whole machine."""
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    script = """
import json, sys
from pathlib import Path
from minitrain.common.files import write_atomically
write_atomically(Path(json.loads(sys.argv[1])), b"page")
"""
    assert run_python(script, str(link)).stdout == "page"
    assert link.is_symlink()


def test_a_link_laid_where_the_temporary_file_goes_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".page.html.{os.getpid()}").symlink_to(victim)
    write_atomically(tmp_path / "page.html", b"page")
    assert victim.read_text() == "mine"
    assert (tmp_path / "page.html").read_bytes() == b"page"

"""What may stand on the command line, and the complaint about what may not."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from minitrain.common.errors import UserError
from minitrain.large import recorded
from minitrain.runs import experiments, fingerprints, table
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.experiments import Experiment, Point
from minitrain.runs.run import read_result
from minitrain.runs.store import Run, Store, read_run
from minitrain.training.config import assignment

_A_RUN = "A run's folder, its address in the store, its name in experiments/fingerprints.lock"
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=f"{_A_RUN}.")]
ResultArgument = Annotated[str, typer.Argument(metavar="RUN", help=f"{_A_RUN}, or a run.json.")]
ComparedArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help=f"{_A_RUN}, a run.json, the folder of a large run, or FILE.json:NAME:SEED of a"
        " recorded check.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[
    str, typer.Option(metavar="cpu|cuda", help="Where to compute; the result is the same.")
]


def number(option: str) -> Callable[[str], float]:
    """A parser whose complaint names the option and the value."""

    def parse(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise UserError(f"{option} {text!r}: expected a number") from None

    return parse


def whole(option: str, least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers within bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise UserError(f"{option} {text!r}: expected a whole number from {least} to {most}")
        return value

    return parse


def changes(texts: Sequence[str] | None) -> dict[str, Any]:
    """``["steps=19", ...]`` as keys and values, none of them twice."""
    found = dict[str, Any]()
    leaves: list[str] = []
    for key, value in map(assignment, texts or []):
        leaves += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [key]
        found[key] = value
    distinct(leaves, "--set")
    return found


def axes(texts: Sequence[str] | None) -> dict[str, list[Any]]:
    """``["optimizer.weight_decay=0.1,1", ...]`` as keys and YAML values."""
    pairs = [_axis(text) for text in texts or []]
    distinct([key for key, _ in pairs], "--grid")
    return dict(pairs)


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not key or not equals:
        raise UserError(f"--grid {text!r}: expected KEY=V1,V2,...")
    return assignment(f"{key}=[{values}]", "--grid")


def seeds(text: str) -> list[int]:
    """``"42,43"`` as numbers."""
    try:
        return [int(seed) for seed in text.split(",")] if text else []
    except ValueError:
        raise UserError(f"--seeds {text!r}: expected whole numbers, such as 42,43") from None


def distinct(values: Iterable[str], option: str) -> None:
    """Refuse a value that is there twice: it would count double, or one of the two for nothing."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise UserError(f"{option} {value}: is there twice")
        seen.add(value)


def several(names: Sequence[str]) -> list[Experiment]:
    """Experiments, none of them twice under whatever names."""
    loaded = [experiments.load(name) for name in names]
    seen: set[Path] = set()
    for name, experiment in zip(names, loaded, strict=True):
        place = experiment.path.resolve()
        if place in seen:
            raise UserError(f"EXPERIMENT {name}: is there twice")
        seen.add(place)
    return loaded


def check_device(device: str) -> str:
    """Refuse a device that is not here."""
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device!r}: expected cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"--device cuda: PyTorch {torch.__version__} finds no CUDA device on this machine"
        )
    return device


def find_run(name: str) -> Run:
    """The run of that path, of that address in the store, or of that name in the lock file."""
    candidates = (Path(name), Store().root / name)
    path = next((path for path in candidates if _mode(path, stat.S_ISDIR)), None)
    if path is None and (point := point_named(name)):
        path = Store().path(point.recipe)
        if not path.exists():
            raise UserError(f"{name}: not trained yet: minitrain sweep {point.experiment}")
    if not name or path is None:
        raise UserError(f"{name or repr(name)}: no such run")
    try:
        return read_run(path)
    except DamagedFile as damage:
        if (path / recorded.RESULT).exists():
            raise UserError(f"{name}: is a large run; only compare shows it") from None
        raise UserError(f"{name}: not a run: {damage}") from None


def point_named(name: str) -> Point | None:
    """The book's run of that name in `experiments/fingerprints.lock`; None if there is none."""
    if " " not in name:  # to read all experiments takes a second
        return None
    return next((p for p in fingerprints.points() if fingerprints.label(p) == name), None)


def find_result(name: str) -> Run:
    """A run as `find_run` finds it, or the `run.json` of one that a page trained."""
    if not _mode(Path(name), stat.S_ISREG):
        return find_run(name)
    try:
        return read_result(Path(name))
    except DamagedFile as damage:
        raise UserError(f"{name}: not a run: {damage}") from None


def _mode(path: Path, kind: Callable[[int], bool]) -> bool:
    """Like `Path.is_dir`, which raises if a name is too long."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def check_page(output: Path) -> Path:
    """Before it is made: that a page can be written there; returns where a link leads."""
    name = f"-o {output}"
    if _mode(output, stat.S_ISDIR):
        raise UserError(f"{name}: is a folder; name a page in it")
    try:
        target = Path(os.path.realpath(output))
        if not output.exists() or _mode(output, stat.S_ISREG):
            check_folder(target)
            return target
    except OSError as error:
        raise UserError(f"{name}: cannot write the page: {error.strerror}") from None
    return output  # a device or a pipe


def check_table(output: Path) -> None:
    """Before anything is trained: that the table can be written in the end, in both formats."""
    name = f"-o {output}"
    if _mode(output, stat.S_ISDIR):
        raise UserError(f"{name}: is a folder; name a table in it")
    try:
        for path in (output, *table.files(output)):
            if path.exists() and not _mode(path, stat.S_ISREG):
                raise UserError(f"{name}: {path} is not a file; a table is two files")
            check_folder(path)
    except OSError as error:
        raise UserError(f"{name}: cannot write the table: {error.strerror}") from None


def check_folder(target: Path) -> None:
    """Raises `OSError` if a file cannot come to be at `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        target.lstat()  # raises if the name is too long
    with tempfile.TemporaryFile(dir=target.parent):
        pass


def check_link(link: Path) -> None:
    """Before anything is trained: that a link can be left there."""
    name = f"--link {link}"
    try:
        there, is_link = link.exists() or link.is_symlink(), link.is_symlink()
        if there and not is_link:
            raise UserError(f"{name}: is there already, and is not a link")
        if Store().root.resolve() in (folder := link.parent.resolve(), *folder.parents):
            raise UserError(f"{name}: lies in the store; leave the link somewhere else")
        check_folder(link)
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None


def point(link: Path, target: Path) -> None:
    """Leave a link to `target`, in place of an older link."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())
    except OSError as error:
        raise UserError(f"--link {link}: {error.strerror}") from None

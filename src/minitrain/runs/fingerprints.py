"""The fingerprint of every run that the book shows, in one file that anybody can compare with.

``experiments/fingerprints.lock`` has a line for each run, in the order of the experiments::

    <64 hex digits>  <experiment> <variant> <key=value of the grid>... seed=<seed>

Comments above the lines say which version of PyTorch and which training code they belong to.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minitrain.common import paths
from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.runs import experiments
from minitrain.runs.code import training_code
from minitrain.runs.experiments import Point
from minitrain.runs.store import Run
from minitrain.training.grid import short
from minitrain.training.loop import Record

NAME = "fingerprints.lock"
RENEW = "minitrain fingerprints --write"
CODE_DIGITS = 16
NOTHING = 1e-14  # where a gradient vanishes, what is measured of it is rounding
CLOSE = 1e-9  # relative; what is measured at equal parameters differs by less between machines

_HEAD = f"# The fingerprint of every run that the book shows; written by `{RENEW}`.\n"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


@dataclass(frozen=True)
class Lock:
    """What the file says: fingerprints by the label of a run, and what they were made with."""

    path: Path
    fingerprints: Mapping[str, str]
    torch: str
    code: str


def folder() -> Path:
    """Where the experiments lie."""
    return paths.course_root() / "experiments"


def points(names: Sequence[str] = ()) -> list[Point]:
    """Every run that the book shows, experiment by experiment; or those of some experiments."""
    found = names or [path.parent.name for path in sorted(folder().glob("*/config.yaml"))]
    return [point for name in found for point in experiments.load(folder() / name).points()]


def label(point: Point) -> str:
    """One line that names a run: experiment, variant, where it stands in the grid, seed."""
    grid = (f"{key}={_compact(value)}" for key, value in point.coordinates.items())
    return " ".join([point.experiment, point.variant, *grid, f"seed={point.seed}"])


def read(path: Path | None = None) -> Lock:
    """The file. Raises `UserError` if it is not there or a line of it is not as written."""
    path = path or folder() / NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise UserError(f"{path}: {reason}; `{RENEW}` writes it") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") or not line.strip():
            continue
        parts = _LINE.fullmatch(line)
        if not parts or parts[2] in found:
            wrong = "is there twice" if parts else "is not a fingerprint and a run"
            raise UserError(f"{path}: line {number}: {wrong} (got {line[:100]!r})")
        found[parts[2]] = parts[1]
    made = dict(line[2:].rsplit(" ", 1) for line in lines if re.match("# .+ ", line))
    return Lock(path, found, made.get("torch", "unknown"), made.get("training code", "unknown"))


def write(points: Sequence[Point], runs: Iterable[Run], path: Path | None = None) -> Path:
    """Write the file anew, from finished runs of `points`; returns where it is."""
    path = path or folder() / NAME
    made = f"# torch {_torch()}\n# training code {training_code()[:CODE_DIGITS]}\n"
    lines = (
        f"{run.fingerprint}  {label(point)}\n" for point, run in zip(points, runs, strict=True)
    )
    write_atomically(path, "".join([_HEAD, made, *lines]).encode())
    return path


def check_listed(lock: Lock, points: Sequence[Point]) -> None:
    """Raises `UserError` if `points`, all that the book shows, are not those of the file."""
    labels = [label(point) for point in points]
    for what, odd in (
        ("is not in it", (name for name in labels if name not in lock.fingerprints)),
        ("is in no experiment", (name for name in lock.fingerprints if name not in set(labels))),
    ):
        if (name := next(odd, None)) is not None:
            raise UserError(
                f"{lock.path}: {name}: {what}; if the experiments were changed on purpose,"
                f" renew the file: {RENEW}"
            )


def check(lock: Lock, points: Sequence[Point], runs: Iterable[Run]) -> None:
    """Raises `UserError` naming the first run whose fingerprint is not that of the file."""
    check_listed(lock, points)
    for point, run in zip(points, runs, strict=True):
        expected = lock.fingerprints[label(point)]
        if run.fingerprint != expected:
            raise UserError(
                f"{label(point)}: fingerprint {short(run.fingerprint)}, expected {short(expected)}"
                f" ({lock.path}); {advice(lock)}"
            )


def advice(lock: Lock) -> str:
    """Why a fingerprint may differ, and what to do, as far as can be told from here."""
    if training_code()[:CODE_DIGITS] != lock.code:
        return f"the training code was edited: if on purpose, renew the file: {RENEW}"
    if _torch() != lock.torch:
        return f"this is torch {_torch()}, the file was made with {lock.torch}: install that one"
    return "code and torch are those of the file: this machine rounds otherwise"


def parting(expected: Sequence[Record], found: Sequence[Record]) -> str | None:
    """The first record at which two runs of one config are not the same: step, field, values.

    Records are the same if their parameters are: losses measured at equal parameters may differ in
    the last digits between machines. None if all records are the same.
    """
    for left, right in zip(expected, found, strict=False):
        if left.fingerprint != right.fingerprint:
            return measured_apart(left, right) or (
                f"step {left.step}, fingerprint {short(right.fingerprint)}"
                f" (expected {short(left.fingerprint)})"
            )
    if len(expected) != len(found):
        return f"number {min(len(expected), len(found)) + 1} of {len(expected)}: one ended earlier"
    return None


def measured_apart(expected: Record, found: Record) -> str | None:
    """The first number that two records do not agree on, to `CLOSE`: step, field, values."""
    others = dict(_numbers(found.plain()))
    for name, value in _numbers(expected.plain()):
        other = others.get(name)
        if not _close(value, other):
            return f"step {expected.step}, {name} {_shown(other)} (expected {_shown(value)})"
    return None


def _torch() -> str:
    """The version, without the build."""
    return str(torch.__version__).partition("+")[0]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def _close(a: float, b: float | None) -> bool:
    if b is None:
        return False
    return math.isclose(a, b, rel_tol=CLOSE, abs_tol=NOTHING) or (math.isnan(a) and math.isnan(b))


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.10g}"

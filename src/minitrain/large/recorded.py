"""Large runs that are over, as they were written down: by `minitrain large`, or by a check of a
card, which keeps many in one file.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitrain.common.errors import UserError
from minitrain.large.config import LargeConfig, parse
from minitrain.large.train import Record

RESULT = "result.json"


@dataclass(frozen=True)
class LargeRun:
    """A finished large run: its config and what was measured."""

    config: LargeConfig
    steps: int
    diverged: bool
    records: tuple[Record, ...]


def read(place: str) -> LargeRun | None:
    """The large run at `place`; None if there is none.

    place: the folder of a run of `minitrain large`, its `result.json`, or ``FILE.json:NAME:SEED``
    for one of the runs that `tools/gpu_check.py` wrote to a file. Raises `UserError` for a file
    that is neither.
    """
    path, _, chosen = place.partition(".json:")
    if chosen:
        return _one_of(Path(f"{path}.json"), chosen)
    file = Path(place) / RESULT if Path(place).is_dir() else Path(place)
    if file.name != RESULT or not file.is_file():
        return None
    return _run(file, _values(file))


def _one_of(path: Path, chosen: str) -> LargeRun:
    values = _values(path)
    try:
        runs = {f"{run['name']}:{run['seed']}": run for run in values["weight_decay"]["runs"]}
    except (KeyError, TypeError):
        raise UserError(f"{path}: is not what tools/gpu_check.py writes") from None
    if chosen not in runs:
        near = difflib.get_close_matches(chosen, runs, n=3, cutoff=0) or list(runs)[:3]
        names = " ".join(f"'{name}'" for name in near)
        raise UserError(f"{path}: '{chosen}' is none of its {len(runs)} runs; near it: {names}")
    return _run(path, runs[chosen])


def _values(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: is not JSON") from None


def _run(path: Path, values: Any) -> LargeRun:
    try:
        records = tuple(Record(**record) for record in values["records"])
        config = parse(values["config"], str(path))
        return LargeRun(config, int(values["steps"]), bool(values["diverged"]), records)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: is not the result of a large run") from None

"""Finished runs as one tidy table: a row for each run, a column for each value of its config and
for each result.
"""

import inspect
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pandas as pd
from pandas.api.typing import DataFrameGroupBy
from pydantic import BaseModel

from minitrain.common.files import sha256, write_atomically
from minitrain.runs.experiments import Point
from minitrain.runs.store import ADDRESS_DIGITS, Run, address
from minitrain.training import generate
from minitrain.training.config import Config, flat
from minitrain.training.metrics import EMBEDDING, evaluate

# The columns after those of the config, and what they are in pandas. `steps` is the config's.
_RESULTS = {
    "steps_taken": "int64",
    "tokens": "int64",
    "seconds": "float64",
    "diverged": "bool",
    "train_loss": "float64",
    "val_loss": "float64",
    "test_loss": "float64",
    "test_prompt_loss": "float64",
    "test_form_loss": "float64",
    "test_accuracy": "float64",
    "embedding_norm": "float64",
    "completion": "str",
    "fingerprint": "str",
}
_TESTED = ("test_loss", "test_prompt_loss", "test_form_loss", "test_accuracy", "completion")
SUFFIXES = (".parquet", ".csv")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def of(runs: Iterable[Run], points: Sequence[Point] | None = None) -> pd.DataFrame:
    """One row for each run, in their order: its config by dotted key, then its results.

    `points` are those that the runs were asked for at: they give the columns `experiment` and
    `variant`. The losses, the accuracy, the norm and the completion of a run that diverged are
    missing. `seconds` is a time: it is another one on every machine.
    """
    rows = [_row(run) for run in runs]
    dtypes = dict(_config_dtypes(Config)) | _RESULTS
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in dtypes.items()
    }
    if points is not None:
        where = {
            name: pd.Series([_text(getattr(point, name)) for point in points], dtype="str")
            for name in ("experiment", "variant")
        }
        columns = where | columns
    return pd.DataFrame(columns)


def tested(run: Run) -> dict[str, Any]:
    """How `run` does on the test split, and how it completes `generate.SMOKE_TEST`.

    Kept beside the runs of the store, so that it is computed once.
    """
    path = run.path.resolve().parent / ".tested" / f"{_key(run)}.json"
    if (earlier := _kept(path)) is not None:
        return earlier
    model = run.model()
    evaluation = evaluate(model, "test")
    results = {
        "test_loss": evaluation.loss,
        "test_prompt_loss": evaluation.parts["prompt"],
        "test_form_loss": evaluation.parts["form"],
        "test_accuracy": evaluation.accuracy["all"],
        "completion": generate.complete(model.double(), generate.SMOKE_TEST),
    }
    kept = {"results": results, "sha256": sha256(json.dumps(results).encode())}
    with suppress(OSError):  # a disk that cannot be written costs time, nothing else
        write_atomically(path, json.dumps(kept).encode())
    return results


def _kept(path: Path) -> dict[str, Any] | None:
    """What was computed earlier; None if the file is not what was written."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        results = kept["results"]
        if sha256(json.dumps(results).encode()) != kept["sha256"]:
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    columns = {name: _RESULTS[name] for name in _TESTED}
    types: dict[str, type] = {"float64": float, "str": str}
    if not isinstance(results, dict) or set(results) != set(columns):
        return None
    if not all(isinstance(results[name], types[dtype]) for name, dtype in columns.items()):
        return None
    return results


def _key(run: Run) -> str:
    """All that the results depend on; the address stands for the config and the code under it."""
    sources = (inspect.getsource(module) for module in (generate, sys.modules[__name__]))
    parts = (address(run.config), run.fingerprint, *sources)
    return sha256("\0".join(parts).encode())[:ADDRESS_DIGITS]


def write(frame: pd.DataFrame, path: Path) -> list[Path]:
    """Write `frame` as Parquet and as CSV, each atomically; returns where they are.

    `path` may end in either suffix, or in neither. A missing value is an empty cell in the CSV. A
    name that a spreadsheet would take for a formula has an apostrophe before it there, and what is
    not printable is escaped; the Parquet file has it as it is.
    """
    parquet, csv = files(path)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_atomically(parquet, buffer.getvalue())
    write_atomically(csv, _as_csv(frame).encode())
    return [parquet, csv]


def files(path: Path) -> list[Path]:
    """Where `write` puts the table: the Parquet file, then the CSV."""
    stem = path.with_suffix("") if path.suffix in SUFFIXES else path
    return [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]


def _as_csv(frame: pd.DataFrame) -> str:
    """A spreadsheet computes what begins like a formula, and a control character breaks a line."""
    text = [name for name, dtype in frame.dtypes.items() if pd.api.types.is_string_dtype(dtype)]
    safe = frame.assign(**{str(name): frame[name].map(_inert, "ignore") for name in text})
    return safe.to_csv(index=False, lineterminator="\n")


def _inert(value: str) -> str:
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return f"'{shown}" if value.startswith(_FORMULA) else shown


def varying(frame: pd.DataFrame) -> list[str]:
    """The columns of the config, other than the seed, that are not the same in every row."""
    names = [name for name, _ in _config_dtypes(Config) if name != "seed"]
    return [name for name in names if frame[name].nunique(dropna=False) > 1]


def by_point(frame: pd.DataFrame) -> "DataFrameGroupBy[Any, Any]":
    """The rows grouped by experiment, variant and whatever else varies, except the seed.

    ``table.by_point(frame)["val_loss"].agg(["mean", "min", "max"])`` is a mean over seeds and its
    range.
    """
    labels = [name for name in ("experiment", "variant") if name in frame]
    return frame.groupby([*labels, *varying(frame)] or ["steps"], sort=False, dropna=False)


def overview(frame: pd.DataFrame) -> pd.DataFrame:
    """A line for each point, as text: how many runs, and mean and range of the main results."""
    grouped = by_point(frame)
    lines = []
    for _, rows in grouped:
        first = rows.iloc[0]
        labels = [str(name) for name in grouped.keys if frame[name].nunique(dropna=False) > 1]
        line = {name: f"{first[name]}" for name in labels}
        line["runs"] = f"{len(rows)}"
        if frame["diverged"].any():
            line["diverged"] = f"{rows['diverged'].sum()}"
        lines.append(line | {name: _spread(rows[name], form) for name, form in _SHOWN.items()})
    return pd.DataFrame(lines)


_SHOWN = {"train_loss": ".4f", "val_loss": ".4f", "test_loss": ".4f", "test_accuracy": ".3f"}


def _spread(values: "pd.Series[float]", form: str) -> str:
    if values.isna().all():
        return ""
    mean = f"{values.mean():{form}}"
    return mean if len(values) == 1 else f"{mean} ({values.min():{form}}…{values.max():{form}})"


def _row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_RESULTS)
    row |= dict(_leaves(flat(run.config))) | {
        "steps_taken": run.steps,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "diverged": run.diverged,
        "fingerprint": run.fingerprint,
    }
    if not run.diverged:
        row |= tested(run) | {
            "train_loss": run.last.train_loss,
            "val_loss": run.last.val_loss,
            "embedding_norm": run.last.weight_norms[EMBEDDING],
        }
    return row


def _text(name: str) -> str:
    """A folder's name may hold bytes that are no text; a table cannot."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A cell holds one value: a list becomes a column for each of its members."""
    for key, value in values.items():
        if isinstance(value, list):
            yield from ((f"{key}.{i}", member) for i, member in enumerate(value))
        else:
            yield key, value


def _config_dtypes(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The columns of a config and their types in pandas, as its fields declare them."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _config_dtypes(kind, f"{prefix}{name}.")
        elif get_origin(kind) is tuple:
            for i, member in enumerate(get_args(kind)):
                yield f"{prefix}{name}.{i}", _dtype(member)
        else:
            yield f"{prefix}{name}", _dtype(kind)


def _dtype(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _dtype(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        (present,) = (each for each in get_args(kind) if each is not NoneType)
        return {"int64": "Int64"}.get(_dtype(present), _dtype(present))
    if get_origin(kind) is Literal:
        return "str"
    return {int: "int64", float: "float64", bool: "bool"}[kind]

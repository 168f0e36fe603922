"""Why two runs are not the same: what of their configs, their faults and their code differs; and a
name that a reader can say for a run that has an address.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from minitrain.runs import faults, fingerprints
from minitrain.runs.code import SOURCES, hash_of, training_code
from minitrain.runs.experiments import Point
from minitrain.runs.run import Run
from minitrain.training.config import Config, differing

_DIGITS = 12


@dataclass(frozen=True)
class Difference:
    """What of two runs differs.

    config: both values, by dotted key. code: what trained each, in words; None if it is the same.
    modules: the modules of the training code that differ, where the sources of both are known.
    parting: the first step at which their parameters are not the same, and both validation losses
    there; None if they are the same wherever both have a record.
    """

    config: Mapping[str, tuple[Any, Any]]
    code: tuple[str, str] | None
    modules: tuple[str, ...] | None
    parting: tuple[int, tuple[float, float]] | None


def difference(left: Run, right: Run) -> Difference:
    """Of two finished runs."""
    return Difference(
        differing(left.config, right.config),
        (code_name(left.code), code_name(right.code)) if left.code != right.code else None,
        _modules(left.code, right.code),
        _parting(left, right),
    )


def _parting(left: Run, right: Run) -> tuple[int, tuple[float, float]] | None:
    theirs = {record.step: record for record in right.records}
    for one in left.records:
        other = theirs.get(one.step)
        if other and one.fingerprint != other.fingerprint:
            return one.step, (one.val_loss, other.val_loss)
    return None


def code_name(code: str) -> str:
    """Training code, by its hash, in words."""
    if code == training_code():
        return "as here"
    name = _known().get(code, ("of another version", {}))[0]
    return f"{name} ({code[:_DIGITS]})"


def run_name(run: Run) -> str:
    """The label of the book's run that is this one, as `fingerprints.label` has it (the first, if
    there are several); or of the nearest one, and what is changed in it.
    """
    return name_of(run.config, run.code)


def name_of(config: Config, code: str) -> str:
    """As `run_name`, of a run that is known by its config and the hash of its code."""
    near = min(fingerprints.points(), key=lambda point: _distance(point, config, code))
    changes = [f"{key}={after}" for key, (_, after) in differing(near.config, config).items()]
    if code != faults.code_of(near.recipe):
        changes.append(f"training code {code_name(code)}")
    label = fingerprints.label(near)
    return f"{label}, with {', '.join(changes)}" if changes else label


def _distance(point: Point, config: Config, code: str) -> tuple[int, int]:
    changed = len(differing(point.config, config))
    return changed, int(code != faults.code_of(point.recipe))


def _modules(left: str, right: str) -> tuple[str, ...] | None:
    """The training's modules whose sources differ; None if the sources of one are not known."""
    try:
        one, other = (_known()[code][1] for code in (left, right))
    except KeyError:
        return () if left == right else None
    return tuple(name.rpartition(".")[2] for name in SOURCES if one[name] != other[name])


@cache
def _known() -> dict[str, tuple[str, Mapping[str, str]]]:
    """Name and sources of all training code that is here, by its hash."""
    return {hash_of(sources): (name, sources) for name, sources in _codes()}


def _codes() -> Iterator[tuple[str, Mapping[str, str]]]:
    for name in faults.names():
        fault = faults.load(name)
        yield f"fault {name}, repaired", fault.repaired()
        yield f"fault {name}", fault.sources
    yield "as here", SOURCES

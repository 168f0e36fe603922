"""`minitrain verify` and `minitrain fingerprints`: are these the book's runs, to the last bit?"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from minitrain.command_line import arguments
from minitrain.command_line.arguments import AsJson, Device
from minitrain.command_line.progress import with_progress
from minitrain.command_line.streams import out
from minitrain.common.errors import UserError
from minitrain.runs import engines, fingerprints
from minitrain.runs.engines import Engine
from minitrain.runs.experiments import Point
from minitrain.runs.store import Store, one_thread
from minitrain.runs.sweep import run_all
from minitrain.training.config import Config
from minitrain.training.grid import short
from minitrain.training.loop import Record, Training

DIFFERS = 1  # the exit status


@dataclass(frozen=True)
class Trained:
    """What a second training gave."""

    fingerprint: str
    records: Sequence[Record]


def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's folder, or its name in the store."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every run that the book shows, against its lock file.")
    ] = False,
    names: Annotated[
        list[str] | None,
        typer.Option("--experiment", help="Only the runs of this one; may be repeated."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            parser=arguments.whole("--sample", 1, 1_000_000),
            help="Only this many of them, spread over the list.",
        ),
    ] = None,
    device: Device = "cpu",
    engine: Annotated[
        str | None,
        typer.Option(metavar="pytorch|kernel", help="What trains again; else the other one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train again, from the config alone, and say whether the fingerprint holds.

    What trained a run does not verify it: the kernel's runs are trained again by PyTorch, and
    PyTorch's by the kernel, where it can. The book's runs count as the kernel's.
    """
    listed = everything or names or sample
    if bool(name) == bool(listed):
        raise UserError("verify: name one RUN, or say --all, --experiment or --sample")
    arguments.check_device(device)
    if engine not in (None, *engines.NAMES):
        raise UserError(f"--engine {engine!r}: expected {' or '.join(engines.NAMES)}")
    if name:
        _verify_run(name, device, engine, as_json)
    else:
        _verify_listed(names or (), sample, device, engine or engines.PYTORCH, as_json)


def _verify_run(name: str, device: str, engine: str | None, as_json: bool) -> None:
    run = arguments.find_run(name)
    if engine:
        chosen = engines.choose(run.config, device, engine)
    else:
        chosen = engines.other(run.engine, run.config, device)
    (again,) = _train_here([run.config], chosen)
    equal = again.fingerprint == run.fingerprint
    values = {
        "equal": equal,
        "expected": run.fingerprint,
        "fingerprint": again.fingerprint,
        "trained_by": run.engine,
        "verified_by": chosen.name,
        "parting": None if equal else fingerprints.parting(run.records, again.records),
    }
    if as_json:
        out(json.dumps(values))
    elif equal:
        out(f"holds: {again.fingerprint}  (trained by {run.engine}, again by {chosen.name})")
    else:
        out(f"differs: {run.fingerprint} in {run.path}\n   here: {again.fingerprint}")
        if values["parting"]:
            out(f"  first: {values['parting']}")
    if not equal:
        raise typer.Exit(DIFFERS)


def _verify_listed(
    names: Sequence[str], sample: int | None, device: str, engine: str, as_json: bool
) -> None:
    arguments.distinct(names, "--experiment")
    lock = fingerprints.read()
    everything = fingerprints.points()
    fingerprints.check_listed(lock, everything)
    known = list(dict.fromkeys(point.experiment for point in everything))
    for name in names:
        if name not in known:
            raise UserError(f"--experiment {name}: is not one of {', '.join(known)}")
    points = [point for point in everything if not names or point.experiment in names]
    points = _spread(points, sample or len(points))
    differing = []
    for point, again in zip(points, _train_again(points, device, engine), strict=True):
        label = fingerprints.label(point)
        expected = lock.fingerprints[label]
        if again.fingerprint != expected:
            values = {
                "run": label,
                "expected": expected,
                "fingerprint": again.fingerprint,
                "parting": _parting(point.config, expected, again),
            }
            differing.append(values)
            if not as_json:
                first = f"; first: {values['parting']}" if values["parting"] else ""
                found = f"{short(again.fingerprint)}, expected {short(expected)}"
                out(f"differs: {label}: {found}{first}")
    equal = len(points) - len(differing)
    if as_json:
        out(json.dumps({"runs": len(points), "equal": equal, "different": differing}))
    else:
        reason = f", different: {len(differing)}; {fingerprints.advice(lock)}" if differing else ""
        out(f"equal: {equal} of {len(points)}{reason}")
    if differing:
        raise typer.Exit(DIFFERS)


def _spread(points: Sequence[Point], count: int) -> list[Point]:
    """The first, and `count` of them in all, evenly over the list."""
    count = min(count, len(points))
    return [points[i * len(points) // count] for i in range(count)]


def _parting(config: Config, expected: str, again: Trained) -> str | None:
    """Where the training left the expected one, if the store has that."""
    run = Store().find(config)
    if run is None or run.fingerprint != expected:
        return None
    return fingerprints.parting(run.records, again.records)


def _train_again(points: Sequence[Point], device: str, engine: str) -> list[Trained]:
    """Train without looking into the store: on all cores, or one after the other on a GPU."""
    configs = [point.config for point in points]
    if device != "cpu":
        return _train_here(configs, engines.pytorch(device))
    for config in configs if engine == engines.KERNEL else ():
        engines.choose(config, device, engine)  # what it does not train is said before it begins
    with tempfile.TemporaryDirectory() as folder:
        runs = run_all(configs, Store(Path(folder), engine=engine))
        return [Trained(run.fingerprint, run.records) for run in runs]


def _train_here(configs: Sequence[Config], engine: Engine) -> list[Trained]:
    def train(on_step: Callable[[Training], None]) -> list[Trained]:
        found: dict[Config, Trained] = {}
        for config in dict.fromkeys(configs):
            with one_thread():
                training = engine.train(engine.start(config), on_step)
            found[config] = Trained(training.fingerprint(), training.records)
        return [found[config] for config in configs]

    return with_progress(sum(config.steps for config in dict.fromkeys(configs)), train)


def write_fingerprints(
    write: Annotated[
        bool, typer.Option("--write", help="Write the file anew instead of comparing with it.")
    ] = False,
) -> None:
    """Compare the runs that the book shows with experiments/fingerprints.lock, or renew it.

    Runs that the store lacks are trained first; the others are not trained again (see verify).
    """
    points = fingerprints.points()
    lock = None if write else fingerprints.read()
    if lock:
        fingerprints.check_listed(lock, points)
    runs = run_all(point.recipe for point in points)
    if lock:
        fingerprints.check(lock, points, runs)
        out(f"equal: {len(points)} of {len(points)}")
    else:
        out(f"{fingerprints.write(points, runs)}: {len(points)} runs")

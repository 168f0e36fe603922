"""Whether the two engines compute the same: short runs by both, compared record by record."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from minitrain.common.files import write_atomically
from minitrain.kernel import binding
from minitrain.runs import engines, faults, fingerprints
from minitrain.runs.engines import Engine
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store, one_thread
from minitrain.training.config import Config, patched
from minitrain.training.loop import Training

STEPS, WARMUP, INTERVAL = 60, 10, 20


def short_runs(count: int) -> list[Config]:
    """`count` of the book's runs that the kernel trains, spread over the list, cut to `STEPS`."""
    configs = [point.config for point in fingerprints.points() if binding.covers(point.config)]
    short = list(dict.fromkeys(map(_cut, configs)))
    count = min(count, len(short))
    return [short[i * len(short) // count] for i in range(count)]


def _cut(config: Config) -> Config:
    warmup = min(config.schedule.warmup_steps, WARMUP)
    return patched(
        config,
        {"steps": STEPS, "eval_interval": INTERVAL, "schedule.warmup_steps": warmup},
    )


def with_faults() -> list[Recipe]:
    """A short run under every fault that the kernel knows, of the first run that the book shows."""
    known = [name for name in faults.names() if faults.load(name).request.kernel]
    (config,) = short_runs(1)
    return [Recipe(config, name) for name in known]


def difference_under(recipe: Recipe) -> str | None:
    """Where the kernel, with a fault planted, leaves PyTorch under the fault's patch."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Store(Path(folder), engine=engines.PYTORCH).get(recipe)
    theirs = _trained(engines.kernel(recipe.fault), recipe.config)
    apart = fingerprints.parting(ours.records, theirs.records)
    for left, right in zip(ours.records, theirs.records, strict=False):
        apart = apart or fingerprints.measured_apart(left, right)
    same = ours.fingerprint == theirs.fingerprint()
    return apart or (None if same else "the end of the run")


def difference(config: Config) -> str | None:
    """Where the kernel's run of `config` leaves PyTorch's; None if nowhere.

    Fingerprints must be equal; what was measured may differ by `fingerprints.CLOSE`.
    """
    ours, theirs = _trained(engines.pytorch(), config), _trained(engines.kernel(), config)
    if parting := fingerprints.parting(ours.records, theirs.records):
        return parting
    for left, right in zip(ours.records, theirs.records, strict=True):
        if apart := fingerprints.measured_apart(left, right):
            return apart
    same = (ours.step, ours.tokens, ours.diverged) == (theirs.step, theirs.tokens, theirs.diverged)
    return None if same and ours.fingerprint() == theirs.fingerprint() else "the end of the run"


def _trained(engine: Engine, config: Config) -> Training:
    with one_thread():
        return engine.train(engine.start(config))


def first_difference(wanted: Iterable[Config | Recipe]) -> str | None:
    """The first run that the engines train differently, and where; else None."""
    for one in wanted:
        apart = difference_under(one) if isinstance(one, Recipe) else difference(one)
        if apart:
            return f"{one!r}: {apart}"
    return None


def note() -> None:
    """Write down that the sources, as they are, were found to compute the same."""
    text = json.dumps(engines.current(), indent=1) + "\n"
    write_atomically(engines.verified_path(), text.encode())

"""Whether the two engines compute the same: short runs by both, compared record by record."""

import json
from collections.abc import Iterable

from minitrain.common.files import write_atomically
from minitrain.kernel import binding
from minitrain.runs import engines, fingerprints
from minitrain.runs.engines import Engine
from minitrain.runs.store import one_thread
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


def first_difference(configs: Iterable[Config]) -> str | None:
    """The first of `configs` that the engines train differently, and where; else None."""
    for config in configs:
        if apart := difference(config):
            return f"{config!r}: {apart}"
    return None


def note() -> None:
    """Write down that the sources, as they are, were found to compute the same."""
    text = json.dumps(engines.current(), indent=1) + "\n"
    write_atomically(engines.verified_path(), text.encode())

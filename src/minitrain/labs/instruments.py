"""The ten checks, pointed at the course's own training: the instruments of a case's bench.

Each is a check of `minitrain.checks`, given what the training of a config has. Under a fault they
are run in a process of its own, on the patched sources: `examine`.
"""

import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from minitrain import checks
from minitrain.checks import CannotJudge, Verdict
from minitrain.common.files import sha256, write_atomically
from minitrain.runs import checkpoint, faults, patched
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store, address
from minitrain.training import corpus, loop, metrics
from minitrain.training.config import Config, parse, plain
from minitrain.training.loop import Training

STEPS = 10  # of a probe
BATCHES = 50  # that are looked at for repetitions


def initial_loss(config: Config) -> Verdict:
    """The loss of an untrained model, against the log of the size of the vocabulary."""
    model = loop.start(config).model
    return checks.initial_loss(metrics.evaluate(model, "train").loss, len(corpus.vocabulary()))


def causality_of_training(config: Config) -> Verdict:
    """Whether the past moves with the future, if the model is called as the training calls it."""
    training = loop.start(config)
    seen: list[tuple[Any, Any]] = []
    hook = training.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
    )
    loop.advance(training)
    hook.remove()
    (tokens, *others), named = seen[0]

    def logits_of(tokens: Tensor) -> Tensor:
        logits: Tensor = training.model(tokens, *others, **named)
        return logits

    return checks.causality(logits_of, tokens)


def causality_of_generation(config: Config) -> Verdict:
    """The same, if the model is called as generation calls it: with the tokens alone."""
    model = loop.start(config).model
    return checks.causality(model, corpus.encoded("train").inputs[:4])


def repeatable(config: Config) -> Verdict:
    """Whether two evaluations in a row are equal."""
    model = loop.start(config).model
    return checks.repeatable(lambda: metrics.evaluate(model, "val").loss)


def updated_parameters(config: Config) -> Verdict:
    """Which parameters one step of the training changes."""
    training = loop.start(config)
    return checks.updated_parameters(training.model, lambda: loop.advance(training))


def zero_gradient(config: Config) -> Verdict:
    """What the optimizer does where every gradient is zero, against what its groups declare."""
    training, rate = loop.start(config), config.optimizer.learning_rate
    return checks.zero_gradient(
        training.model,
        lambda: training.optimizer.step(rate),
        STEPS,
        shrinkage={
            name: rate * group["weight_decay"]
            for group in _groups(training)
            for name in _names(training, group["params"])
        },
        expected="decoupled" if config.optimizer.name == "adamw" else "l2",
    )


def parameter_groups(config: Config) -> Verdict:
    """What the optimizer holds, and whether something decays that should be spared."""
    training = loop.start(config)
    spared = None if config.optimizer.decay_mask == "all" else checks.vectors
    return checks.parameter_groups(training.model, _groups(training), spared)


def learning_rates(config: Config) -> Verdict:
    """The rates that the optimizer is given, against warm-up and cosine written anew.

    Looked at where the schedule may go wrong: at its beginning, at its peak, half-way down, at its
    end. The training jumps there; a rate depends on the step alone.
    """
    training = loop.start(config)
    used: list[float] = []
    step = training.optimizer.step

    def noted(learning_rate: float) -> None:
        used.append(learning_rate)
        step(learning_rate)

    training.optimizer.step = noted  # type: ignore[method-assign]
    warmup, last = config.schedule.warmup_steps, config.steps - 1
    begins = {0, warmup, (warmup + last) // 2, max(0, last - STEPS + 1)}
    steps = sorted({i for begin in begins for i in range(begin, begin + STEPS) if i <= last})
    for training.step in steps:
        loop.advance(training)
        training.diverged = False
    return checks.learning_rates(used, [_expected_rate(i, config) for i in steps])


def _expected_rate(step: int, config: Config) -> float:
    peak, warmup = config.optimizer.learning_rate, config.schedule.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    angle = math.pi * (step - warmup) / max(1, config.steps - 1 - warmup)
    lowest = config.schedule.final_fraction * peak
    return lowest + (peak - lowest) * (1 + math.cos(angle)) / 2


def resume(config: Config) -> Verdict:
    """Whether a run that was stopped, saved and loaded goes on as if it had not been."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"

        def save(training: Training) -> None:
            checkpoint.save(training, 1.0, "pytorch", path)

        def load(_: None) -> Training:
            return checkpoint.load(config, path, loop.start)[0]

        return checks.resume(lambda: loop.start(config), loop.advance, save, load, _state)


def overlap(config: Config) -> Verdict:
    """How many validation items are training items too."""
    train, val = (corpus.split(name) for name in ("train", "val"))
    return checks.overlap([item.text for item in train], [item.text for item in val])


def repeats(config: Config) -> Verdict:
    """Whether a batch comes twice among the first ones."""
    return checks.repeats(loop.batch_indices(config)[:BATCHES])


INSTRUMENTS: Mapping[str, Callable[[Config], Verdict]] = {
    "initial_loss": initial_loss,
    "causality.training": causality_of_training,
    "causality.generation": causality_of_generation,
    "repeatable": repeatable,
    "updated_parameters": updated_parameters,
    "zero_gradient": zero_gradient,
    "parameter_groups": parameter_groups,
    "learning_rates": learning_rates,
    "resume": resume,
    "overlap": overlap,
    "repeats": repeats,
}


def apply(name: str, config: Config) -> Verdict:
    """The verdict of one instrument on this process's training code, under the instrument's name.

    A refusal is a verdict that did not pass, with the reason as its evidence.
    """
    try:
        verdict = INSTRUMENTS[name](config)
    except CannotJudge as refusal:
        return Verdict(name, False, str(refusal))
    return Verdict(name, verdict.passed, verdict.evidence)


def examine(wanted: Config | Recipe) -> dict[str, Verdict]:
    """The verdicts of all instruments on the code that trains a recipe, by name.

    What was found is kept in the store: it depends on the recipe and on the checks alone.
    """
    recipe, store = Recipe.of(wanted), Store()
    path = store.root / ".examined" / f"{address(recipe)}-{_code()[:16]}.json"
    if not path.exists():
        sources = faults.load(recipe.fault).sources if recipe.fault else None
        if sources is None:
            found = [asdict(apply(name, recipe.config)) for name in INSTRUMENTS]
        else:
            asked = {"config": plain(recipe.config)}
            found = list(patched.ask(__name__, asked, sources, store.root))
        write_atomically(path, json.dumps(found, indent=1).encode())
    verdicts = [Verdict(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
    return {verdict.check: verdict for verdict in verdicts}


def _code() -> str:
    """A hash of what the verdicts are made with, besides the training code."""
    package = Path(checks.__file__).parent
    files = [*sorted(package.glob("*.py")), Path(__file__)]
    return sha256(b"\0".join(path.read_bytes() for path in files))


def _groups(training: Training) -> list[dict[str, Any]]:
    """The optimizer's groups, as PyTorch's optimizers have them."""
    rate = training.config.optimizer.learning_rate
    return [
        {"params": group.parameters, "weight_decay": group.weight_decay, "lr": rate}
        for group in training.optimizer.groups
    ]


def _names(training: Training, parameters: Any) -> list[str]:
    held = {id(p) for p in parameters}
    return [name for name, p in training.model.named_parameters() if id(p) in held]


def _state(training: Training) -> dict[str, Tensor]:
    """What a checkpoint has to bring back: parameters by name, and the moments."""
    state = {name: p.detach() for name, p in training.model.named_parameters()}
    for i, group in enumerate(training.optimizer.groups):
        state |= {f"moment 1.{i}": group.first_moment, f"moment 2.{i}": group.second_moment}
    return state


def main() -> None:
    """Examine the training code of this copy of the library (see `patched.ask`)."""
    config = parse(json.load(sys.stdin)["config"], "config")
    for name in INSTRUMENTS:
        print(json.dumps(asdict(apply(name, config))), flush=True)


if __name__ == "__main__":
    main()

"""Compares what each experiment trains with its budget in `budgets.yaml`, beside this file.

    python tools/budget.py

A cold build trains every run that the experiments list, and CI pays for it. So each experiment has
a budget, in thousands of steps: what it costs is counted, not timed, and every machine counts the
same. A run that two experiments share counts for the first. Exits with 1, and one line for each
experiment, if one is over its budget, has none, or is not there any more.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from minitrain.common import strict_yaml
from minitrain.runs import fingerprints
from minitrain.runs.faults import Recipe
from minitrain.training import corpus
from minitrain.training.config import Config

BUDGETS = Path(__file__).with_name("budgets.yaml")
BATCH = 8  # lines of the steps that are counted in
# Forward alone; backward takes twice that again.
_FORWARD = 1 / 3


def steps(config: Config) -> float:
    """What a run costs, in training steps of eight lines: its own, and its evaluations."""
    lines = sum(len(corpus.split(name)) for name in ("train", "val"))
    evaluations = 1 + -(-config.steps // config.eval_interval)
    trained = config.steps * config.batch_size
    return (trained + _FORWARD * evaluations * lines) / BATCH


def spent() -> dict[str, float]:
    """Maps each experiment to the thousands of steps that it adds to a cold build."""
    found: dict[str, float] = {}
    seen: set[Recipe] = set()
    for point in fingerprints.points():
        new = point.recipe not in seen
        cost = steps(point.config) / 1000 if new else 0.0
        found[point.experiment] = found.get(point.experiment, 0.0) + cost
        seen.add(point.recipe)
    return found


def complaints(spent: Mapping[str, float], budgets: Mapping[str, float]) -> list[str]:
    """A line for each experiment that is not within its budget."""
    lines = [f"{BUDGETS.name}: {name}: no such experiment" for name in budgets.keys() - spent]
    for name, cost in spent.items():
        if name not in budgets:
            lines.append(f"{name}: {cost:.1f} thousand steps, and no budget in {BUDGETS.name}")
        elif cost > budgets[name]:
            lines.append(f"{name}: {cost:.1f} thousand steps, budget {budgets[name]}")
    return sorted(lines)


def main() -> int:
    """Print the table; say what is over its budget."""
    found, budgets = spent(), strict_yaml.read(BUDGETS)
    for name, cost in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{cost:8.1f} of {budgets.get(name, 0):5}  {name}")
    print(f"{sum(found.values()):8.1f} of {sum(budgets.values()):5}  thousand steps, all told")
    wrong = complaints(found, budgets)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

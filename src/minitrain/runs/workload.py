"""What a sweep costs, and how much of that is behind us: a bar on a terminal, and
whoever watches.
"""

import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from minitrain.runs.faults import Recipe
from minitrain.runs.notice import Standing, Watch
from minitrain.training import corpus
from minitrain.training.config import Config

SECONDS_BEFORE_GUESSING = 2  # how long the rest will take


def cost(config: Config) -> int:
    """About how long a run takes, in units of its own: for comparing configs, nothing else.

    The constants are fitted to measured times. The unit is a forward pass of one item, times the
    model's size: a step takes two for each item and five more, a record one for each item of two
    splits. A pass grows more slowly than the square of the width.
    """
    slower = 1.5 if config.arithmetic.autocast else 1.0
    steps = slower * config.steps * (2 * config.batch_size + 5)
    records = (config.steps // config.eval_interval + 2) * (corpus.N_TRAIN + corpus.N_VAL)
    width = config.model.d_model
    passes = (steps + records) * config.model.n_layer * width * (width + 128)
    return int(passes / 2 if config.arithmetic.dtype == "float32" else passes)


class Workload:
    """How much of the estimated cost of all runs is behind us: a bar, on a terminal only, and
    whoever watches.

    What turns out not to be needed is taken off the total: the steps of a resumed run that were
    done before, those that a diverged run leaves out. So the time left is that of real work.
    """

    def __init__(self, recipes: Sequence[Recipe], watch: Watch | None = None):
        self.watch = watch
        self.left = {recipe: cost(recipe.config) for recipe in recipes}
        self.total = sum(self.left.values())
        self.spent = 0
        self.began = time.monotonic()
        self.steps: dict[Recipe, int] = {}
        self.finished = 0
        self.bar: tqdm[Any] = tqdm(
            total=self.total,
            disable=None,
            leave=False,
            smoothing=0,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )
        self._show()

    def reach(self, recipe: Recipe, step: int) -> None:
        """A run has made update number `step`."""
        if not self.steps:  # the processes have started: from here on, time is training
            self.bar.reset(self.total)
            self.began = time.monotonic()
        if recipe not in self.steps:
            self._take_off(recipe, self._done(recipe, step - 1))
            self.steps[recipe] = step - 1
        done = self._done(recipe, step) - self._done(recipe, self.steps[recipe])
        self.steps[recipe] = step
        self.left[recipe] -= done
        self.spent += done
        self.bar.update(done)
        self._tell()

    def finish(self, recipe: Recipe) -> None:
        """A run is in the store."""
        self._take_off(recipe, self.left[recipe])
        self.finished += 1
        self._show()

    def _done(self, recipe: Recipe, step: int) -> int:
        return cost(recipe.config) * step // recipe.config.steps

    def _take_off(self, recipe: Recipe, amount: int) -> None:
        self.left[recipe] -= amount
        self.total -= amount
        self.bar.total = self.total

    def _show(self) -> None:
        self.bar.set_postfix_str(f"{self.finished}/{len(self.left)} runs")
        self._tell()

    def _tell(self) -> None:
        if self.watch:
            self.watch(Standing(self.finished, len(self.left), self._seconds_left()))

    def _seconds_left(self) -> float | None:
        seconds = time.monotonic() - self.began
        if self.spent <= 0 or seconds < SECONDS_BEFORE_GUESSING:
            return None
        return seconds * (self.total - self.spent) / self.spent

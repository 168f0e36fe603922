"""A bar for a run that is trained in this process."""

from collections.abc import Callable
from typing import TypeVar

from tqdm import tqdm

from minitrain.training.loop import Training

T = TypeVar("T")


def with_progress(steps: int, work: Callable[[Callable[[Training], None]], T]) -> T:
    """Call `work` with a callback that moves a progress bar: on a terminal only (disable=None)."""
    with tqdm(total=steps, unit="step", disable=None, leave=False) as bar:
        before = 0  # the last step that was counted, of the run that is under way

        def on_step(training: Training) -> None:
            nonlocal before
            if training.step < before:
                before = 0
            bar.update(training.step - before)
            before = training.step
            if training.records:
                bar.set_postfix(val_loss=f"{training.records[-1].val_loss:.4f}", refresh=False)

        return work(on_step)

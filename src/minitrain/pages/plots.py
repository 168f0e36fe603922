"""Matplotlib pictures of finished runs. Their text is field names and symbols: no language."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minitrain.runs.store import Run
from minitrain.training.loop import Record
from minitrain.training.metrics import EMBEDDING

# Okabe & Ito's palette with a dash each: nobody has to tell two lines apart by colour alone.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
)

Quantity = Callable[[Record], float]

Group = Mapping[str, Sequence[Run]]
"""Runs by label; the runs of one label differ in their seed alone."""


class Recorded(Protocol):
    """What has records: a run, or a training that goes on."""

    @property
    def records(self) -> Sequence[Record]: ...


def train_loss(record: Record) -> float:
    """Training loss, nats per character."""
    return record.train_loss


def val_loss(record: Record) -> float:
    """Validation loss, nats per character."""
    return record.val_loss


def gap(record: Record) -> float:
    """Validation loss minus training loss, nats per character."""
    return record.val_loss - record.train_loss


def embedding_norm(record: Record) -> float:
    """Frobenius norm of the token embedding."""
    return record.weight_norms[EMBEDDING]


def accuracy(split: str = "val", slice_name: str = "all") -> Quantity:
    """The share of a slice's forms that are right."""
    return lambda record: record.accuracy[split][slice_name]


@contextmanager
def figure(columns: int = 1, height: float = 3.2) -> Iterator[tuple[Figure, list[Axes]]]:
    """A row of `columns` panels in the course's style.

    Closed when the block ends, so that a notebook shows it where the page puts it and nowhere else.
    """
    style: dict[Any, Any] = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 110,
    }
    with plt.rc_context(style):
        fig, axes = plt.subplots(1, columns, figsize=(7.5, height), layout="constrained")
        try:
            yield fig, [axes] if columns == 1 else list(axes)
        finally:
            plt.close(fig)


def curves(ax: Axes, runs: Mapping[str, Sequence[Recorded]], quantity: Quantity, name: str) -> None:
    """`quantity` against the step: one line for each run, one style for each label."""
    for (label, seeds), style in zip(runs.items(), STYLES, strict=False):
        for i, run in enumerate(seeds):
            steps = [record.step for record in run.records]
            values = [quantity(record) for record in run.records]
            ax.plot(steps, values, **style, label=None if i else label, alpha=0.9, linewidth=1.6)
    ax.set_xlabel("step")
    ax.set_title(name, loc="left", fontsize=10)


def bars(ax: Axes, runs: Group, quantities: Mapping[str, Quantity]) -> None:
    """Final values: a bar for the mean over the seeds, a dot for each seed."""
    width = 0.8 / len(runs)
    for i, ((label, seeds), style) in enumerate(zip(runs.items(), STYLES, strict=False)):
        hatch = "" if i == 0 else "//" if i == 1 else ".."
        for k, quantity in enumerate(quantities.values()):
            values = [quantity(run.last) for run in seeds]
            x = k + (i - (len(runs) - 1) / 2) * width
            ax.bar(
                x,
                sum(values) / len(values),
                width * 0.92,
                color=style["color"],
                alpha=0.55,
                hatch=hatch,
                label=None if k else label,
            )
            ax.plot([x] * len(values), values, "o", color="black", markersize=3)
    ax.set_xticks(range(len(quantities)), list(quantities))

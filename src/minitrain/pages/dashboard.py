"""Two or more finished runs overlaid on one HTML page that needs no network."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from minitrain.large import config as large_config
from minitrain.large.recorded import LargeRun
from minitrain.runs.store import Run
from minitrain.training.config import flat
from minitrain.training.grid import short
from minitrain.training.metrics import KINDS, SLICES

# Okabe & Ito's palette, which colour-blind readers can tell apart; dashes tell the rest.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,6px")
_PANELS = (
    "train_loss, val_loss",
    "val_loss \N{MINUS SIGN} train_loss",
    "weight_norms",
    "learning_rate",
)
_ACCURACY = ("accuracy.train", "accuracy.val")  # large runs have none
_TABLE = "results, config"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
</head>
<body>
{figure}
</body>
</html>
"""


Shown = Run | LargeRun


def page(runs: Mapping[str, Shown]) -> str:
    """A self-contained HTML page (Plotly inlined) with the runs, by label, overlaid.

    Labels in the panels are the names of the record's fields and of the config's keys. Those of the
    runs may be anything: Plotly would read them as markup, so they are escaped.
    """
    runs = {escape(label): run for label, run in runs.items()}
    accuracy = _ACCURACY if any(isinstance(run, Run) for run in runs.values()) else ()
    rows = (len(_PANELS) + len(accuracy)) // 2
    figure = make_subplots(
        rows=rows + 1,
        cols=2,
        subplot_titles=(*_PANELS, *accuracy, _TABLE),
        row_heights=[0.78 / rows] * rows + [0.22],
        vertical_spacing=0.07,
        specs=[*([{}, {}] for _ in range(rows)), [{"type": "table", "colspan": 2}, None]],
    )
    for (label, run), colour in zip(runs.items(), _COLOURS, strict=False):
        _add_curves(figure, label, run, colour)
        if isinstance(run, Run):
            _add_accuracy(figure, label, run, colour)
    figure.add_trace(_table(runs), row=rows + 1, col=1)
    title = " \N{MIDDLE DOT} ".join(
        f"{label}{_fingerprint(run)}{' (diverged)' if run.diverged else ''}"
        for label, run in runs.items()
    )
    figure.update_layout(
        title=title,
        template="plotly_white",
        height=350 * (rows + 1),
        barmode="group",
        hovermode="x unified",
        legend={"groupclick": "toggleitem"},
    )
    figure.update_xaxes(title_text="step", row=2)
    figure.update_xaxes(title_text="step", row=1)
    options = {"displaylogo": False, "responsive": True}
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=True, config=options, div_id="runs"
    )  # an id of its own would make two pages of the same runs differ
    return _PAGE.format(title=title, figure=drawn)


def _fingerprint(run: Shown) -> str:
    """Large runs have none: their arithmetic is not the same everywhere."""
    return f" [{short(run.fingerprint)}]" if isinstance(run, Run) else ""


def _add_curves(figure: go.Figure, label: str, run: Shown, colour: str) -> None:
    def line(name: str, values: list[float | None], row: int, col: int, dash: str) -> None:
        figure.add_trace(
            go.Scatter(
                x=[record.step for record in run.records],
                y=values,
                name=f"{label}: {name}",
                legendgroup=label,
                mode="lines",
                line={"color": colour, "dash": dash},
            ),
            row=row,
            col=col,
        )

    def gap(record: Any) -> float | None:
        if record.val_loss is None or record.train_loss is None:  # of a large run, at step 0
            return None
        return float(record.val_loss - record.train_loss)

    line("train_loss", [r.train_loss for r in run.records], 1, 1, "dash")
    line("val_loss", [r.val_loss for r in run.records], 1, 1, "solid")
    line("gap", [gap(r) for r in run.records], 1, 2, "solid")
    for kind in run.records[-1].weight_norms:
        dash = _DASHES[KINDS.index(kind)]
        line(kind, [r.weight_norms[kind] for r in run.records], 2, 1, dash)
    line("learning_rate", [r.learning_rate for r in run.records], 2, 2, "solid")


def _add_accuracy(figure: go.Figure, label: str, run: Run, colour: str) -> None:
    for col, split in enumerate(("train", "val"), start=1):
        accuracy = run.last.accuracy[split]
        figure.add_trace(
            go.Bar(
                x=list(SLICES),
                y=[accuracy.get(name) for name in SLICES],
                name=f"{label}: {split}",
                legendgroup=label,
                marker={"color": colour, "pattern": {"shape": "/" if split == "train" else ""}},
            ),
            row=3,
            col=col,
        )
        figure.update_yaxes(range=[0, 1], row=3, col=col)


def _table(runs: Mapping[str, Shown]) -> go.Table:
    """How the runs ended, then the config keys in which they differ, one row each."""
    configs = [_flat(run) for run in runs.values()]
    keys = dict.fromkeys(key for config in configs for key in config)
    differing = [key for key in keys if any(c.get(key) != configs[0].get(key) for c in configs)]

    def loss(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    def column(run: Shown, config: Mapping[str, Any]) -> list[str]:
        return [
            f"{run.steps}{' (diverged)' if run.diverged else ''}",
            loss(run.records[-1].train_loss),
            loss(run.records[-1].val_loss),
            *(_value(config[key]) if key in config else "" for key in differing),
        ]

    return go.Table(
        header={"values": ["", *runs], "align": "left"},
        cells={
            "values": [
                ["steps", "train_loss", "val_loss", *differing],
                *map(column, runs.values(), configs),
            ],
            "align": "left",
        },
    )


def _flat(run: Shown) -> dict[str, Any]:
    if isinstance(run, Run):
        return flat(run.config)
    return large_config.flat(large_config.plain(run.config))


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)

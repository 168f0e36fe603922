"""The explorables: what there is to move, what follows from it, and a picture of it.

One description serves the panel in the page, which computes in JavaScript, and the one in
JupyterLab, which computes here. Text in pictures is symbols and names: no language.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from matplotlib.figure import Figure

from minitrain.common.errors import UserError
from minitrain.common.messages import say, shown
from minitrain.pages import decay_timescale, one_weight, plots
from minitrain.pages.decay_timescale import POINTS, Recipe
from minitrain.pages.explorable_texts import DECAY_TIMESCALE, ONE_WEIGHT, Texts
from minitrain.pages.handles import Handle
from minitrain.pages.one_weight import Settings

OWN = "own"

Values = Mapping[str, float]
Rows = dict[str, list[float | None]]


@dataclass(frozen=True)
class Explorable:
    """A thing to touch.

    choices: the entries of its list, each with the values that it brings for the handles, if any.
    first: the entry chosen at the start. start: the handles' values then. columns: the heads of the
    table of results. rows: that table, by row, for a choice and values; `UserError` if they do not
    go together. draw: a picture of the same.
    """

    texts: Mapping[str, Texts]
    handles: tuple[Handle, ...]
    choices: Mapping[str, Values]
    first: str
    start: Values
    columns: tuple[str, ...]
    rows: Callable[[str, Values], Rows]
    draw: Callable[[str, Values], Figure]


def named(name: str) -> Explorable:
    """The explorable of that name; `UserError` if there is none."""
    try:
        return EXPLORABLES[name]()
    except KeyError:
        expected = " | ".join(EXPLORABLES)
        reason = say("one_of", expected=expected)
        raise UserError(say("at", source=f"explorable {shown(name)}", reason=reason)) from None


def _settings(stream: str, values: Values) -> Settings:
    fields: dict[str, Any] = {**values, "stream": stream}
    one_weight.check(Settings(**fields))
    return Settings(**{**fields, "steps": int(values["steps"])})


def _one_weight_rows(stream: str, values: Values) -> Rows:
    paths = list(one_weight.paths(_settings(stream, values)).values())
    start = values["theta"]
    return {
        "end": [path.theta[-1] for path in paths],
        "lost": [path.lost for path in paths],
        "share": [100 * path.lost / start if start else None for path in paths],
        "m_hat": [path.m_hat[-1] for path in paths],
        "root_v_hat": [path.root_v_hat[-1] for path in paths],
        "crossing": [path.crossing for path in paths],
    }


def _draw_one_weight(stream: str, values: Values) -> Figure:
    paths = one_weight.paths(_settings(stream, values))
    with plots.figure(3, height=2.8) as (fig, axes):
        for (name, path), style in zip(paths.items(), plots.STYLES, strict=False):
            for ax, curve in zip(axes, (path.theta, path.m_hat, path.root_v_hat), strict=True):
                ax.plot(curve, **style, label=name)
        for ax, title in zip(axes, (r"$\theta$", r"$\hat m$", r"$\sqrt{\hat v}$"), strict=True):
            ax.set_title(title, loc="left", fontsize=10)
            ax.set_xlabel("$t$")
        axes[0].legend(frameon=False)
    return fig


def _one_weight() -> Explorable:
    start = asdict(Settings())
    first = start.pop("stream")
    return Explorable(
        texts=ONE_WEIGHT,
        handles=one_weight.HANDLES,
        choices={name: {} for name in one_weight.STREAMS},
        first=first,
        start=start,
        columns=tuple(one_weight.OPTIMIZERS),
        rows=_one_weight_rows,
        draw=_draw_one_weight,
    )


def _recipe(values: Values) -> Recipe:
    recipe = Recipe(**values)
    decay_timescale.check(recipe)
    return recipe


def _decay_timescale_rows(_choice: str, values: Values) -> Rows:
    found = decay_timescale.forgetting(_recipe(values))
    return {
        "steps": [found.steps],
        "timescale": [found.timescale],
        "tau": [found.tau],
        "total": [found.total],
        "left": [100 * found.left],
    }


def _draw_decay_timescale(choice: str, values: Values) -> Figure:
    recipes = decay_timescale.recipes() | {choice: _recipe(values)}
    share = [100 * point / POINTS for point in range(POINTS + 1)]
    dashes: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1)), (0, (1, 3)))
    with plots.figure(2, height=3.0) as (fig, (left, right)):
        for (name, recipe), dash in zip(recipes.items(), dashes, strict=False):
            chosen = name == choice
            style = {"linestyle": dash, "color": "#0072B2" if chosen else "#666666"}
            found = decay_timescale.forgetting(recipe)
            left.plot(share, found.kept, **style, linewidth=2.4 if chosen else 1, label=name)
            if chosen:
                right.plot(share, found.memory, **style, linewidth=2.4)
        left.set_title(r"$\prod_{s\leq t}(1-\eta_s\lambda)$", loc="left", fontsize=10)
        right.set_title(
            r"$S\,\eta_t\lambda\,\prod_{s>t}(1-\eta_s\lambda)$", loc="left", fontsize=10
        )
        for ax in (left, right):
            ax.set_xlabel("$t/S$, %")
            ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
        left.legend(frameon=False, fontsize=8)
    return fig


def _decay_timescale() -> Explorable:
    recipes = decay_timescale.recipes()
    first = next(iter(recipes))
    return Explorable(
        texts=DECAY_TIMESCALE,
        handles=decay_timescale.HANDLES,
        choices={name: vars(recipe) for name, recipe in recipes.items()} | {OWN: {}},
        first=first,
        start=vars(recipes[first]),
        columns=("",),
        rows=_decay_timescale_rows,
        draw=_draw_decay_timescale,
    )


EXPLORABLES: dict[str, Callable[[], Explorable]] = {
    "one-weight": _one_weight,
    "decay-timescale": _decay_timescale,
}

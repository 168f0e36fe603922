"""The two explorables as a cell shows them: a panel in JupyterLab, a picture in a book.

The built page has its own panel (the directive ``{explorable}``), in the place of this picture.
"""

import io
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from minitrain.common.errors import UserError
from minitrain.common.messages import session_language
from minitrain.pages.explorable_texts import COMMON
from minitrain.pages.explorables import OWN, Explorable, named
from minitrain.pages.handles import SLIDER_STEPS, Handle


def one_weight() -> object:
    """One weight under AdamW and Adam-L2: chapter 05's updates, with every number a handle."""
    return _shown(named("one-weight"))


def decay_timescale() -> object:
    """How much of its start a run forgets: chapter 07's quantities for any recipe."""
    return _shown(named("decay-timescale"))


def _shown(explorable: Explorable) -> object:
    language = session_language()
    if language is None:
        return explorable.draw(explorable.first, explorable.start)
    return Panel(explorable, language).panel


class Panel:
    """`panel` is the widget to show. It computes again whenever a handle was moved."""

    def __init__(self, explorable: Explorable, language: str):
        self.explorable = explorable
        self.texts, self.common = explorable.texts[language], COMMON[language]
        self.language = language
        self.moving = False  # while the panel itself moves its handles
        self.choice = widgets.Dropdown(
            description=self.texts.choice,
            options=[(self.texts.choices[name], name) for name in explorable.choices],
            value=explorable.first,
            style={"description_width": "initial"},
        )
        self.rows = {handle.key: _Row(handle, self._name(handle)) for handle in explorable.handles}
        self.reset = widgets.Button(description=self.common.reset)
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.results = widgets.HTML()
        self.status = widgets.HTML()
        self.panel = widgets.VBox(
            [
                widgets.HTML(f"<strong>{escape(self.texts.title)}</strong>"),
                self.choice,
                *(row.box for row in self.rows.values()),
                self.reset,
                self.status,
                self.picture,
                self.results,
            ]
        )
        self._set(explorable.start)
        self.choice.observe(lambda _: self._chosen(), "value")
        for row in self.rows.values():
            row.observe(self._moved)
        self.reset.on_click(lambda _: self._start_again())
        self._show()

    def _name(self, handle: Handle) -> str:
        return f"{self.texts.handles[handle.key]}, {handle.symbol}"

    def _values(self) -> dict[str, float]:
        return {key: row.number.value for key, row in self.rows.items()}

    def _set(self, values: Any, choice: str | None = None) -> None:
        """Move handles, and perhaps the list, without computing in between."""
        self.moving = True
        for key, value in values.items():
            self.rows[key].set(value)
        if choice:
            self.choice.value = choice
        self.moving = False

    def _chosen(self) -> None:
        if not self.moving:
            self._set(self.explorable.choices[self.choice.value])
            self._show()

    def _moved(self) -> None:
        if not self.moving:
            if OWN in self.explorable.choices:
                self._set({}, OWN)
            self._show()

    def _start_again(self) -> None:
        self._set(self.explorable.start, self.explorable.first)
        self._show()

    def _show(self) -> None:
        """The picture and the results; one line in their place if the values do not go together."""
        try:
            rows = self.explorable.rows(self.choice.value, self._values())
        except UserError as error:
            self._say(error.text(self.language))
            return
        figure = self.explorable.draw(self.choice.value, self._values())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        self.picture.value = buffer.getvalue()
        self.picture.alt = ", ".join(self.texts.charts.values())
        lines = [["", *self.explorable.columns]]
        lines += [
            [self.texts.rows[key], *(self._number(value) for value in values)]
            for key, values in rows.items()
        ]
        self.results.value = _table(lines)
        self._say("")

    def _number(self, value: float | None) -> str:
        return self.common.never if value is None else f"{value:.6g}"

    def _say(self, message: str) -> None:
        self.status.value = f"<div role='status'>{escape(message)}</div>"


class _Row:
    """One handle: its number, which can be typed, and a slider for the part worth sliding over."""

    def __init__(self, handle: Handle, name: str):
        self.handle = handle
        self.number = widgets.FloatText(
            description=name,
            style={"description_width": "24em"},
            layout=widgets.Layout(width="36em"),
            continuous_update=False,
        )
        self.slider = widgets.IntSlider(
            min=0, max=SLIDER_STEPS, readout=False, continuous_update=False
        )
        self.box = widgets.HBox([self.number, self.slider])
        self.following = False
        self.number.observe(lambda _: self._follow(), "value")
        self.slider.observe(lambda _: self._lead(), "value")

    def observe(self, moved: Callable[[], None]) -> None:
        """Call `moved` whenever the number changes."""
        self.number.observe(lambda _: moved(), "value")

    def set(self, value: float) -> None:
        self.number.value = value

    def _follow(self) -> None:
        """The slider shows where the number lies."""
        self.following = True
        self.slider.value = self.handle.position_of(self.number.value)
        self.following = False

    def _lead(self) -> None:
        """The slider was moved by hand."""
        if not self.following:
            self.number.value = self.handle.value_at(self.slider.value)


def _table(lines: list[list[str]]) -> str:
    """Lines of text, the first of them heads, as HTML."""
    head, *body = lines
    heads = "".join(f"<th scope='col'>{escape(text)}</th>" for text in head)
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(f"<td>{escape(text)}</td>" for text in values)
        + "</tr>"
        for name, *values in body
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"

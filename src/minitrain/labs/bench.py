"""The bench of a lab in JupyterLab: a pull request, if there is one, the difference of the configs,
the checks.

Each instrument counts once it has been used; how many a reader needed is their score. The pull
request is free: everybody is given it.
"""

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from minitrain.labs.bench_texts import BENCH, CASE
from minitrain.labs.case import Case, Row
from minitrain.labs.instruments import INSTRUMENTS
from minitrain.labs.lab import Lab
from minitrain.training.config import differing, flat

_LOOKS = {"+": "background: rgba(27, 127, 59, 0.15)", "-": "background: rgba(179, 38, 30, 0.12)"}


class Bench:
    """`panel` is the widget to show, `score` the line that counts.

    begin: runs what takes time beside the kernel's own threads (see `Workbench`).
    """

    def __init__(self, lab: Lab, language: str, begin: Callable[[Callable[[], None]], None]):
        self.lab, self.texts = lab, BENCH[language] | CASE[language]
        self.used: list[str] = []
        self.answers = 0
        self.found = False
        self.score = widgets.HTML()
        self._begin = begin
        parts: dict[str, widgets.Widget] = {
            "config_diff": widgets.HTML(f"<pre>{escape(self._differences())}</pre>"),
            "checks": self._checks(),
        }
        titles = [self.texts[name] for name in parts]
        if isinstance(lab, Case):
            request = lab.fault.request
            hunks = "".join(map(_table, lab.hunks))
            text = f"<p>{_with_code(request.description[language])}</p>"
            parts = {"request": widgets.HTML(text + hunks), **parts}
            titles.insert(0, f"{self.texts['request']}: {request.title[language]}")
        self.parts = parts
        self.panel = widgets.Accordion(
            children=list(parts.values()), titles=titles, selected_index=None
        )
        self.panel.observe(lambda change: self._opened(change["new"]), "selected_index")
        self._tell()

    def _differences(self) -> str:
        lab = self.lab
        leaves = differing(lab.config(lab.control), lab.config(lab.broken))
        lines = [f"{key}: {healthy!r} | {sick!r}" for key, (healthy, sick) in leaves.items()]
        if not lines:
            lines = [self.texts["no_difference"]]
            if isinstance(
                lab, Case
            ):  # where the fault is in the code, the config gives nothing away
                config = flat(lab.config(lab.broken))
                lines += ["", self.texts["whole"], *(f"{k}: {v!r}" for k, v in config.items())]
        return "\n".join(lines)

    def _checks(self) -> widgets.VBox:
        rows = []
        for name in INSTRUMENTS:
            button = widgets.Button(description=name, layout=widgets.Layout(width="14em"))
            line = widgets.HTML()
            button.on_click(
                lambda _, name=name, line=line: self._begin(lambda: self._run(name, line))
            )
            rows.append(widgets.HBox([button, line]))
        return widgets.VBox([widgets.HTML(f"<p>{escape(self.texts['check_about'])}</p>"), *rows])

    def _run(self, name: str, line: Any) -> None:
        verdict = self.lab.instrument(name)
        sign = "✓" if verdict.passed else "✗"
        line.value = f"<code>{escape(f'{sign} {verdict.evidence}')}</code>"
        self.use(name)

    def _opened(self, index: int | None) -> None:
        name = "checks" if index is None else list(self.parts)[index]
        if name == "config_diff":  # of the checks, each one counts for itself
            self.use(name)

    def use(self, name: str) -> None:
        """Count an instrument; what is used after the answer was found is no evidence for it."""
        if name not in self.used and not self.found:
            self.used.append(name)
        self._tell()

    def answered(self, found: bool) -> None:
        """Count an answer; a right one is told the score."""
        self.answers += not self.found
        self.found = self.found or found
        self._tell()

    def _tell(self) -> None:
        counted = "used" if self.used or self.answers else "not_used"
        sentence = "score" if self.found else counted
        text = self.texts[sentence].format(
            number=len(self.used),
            answers=self.answers,
            names=", ".join(self.texts.get(name, name) for name in self.used),
        )
        self.score.value = f"<div>{escape(text)}</div>"


def _with_code(text: str) -> str:
    """A text in which `code` stands between backticks, as HTML."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _table(hunk: list[Row]) -> str:
    rows = "".join(
        f"<tr style='{_LOOKS.get(row.kind, '')}'><td style='text-align: right'>{row.number}</td>"
        f"<td>{row.kind}</td><td style='text-align: left'>{escape(row.text)}</td></tr>"
        for row in hunk
    )
    style = "white-space: pre; font-family: monospace; line-height: 1.4; margin-bottom: 0.6em"
    return f"<code>{escape(hunk[0].file)}</code><table style='{style}'>{rows}</table>"

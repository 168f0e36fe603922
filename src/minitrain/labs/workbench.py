"""The panel of a lab in JupyterLab: change the broken run, train it, compare its curves."""

import io
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from html import escape
from typing import Any, Literal
from uuid import uuid4

import ipywidgets as widgets
from IPython.core.getipython import get_ipython
from IPython.display import HTML, display

from minitrain.common.errors import UserError
from minitrain.common.messages import say, session_language
from minitrain.labs import curves, texts, your_turn
from minitrain.labs.bench import Bench
from minitrain.labs.bench_texts import CASE
from minitrain.labs.case import Case
from minitrain.labs.judgement import outcome
from minitrain.labs.lab import Check, Lab
from minitrain.pages import plots
from minitrain.runs.notice import Standing, duration
from minitrain.runs.store import Store
from minitrain.training.config import Config, assignment, check_leaf, flat, full_key, patched
from minitrain.training.grid import short
from minitrain.training.loop import Record, Training

SECONDS_BETWEEN_PICTURES = 1.5  # of a run that goes on; to draw one takes a third of a second
SECONDS_BETWEEN_SIGNS = 0.2  # of life, while a run trains; each is a message to the browser

LOSSES = ("val_loss", "train_loss")

Mood = Literal["", "good", "bad"]

_STYLE = """<style>
.minitrain-panel textarea, .minitrain-panel input[type=text] {font-family: monospace}
.minitrain-status {white-space: pre-wrap; line-height: 1.4; padding: 0 0.6em}
.minitrain-good {border-left: 4px solid #1b7f3b}
.minitrain-bad {border-left: 4px solid #b3261e}
body:not(:has(.ID.jupyter-widgets-disconnected)) .ID-dead {display: none}
</style>"""


def workbench(lab: Lab) -> object:
    """What a lab's "your turn" cell shows: the panel in JupyterLab, the suspects in a book.

    The suspects of a case are the lines of its pull request; those of another lab are the keys of
    all leaves of the config, since a value could give the fault away. In JupyterLab, no cell below
    it runs with it (see `your_turn`).
    """
    language = session_language()
    if language is None:
        return (
            lab.diff()
            if isinstance(lab, Case)
            else Listing("\n".join(flat(lab.config(lab.broken))))
        )
    bench, shell = Workbench(lab, language), get_ipython()
    if shell is None:
        return bench.panel
    # The first line is for whoever finds a panel without a kernel; a living panel hides it.
    display(HTML(f"<p class='{bench.name}-dead'><strong>{texts.fill(language, 'dead')}</strong>"))
    display(bench.panel)
    display(HTML(f"<p>{texts.fill(language, 'your_turn')}</p>"))
    your_turn.stop_here(shell)


@dataclass(frozen=True)
class Listing:
    """Text that a notebook shows as it is."""

    text: str

    def __repr__(self) -> str:
        return self.text


class Stopped(Exception):
    """The reader pressed *Stop*."""


class Workbench:
    """`panel` is the widget to show. It trains in a thread of its own, `worker`.

    A callback that trained would keep the kernel from hearing *Stop*, wherever callbacks run: in
    the main thread, or in a subshell beside it. What was trained before a stop is not lost.
    """

    def __init__(self, lab: Lab, language: str):
        self.lab, self.language = lab, language
        self._texts = texts.TEXTS[language] | (CASE[language] if isinstance(lab, Case) else {})
        self.name = f"minitrain-{uuid4().hex[:8]}"
        self.worker: threading.Thread | None = None
        self._busy = False
        self._stop = threading.Event()
        self._pace = Pace()

        # Not the whole config: its values would give some faults away.
        self.changes = widgets.Textarea(
            placeholder="optimizer.learning_rate=0.003\nschedule.warmup_steps=50",
            tooltip=self._text("changes"),
            layout=widgets.Layout(width="auto", height="5em"),
        )
        self.answer = widgets.Text(
            placeholder=self._text("placeholder"), tooltip=self._text("answer")
        )
        self.train = widgets.Button(description=self._text("train"), button_style="primary")
        self.check = widgets.Button(description=self._text("check"), button_style="primary")
        self.stop = widgets.Button(description=self._text("stop"), disabled=True)
        self.bar = widgets.IntProgress(layout=widgets.Layout(visibility="hidden"))
        self.progress = widgets.HTML()  # changes all the time: not for a screen reader
        self.status = widgets.HTML()
        # Without a picture in it, a browser would show the sign of a broken one.
        self.picture = widgets.Image(
            format="png", layout=widgets.Layout(max_width="100%", display="none")
        )
        self.curve = widgets.Dropdown(
            options=curves.NAMES,
            value="val_loss",
            description=self._text("third"),
            style={"description_width": "initial"},
            layout=widgets.Layout(width="max-content", display="none"),
        )
        self._drawn: dict[str, Sequence[plots.Recorded]] = {}
        self.bench = Bench(lab, language, lambda action: self._begin(action, "stopped_check"))

        self.train.on_click(lambda _: self._begin(self._train, "stopped"))
        self.check.on_click(lambda _: self._begin(self._check, "stopped_check"))
        self.answer.on_msg(self._on_answer)
        self.stop.on_click(lambda _: self._on_stop())
        self.curve.observe(lambda _: self._on_curve(), "value")
        self.panel = widgets.VBox(
            [
                widgets.HTML(_STYLE.replace("ID", self.name)),
                self.bench.panel,
                widgets.Label(self._text("changes")),
                self.changes,
                self.train,
                widgets.Label(self._text("answer")),
                widgets.HBox([self.answer, self.check]),
                self.bench.score,
                widgets.HBox([self.stop, self.bar, self.progress]),
                self.status,
                self.curve,
                self.picture,
            ]
        )
        self.panel.add_class("minitrain-panel")
        self.panel.add_class(self.name)

    def _text(self, sentence: str, /, **values: Any) -> str:
        return self._texts[sentence].format(**values)

    def _on_answer(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("event") == "submit":  # the Enter key
            self._begin(self._check, "stopped_check")

    def _on_stop(self) -> None:
        self.stop.disabled = True
        self.progress.value = self._text("stopping")
        self._stop.set()

    def _on_curve(self) -> None:
        self.bench.use("curves")
        # While something trains, its thread draws; pyplot is for one thread at a time.
        if self._drawn and not self._busy:
            self._draw(self._drawn)

    def _begin(self, action: Callable[[], None], stopped: str) -> None:
        """Start `action` beside the kernel's own threads, unless one is under way."""
        if self._busy:
            return
        self._busy = True
        self._stop.clear()
        self._pace = Pace()
        self.train.disabled = self.check.disabled = True
        self.stop.disabled = False
        self._say("")
        self.progress.value = self._text("preparing")
        # In a copy of the context: the kernel finds there which message its own answers belong to.
        work = (copy_context().run, self._guard, action, stopped)
        self.worker = threading.Thread(target=work[0], args=work[1:], daemon=True)
        self.worker.start()

    def _guard(self, action: Callable[[], None], stopped: str) -> None:
        """Run `action`; what a reader typed wrongly becomes one line, never a traceback."""
        try:
            action()
        except UserError as error:
            self._say(error.text(self.language), "bad")
        except (MemoryError, RuntimeError) as error:
            # PyTorch says that there is no memory in a RuntimeError.
            if not isinstance(error, MemoryError) and "allocate" not in str(error):
                raise
            self._say(say("out_of_memory").text(self.language), "bad")
        except Stopped:
            self._say(self._text(stopped))
        finally:
            self.bar.layout.visibility = "hidden"
            self.progress.value = ""
            self.stop.disabled = True
            self._busy = self.train.disabled = self.check.disabled = False

    def _train(self) -> None:
        config = self._edited()
        # The curves of an earlier run would look like new.
        self.curve.layout.display = self.picture.layout.display = "none"
        variants = (self.lab.control, self.lab.broken)
        others = self.lab.runs(*variants, watch=self._on_standing)
        self._pace = Pace()
        self.bench.use("edits")
        self._say(self._text("training"))
        drawn = time.monotonic()

        def on_step(training: Training) -> None:
            nonlocal drawn
            self._on_step(training)
            if len(training.records) > 1 and time.monotonic() > drawn + SECONDS_BETWEEN_PICTURES:
                self._draw({**others, self._text("yours"): (training,)})
                drawn = time.monotonic()

        run = Store().get(self.lab.recipe(config), on_step)
        self._draw({**others, self._text("yours"): (run,)})
        found = outcome(run, *(others[variant] for variant in variants))
        result = self._text(
            "result",
            fingerprint=short(run.fingerprint),
            train_loss=f"{run.last.train_loss:.4g}",
            val_loss=f"{run.last.val_loss:.4g}",
        )
        what = self._text(f"is_{found}", first=f"{run.records[0].train_loss:.4g}")
        stored = self._text("stored", address=run.path.name)
        self._say(f"{result} {what} {stored}", "good" if found == "healthy" else "")

    def _edited(self) -> Config:
        """The broken config with the reader's changes."""
        lines = [line for line in self.changes.value.splitlines() if line.strip()]
        changes: dict[str, Any] = {}
        source = self._text("your_changes")
        for line in lines:
            short_key, value = assignment(line, source)
            key = full_key(short_key)
            if key in changes:
                raise UserError(say("field", source=source, field=key, reason=say("twice")))
            check_leaf(key, value, source)
            changes[key] = value
        return patched(self.lab.config(self.lab.broken), changes, source)

    def _check(self) -> None:
        answer = self.answer.value
        self._say(self._text("checking"))
        verdict: Check = self.lab.check(answer, self._on_step)
        self._say(repr(verdict), "good" if verdict.found else "bad")
        self.bench.answered(verdict.found)

    def _on_step(self, training: Training) -> None:
        self._heed_stop()
        done, of = training.step, training.config.steps
        if not self._pace.due(done, of):
            return
        left = self._pace.seconds_left(done, of)
        self._show_progress(
            done,
            of,
            self._text("step", step=done, steps=of)
            if left is None
            else self._text(
                "step_left", step=done, steps=of, left=duration(left).text(self.language)
            ),
        )

    def _on_standing(self, standing: Standing) -> None:
        self._heed_stop()
        if self._pace.due(standing.finished, standing.total):
            self._say(self._text("missing"))
            text = standing.message.text(self.language)
            self._show_progress(standing.finished, standing.total, text)

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _show_progress(self, done: int, of: int, text: str) -> None:
        self.bar.max, self.bar.value = of, done
        self.bar.layout.visibility = "visible"
        self.progress.value = escape(text)

    def _draw(self, runs: Mapping[str, Sequence[plots.Recorded]]) -> None:
        chosen = self.curve.value

        def quantity(record: Record) -> float:
            value = curves.values(record).get(chosen)
            return math.nan if value is None else value

        with plots.figure(3) as (fig, axes):
            plots.curves(axes[0], runs, plots.gap, "val_loss − train_loss")
            plots.curves(axes[1], runs, plots.embedding_norm, "‖token_embedding‖")
            plots.curves(axes[2], runs, quantity, chosen)
            axes[0].legend(frameon=False)
            if chosen in LOSSES:  # all begin far above where they end
                axes[2].set_yscale("log")
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=160)
        self.picture.value = buffer.getvalue()
        self.picture.alt = self._text("alt", curve=chosen)
        self._drawn = dict(runs)
        self.curve.layout.display = self.picture.layout.display = None

    def _say(self, message: str, mood: Mood = "") -> None:
        kind = f"minitrain-status minitrain-{mood}" if mood else "minitrain-status"
        self.status.value = f"<div role='status' class='{kind}'>{escape(message)}</div>"


class Pace:
    """When to show how far a training is, and how long the rest of it takes."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._total = 0
        self._shown = -math.inf

    def due(self, done: int, of: int) -> bool:
        """Whether it is time for a sign of life; always at the end."""
        now = time.monotonic()
        if self._first is None or of != self._total or done < self._first[1]:
            self._first, self._total, self._shown = (now, done), of, -math.inf
        if done < of and now < self._shown + SECONDS_BETWEEN_SIGNS:
            return False
        self._shown = now
        return True

    def seconds_left(self, done: int, of: int) -> float | None:
        """At the speed so far; None while there is next to nothing to reckon it from."""
        assert self._first is not None, "ask `due` first"
        seconds, steps = time.monotonic() - self._first[0], done - self._first[1]
        return seconds * (of - done) / steps if steps and seconds > 1 else None

"""The panel of a lab in JupyterLab: change the broken run, train it, compare its curves."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from minitrain.common.errors import UserError
from minitrain.common.messages import say, session_language
from minitrain.labs.lab import Lab
from minitrain.pages import plots
from minitrain.runs.store import Run, Store
from minitrain.training.config import Config, assignment, check_leaf, flat, full_key, patched
from minitrain.training.grid import short
from minitrain.training.loop import Training

_TEXT = {
    "en": {
        "changes": "Your changes to the broken run, one key=value a line",
        "run": "Train",
        "answer": "Your answer, key=value",
        "check": "Check",
        "stopped": "Stopped. Train again to go on from the last checkpoint.",
        "yours": "yours",
        "placeholder": "key=value",
        "alt": "Gap, embedding norm and validation loss: healthy, broken and your run",
    },
    "es": {
        "changes": "Tus cambios en la ejecución rota, una clave=valor por línea",
        "run": "Entrenar",
        "answer": "Tu respuesta, clave=valor",
        "check": "Comprobar",
        "stopped": "Detenida. Entrena de nuevo para seguir desde el último punto guardado.",
        "yours": "la tuya",
        "placeholder": "clave=valor",
        "alt": "Brecha, norma del embedding y pérdida de validación: la sana, la rota y la tuya",
    },
}


def workbench(lab: Lab) -> object:
    """What a lab's "your turn" cell shows: the panel in JupyterLab, the suspects in a book.

    The suspects are the keys of all leaves of the config; a value could give the fault away.
    """
    language = session_language()
    if language is None:
        return Listing("\n".join(flat(lab.config(lab.broken))))
    return Workbench(lab, language).panel


@dataclass(frozen=True)
class Listing:
    """Text that a notebook shows as it is."""

    text: str

    def __repr__(self) -> str:
        return self.text


class Workbench:
    """`panel` is the widget to show. Training runs in the kernel; interrupting it loses nothing."""

    def __init__(self, lab: Lab, language: str):
        self.lab = lab
        self.language, self.text = language, _TEXT[language]
        # Not the whole config: its values would give some faults away.
        self.changes = widgets.Textarea(
            placeholder="optimizer.learning_rate=0.003\nschedule.warmup_steps=50",
            layout=widgets.Layout(width="auto", height="6em"),
        )
        self.changes.add_class("minitrain-changes")
        self.train = widgets.Button(description=self.text["run"], button_style="primary")
        self.bar = widgets.IntProgress(layout=widgets.Layout(visibility="hidden"))
        self.answer = widgets.Text(placeholder=self.text["placeholder"], description="")
        self.check = widgets.Button(description=self.text["check"])
        self.status = widgets.HTML()
        # Without a picture in it, a browser would show the sign of a broken one.
        self.picture = widgets.Image(
            format="png", layout=widgets.Layout(max_width="100%", display="none")
        )
        self.picture.alt = self.text["alt"]
        self.train.on_click(lambda _: self._guard(self._train))
        self.check.on_click(lambda _: self._guard(self._check))
        self.answer.continuous_update = False  # the value arrives with Enter, or on leaving
        self.panel = widgets.VBox(
            [
                widgets.HTML("<style>.minitrain-changes textarea {font-family: monospace}</style>"),
                widgets.Label(self.text["changes"]),
                self.changes,
                widgets.HBox([self.train, self.bar]),
                self.picture,
                widgets.HBox([widgets.Label(self.text["answer"]), self.answer, self.check]),
                self.status,
            ]
        )

    def _guard(self, action: Callable[[], None]) -> None:
        """Run `action`; what a reader typed wrongly becomes one line, never a traceback."""
        self.train.disabled = self.check.disabled = True
        self._say("")
        try:
            action()
        except UserError as error:
            self._say(error.text(self.language))
        except (MemoryError, RuntimeError) as error:
            # PyTorch says that there is no memory in a RuntimeError.
            if not isinstance(error, MemoryError) and "allocate" not in str(error):
                raise
            self._say(say("out_of_memory").text(self.language))
        except KeyboardInterrupt:
            self._say(self.text["stopped"])
        finally:
            self.bar.layout.visibility = "hidden"
            self.train.disabled = self.check.disabled = False

    def _train(self) -> None:
        run = Store().get(self._edited(), self._progress)
        others = self.lab.runs(self.lab.control, self.lab.broken)
        self._draw({**others, self.text["yours"]: [run]})
        self._say(
            f"{short(run.fingerprint)}  train_loss {run.last.train_loss:.4f}"
            f"  val_loss {run.last.val_loss:.4f}"
        )

    def _edited(self) -> Config:
        """The broken config with the reader's changes."""
        lines = [line for line in self.changes.value.splitlines() if line.strip()]
        changes: dict[str, Any] = {}
        for line in lines:
            short_key, value = assignment(line, self.text["yours"])
            key = full_key(short_key)
            if key in changes:
                raise UserError(say("at", source=key, reason=say("twice")))
            check_leaf(key, value, key)
            changes[key] = value
        return patched(self.lab.config(self.lab.broken), changes, self.text["yours"])

    def _check(self) -> None:
        self._say(repr(self.lab.check(self.answer.value, self._progress)))

    def _progress(self, training: Training) -> None:
        self.bar.max = training.config.steps
        self.bar.value = training.step
        self.bar.layout.visibility = "visible"

    def _draw(self, runs: dict[str, list[Run]]) -> None:
        with plots.figure(3) as (fig, axes):
            plots.curves(axes[0], runs, plots.gap, "val_loss − train_loss")
            plots.curves(axes[1], runs, plots.embedding_norm, "‖token_embedding‖")
            plots.curves(axes[2], runs, plots.val_loss, "val_loss")
            axes[0].legend(frameon=False)
            # All begin far above where they end, and the end is what tells them apart.
            ends = [run.last.val_loss for seeds in runs.values() for run in seeds]
            finite = [loss for loss in ends if math.isfinite(loss)]
            if finite:
                axes[2].set_ylim(0.8 * min(finite), 1.5 * max(finite))
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=160)
        self.picture.value = buffer.getvalue()
        self.picture.layout.display = None

    def _say(self, message: str) -> None:
        escaped = message.replace("&", "&amp;").replace("<", "&lt;")
        self.status.value = f"<pre role='status' style='white-space: pre-wrap'>{escaped}</pre>"

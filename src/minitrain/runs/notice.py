"""How far a sweep is, and a line that says so in a reader's notebook.

A terminal has a bar (see `sweep`); a cell of a notebook showed nothing at all for minutes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minitrain.common.messages import Message, say, session_language


@dataclass(frozen=True)
class Standing:
    """How far a sweep is; `seconds_left` is None until there is something to reckon it from."""

    finished: int
    total: int
    seconds_left: float | None

    @property
    def message(self) -> Message:
        """It in words."""
        values = {"finished": self.finished, "total": self.total}
        if self.finished == self.total:
            return say("runs_done", **values)
        if self.seconds_left is None:
            return say("runs", **values)
        return say("runs_left", **values, left=duration(self.seconds_left))


Watch = Callable[[Standing], None]

Heard = Callable[[int, int], None]
"""Called with the number of a run and the step that it has made, while others train it."""


def duration(seconds: float) -> Message:
    """About how long, in steps that do not flicker: 5 seconds below a minute and a half."""
    if seconds < 90:
        return say("about_seconds", seconds=max(1, round(seconds / 5)) * 5)
    return say("about_minutes", minutes=round(seconds / 60))


@contextmanager
def notebook_line() -> Iterator[Watch | None]:
    """A `Watch` that keeps one line of the running cell's output up to date, in its language.

    None where nobody is watching: in a build, under nbval, on the command line.
    """
    language = session_language()
    from IPython.core.getipython import get_ipython

    if language is None or get_ipython() is None:
        yield None
        return

    from IPython.display import DisplayHandle

    handle, said = DisplayHandle(), ""

    def show(standing: Standing) -> None:
        nonlocal said
        text = standing.message.text(language)
        if text != said:
            (handle.update if said else handle.display)({"text/plain": text}, raw=True)
            said = text

    yield show

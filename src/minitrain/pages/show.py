"""How a chapter shows code, tables and numbers."""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# What myst-nb looks for: a kind of output that starts like this is glued and not shown.
HIDDEN = "application/papermill.record/"


@dataclass(frozen=True)
class Markdown:
    """Text that is Markdown in a notebook and itself everywhere else."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def source(*objects: Callable[..., Any] | type) -> Markdown:
    """The source code of functions or classes, as it stands in the library."""
    texts = (textwrap.dedent(inspect.getsource(each)).rstrip() for each in objects)
    return Markdown("```python\n" + "\n\n\n".join(texts) + "\n```")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A table. Format numbers before: what is printed is what is checked."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def glue(name: str, value: Any, display: bool = True) -> None:
    """Keep a number, a text or a figure under a name for the page's prose, as `myst_nb.glue` does.

    A float keeps ten significant digits: two machines agree on those, not on all seventeen.
    Written out here, because importing `myst_nb.ext.glue` brings in all of Sphinx: a second in
    every notebook.
    """
    from IPython.core.formatters import format_display_data
    from IPython.display import display as publish

    value = float(f"{value:.10g}") if isinstance(value, float) else value
    data, metadata = format_display_data(value)
    prefix = "" if display else HIDDEN
    publish(
        {prefix + kind: text for kind, text in data.items()},
        raw=True,
        metadata={**metadata, "scrapbook": {"name": name, "mime_prefix": prefix}},
    )

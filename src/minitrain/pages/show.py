"""How a chapter shows code, tables and numbers."""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# What myst-nb looks for: a kind of output that starts like this is glued and not shown.
HIDDEN = "application/papermill.record/"
NARROW_SPACE = "\u202f"


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


def count(number: float) -> str:
    """A whole number as both languages write it: four digits together, more in groups of three.

    >>> count(1200), count(103680)
    ('1200', '103\u202f680')
    """
    return spaced(f"{number:,.0f}")


def spaced(text: str) -> str:
    """A number whose groups of three are parted by commas, with narrow spaces in their place.

    A comma is a decimal sign to half of the readers, a point to the other half.
    """
    head, *groups = text.split(",")
    if len(groups) == 1 and len(head.lstrip("+-−")) == 1:
        return head + groups[0]
    return NARROW_SPACE.join([head, *groups])


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

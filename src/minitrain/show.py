"""How a chapter shows code and tables: objects that a notebook renders as Markdown."""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


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

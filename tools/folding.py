"""In JupyterLab, a lab's diagnosis stays folded: every section after the hints, behind its heading.

JupyterLab folds what follows a heading's cell, up to the next heading of its rank. So such a
heading gets a cell of its own, with the mark that JupyterLab itself would leave. What is folded is
not rendered, so a reference to it from above would lead nowhere: its words stay, without the link.
"""

from __future__ import annotations

import re
from copy import deepcopy

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

FOLDED_HEADING = {"jp-MarkdownHeadingCollapsed": True}
LAST_HINT = "hint-direct"
SECTION = re.compile(r"^## ")
LABEL = re.compile(r"^\(([\w-]+)\)= *$", re.M)
FENCE = re.compile(r"^ *```")
REFERENCE = re.compile(r"\{ref\}`([^`<]+?) *<([^`>]+)>`")


def fold_diagnosis(cells: list[NotebookNode]) -> list[NotebookNode]:
    """`cells`, with what comes after the hints behind folded headings."""
    above: list[NotebookNode] = []
    below: list[NotebookNode] = []
    past_the_hints = False
    for cell in cells:
        if cell["cell_type"] != "markdown":
            (below if below else above).append(cell)
            continue
        together = ""
        for section in sections(cell["source"]):
            if past_the_hints and SECTION.match(without_label(section)):
                (below if below else above).extend(_markdown(together))
                heading, together = heading_and_text(section)
                below.append(new_markdown_cell(heading, metadata=deepcopy(FOLDED_HEADING)))
            else:
                together += section
            past_the_hints = past_the_hints or LAST_HINT in section
        (below if below else above).extend(_markdown(together))
    _unlink(above, {label for cell in below for label in LABEL.findall(cell["source"])})
    return above + below


def _unlink(cells: list[NotebookNode], labels: set[str]) -> None:
    """Leave the words of references to `labels`."""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = REFERENCE.sub(
                lambda match: match[1] if match[2] in labels else match[0], cell["source"]
            )


def _markdown(text: str) -> list[NotebookNode]:
    return [new_markdown_cell(text.strip("\n"))] if text.strip() else []


def sections(source: str) -> list[str]:
    """A cell's text in pieces, each but the first beginning with a heading of the second rank."""
    pieces = [""]
    label, in_code = "", False
    for line in source.splitlines(keepends=True):
        in_code ^= bool(FENCE.match(line))
        if not in_code and LABEL.match(line.rstrip()):
            pieces[-1] += label
            label = line
            continue
        if not in_code and SECTION.match(line):
            pieces.append("")
        pieces[-1] += label + line
        label = ""
    pieces[-1] += label
    return [piece for piece in pieces if piece]


def without_label(section: str) -> str:
    """A section without the label that stands above its heading."""
    first, _, rest = section.partition("\n")
    return rest if LABEL.match(first) else section


def heading_and_text(section: str) -> tuple[str, str]:
    """A section's heading, with its label, and what follows."""
    body = without_label(section)
    label = section[: len(section) - len(body)]
    heading, _, text = body.partition("\n")
    return label + heading, text

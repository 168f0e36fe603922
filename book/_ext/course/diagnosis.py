"""On a lab's page, everything after the hints is folded until the reader wants it.

It is one ``<details>``: it opens without a script, and a link into it opens it (`course.js`).
"""

from __future__ import annotations

from html import escape

from docutils import nodes
from sphinx.application import Sphinx

from .languages import DEFAULT_LANGUAGE, language_of
from .strings import STRINGS

LAST_HINT = "hint-direct"  # the class of the hint after which the diagnosis begins
CLASS = "course-diagnosis"


def on_doctree_read(app: Sphinx, doctree: nodes.document) -> None:
    """Wrap the sections after the one with the last hint."""
    docname = app.env.docname
    if not docname.startswith("labs/"):
        return
    hints = next((node for node in doctree.findall(nodes.Element) if _is_last_hint(node)), None)
    if hints is None:
        return
    while hints.parent.parent is not doctree:
        hints = hints.parent
    page = hints.parent
    begin = page.index(hints) + 1
    title = STRINGS[language_of(docname) or DEFAULT_LANGUAGE].diagnosis
    opening = f'<details class="{CLASS}"><summary>{escape(title)}</summary>'
    page.insert(begin, nodes.raw("", opening, format="html"))
    page += nodes.raw("", "</details>", format="html")


def _is_last_hint(node: nodes.Element) -> bool:
    return LAST_HINT in " ".join([*node.get("classes", ()), *node.get("container_classes", ())])


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("doctree-read", on_doctree_read)

"""The glossary's entries::

    :::{define} weight-decay
    :term: weight decay
    What it is.
    :::

The entries of a page become one list in the alphabetical order of its language. The name is the
entry's anchor, the same in every language: chapters link to ``../glossary.md#weight-decay``.
"""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

CLASS = "course-glossary"


class Define(SphinxDirective):
    """One entry: a list of its own until the page has been read."""

    required_arguments = 1
    option_spec: ClassVar = {"term": directives.unchanged_required}
    has_content = True

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        parsed, messages = self.state.inline_text(self.options["term"], self.lineno)
        term = nodes.term("", "", *parsed)
        term["ids"] = [name]
        definition = nodes.definition()
        self.state.nested_parse(self.content, self.content_offset, definition)
        item = nodes.definition_list_item("", term, definition)
        return [nodes.definition_list("", item, classes=[CLASS]), *messages]


def sort_key(text: str) -> str:
    """Where a word stands in a dictionary: accents and capitals do not count.

    >>> sorted(["época", "escala", "Entropía"], key=sort_key)
    ['Entropía', 'época', 'escala']
    """
    plain = unicodedata.normalize("NFD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum() or letter.isspace())


class Order(SphinxTransform):
    """Puts the entries in order and makes their names known to links."""

    default_priority = 878
    """Before MyST resolves links within the page."""

    def apply(self, **_kwargs: Any) -> None:
        found = self.document.findall(nodes.definition_list)
        lists = [entries for entries in found if CLASS in entries["classes"]]
        if not lists:
            return
        items = sorted((one[0] for one in lists), key=lambda item: sort_key(item[0].astext()))
        first, *others = lists
        for other in others:
            other.parent.remove(other)
        first.children = []
        first.extend(items)
        # The tables in which MyST looks up anchors, for links on the page and from other pages.
        here = self.document.myst_slugs = getattr(self.document, "myst_slugs", {})
        elsewhere = self.env.metadata[self.env.docname].setdefault("myst_slugs", {})
        for item in items:
            (name,) = item[0]["ids"]
            if name in here:
                raise ExtensionError(f"{self.env.docname}: {name!r} is defined twice")
            here[name] = elsewhere[name] = (0, name, item[0].astext())


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_directive("define", Define)
    app.add_transform(Order)

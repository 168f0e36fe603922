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
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
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
        term["names"] = [name]
        # Links on the page itself find it by this; a second entry of this name is complained of.
        self.state.document.note_explicit_target(term, term)
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


def on_doctree_read(app: Sphinx, doctree: nodes.document) -> None:
    """Put the entries in order and make their names known to links from other pages."""
    lists = [found for found in doctree.findall(nodes.definition_list) if CLASS in found["classes"]]
    if not lists:
        return
    items = sorted((entry[0] for entry in lists), key=lambda item: sort_key(item[0].astext()))
    first, *others = lists
    for other in others:
        other.parent.remove(other)
    first.children = []
    first.extend(items)
    # The table that MyST looks in for the anchor of a link to another page; it knows headings.
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for item in items:
        (name,) = item[0]["ids"]
        slugs[name] = (0, name, item[0].astext())


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_directive("define", Define)
    app.connect("doctree-read", on_doctree_read)

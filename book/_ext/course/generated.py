"""Parts of a page that are made from other pages: the claims ledger, the concept map, ...

A directive leaves a placeholder (``Generated``) in its page. When the page is written, a
post-transform puts in its place what the directive's ``Part`` makes. Such a page has to be written
again when *other* pages change: each part says in a short ``state`` what it depends on, and after
reading, pages whose state is not the one of the last build are written too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from .languages import language_of
from .strings import STRINGS, Strings


@dataclass(frozen=True)
class Place:
    """Where a generated part stands, and what its directive was given."""

    env: BuildEnvironment
    docname: str
    argument: str
    doctrees: dict[str, nodes.document] = field(default_factory=dict)
    """Other pages, once they have been loaded: shared by all parts of a page."""

    def doctree(self, docname: str) -> nodes.document:
        """Another page as it was read."""
        if docname not in self.doctrees:
            self.doctrees[docname] = self.env.get_doctree(docname)
        return self.doctrees[docname]

    @property
    def language(self) -> str:
        language = language_of(self.docname)
        if language is None:
            raise ValueError(f"{self.docname}: this page belongs to no language")
        return language

    @property
    def words(self) -> Strings:
        return STRINGS[self.language]


@dataclass(frozen=True)
class Part:
    """What one directive generates."""

    make: Callable[[Place], list[nodes.Node]]
    state: Callable[[Place], Any]
    """All that ``make`` depends on; its ``repr`` is compared with that of the last build."""


PARTS: dict[str, Part] = {}


class Generated(nodes.General, nodes.Element):  # type: ignore[misc]
    """Stands in a page's doctree for what is generated when the page is written."""


class GeneratedDirective(SphinxDirective):
    """Leaves a placeholder; its name says which part."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        argument = self.arguments[0] if self.arguments else ""
        recorded(self.env).setdefault(self.env.docname, []).append((self.name, argument))
        return [Generated(name=self.name, argument=argument)]


def recorded(env: BuildEnvironment) -> dict[str, list[tuple[str, str]]]:
    """The directives of each page."""
    return stored(env, "course_generated")


def stored(env: BuildEnvironment, name: str) -> dict[str, Any]:
    """A table, by page, that is kept with the environment."""
    if not hasattr(env, name):
        setattr(env, name, {})
    table: dict[str, Any] = getattr(env, name)
    return table


def pages_in_order(env: BuildEnvironment, language: str) -> list[str]:
    """The pages of one language in the order of the table of contents."""
    found: list[str] = []

    def visit(docname: str) -> None:
        if docname not in found and docname in env.found_docs:
            found.append(docname)
            for child in env.toctree_includes.get(docname, []):
                visit(child)

    visit(env.config.root_doc)
    return [docname for docname in found if language_of(docname) == language]


def link(docname: str, text: str, anchor: str = "") -> nodes.reference:
    """A link to a page; its address is filled in when the page that it stands on is known."""
    return nodes.reference(text, text, internal=True, course_target=docname, course_anchor=anchor)


def fill_in_addresses(app: Sphinx, docname: str, tree: nodes.Element) -> None:
    """Give the links made by ``link`` their addresses."""
    for reference in tree.findall(nodes.reference):
        if "course_target" in reference:
            address = app.builder.get_relative_uri(docname, reference["course_target"])
            anchor = reference["course_anchor"]
            reference["refuri"] = f"{address}#{anchor}" if anchor else address
            del reference["course_target"], reference["course_anchor"]


def expand(app: Sphinx, docname: str, document: nodes.document) -> None:
    """Replace the placeholders in a page's doctree."""
    doctrees: dict[str, nodes.document] = {}
    for placeholder in list(document.findall(Generated)):
        place = Place(app.env, docname, placeholder["argument"], doctrees)
        made = PARTS[placeholder["name"]].make(place)
        for node in made:
            if isinstance(node, nodes.Element):
                fill_in_addresses(app, docname, node)
        placeholder.replace_self(made)


class ExpandGenerated(SphinxPostTransform):
    """Runs before references are resolved: what is generated may hold some."""

    default_priority = 3

    def run(self, **_kwargs: Any) -> None:
        if next(self.document.findall(Generated), None) is None:
            return
        expand(self.app, self.env.docname, self.document)
        # Sphinx loads MathJax only into pages that had mathematics when they were read.
        if next(self.document.findall(nodes.math), None) is not None:
            self.env.get_domain("math").data["has_equations"][self.env.docname] = True


def on_updated(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Pages to write again because what they are generated from has changed."""
    digests = stored(env, "course_digests")
    stale = []
    for docname, parts in recorded(env).items():
        states = [PARTS[name].state(Place(env, docname, argument)) for name, argument in parts]
        digest = hashlib.sha256(repr(states).encode()).hexdigest()
        if digests.get(docname) != digest:
            digests[docname] = digest
            stale.append(docname)
    return stale


def on_purge(_app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is removed or read again."""
    recorded(env).pop(docname, None)


def register(app: Sphinx, name: str, part: Part) -> None:
    """Add a directive that generates a part of its page."""
    PARTS[name] = part
    app.add_directive(name, GeneratedDirective)


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_node(Generated)
    app.add_post_transform(ExpandGenerated)
    app.connect("env-purge-doc", on_purge)
    # After Sphinx's own handlers, which collect titles and tables of contents.
    app.connect("env-updated", on_updated, priority=900)

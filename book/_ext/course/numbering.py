"""Numbers figures, tables, equations and exercises from 1 on every page.

Sphinx counts them through the whole site, that is through both languages. Counting per page keeps
the twins' numbers equal, and a new chapter does not renumber the chapters after it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from docutils import nodes
from sphinx.addnodes import number_reference
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

from .languages import DEFAULT_LANGUAGE, language_of
from .strings import STRINGS


def renumber(numbers: dict[str, dict[str, tuple[int, ...]]]) -> None:
    """Replace the numbers of one page, kept per kind in document order, by 1, 2, 3, ..."""
    for per_kind in numbers.values():
        for position, anchor in enumerate(per_kind, start=1):
            per_kind[anchor] = (position,)


def restore(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give Sphinx back the numbers that it assigned in the last build.

    It writes every page whose numbers are not those of the last build: with ours, all of them.
    """
    env.toc_fignumbers = deepcopy(getattr(env, "course_site_numbers", {}))
    return []


def on_get_updated(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Renumber all pages; no page needs writing that Sphinx would not write."""
    env.course_site_numbers = deepcopy(env.toc_fignumbers)  # type: ignore[attr-defined]
    for numbers in env.toc_fignumbers.values():
        renumber(numbers)
    return []


class NamesInsideSentences(SphinxPostTransform):
    """Writes "la figura 1" inside a sentence where the language wants it so.

    A caption and a reference have one format in Sphinx; a caption begins with a capital.
    """

    default_priority = 15  # after Sphinx's ReferencesResolver

    def run(self, **_kwargs: Any) -> None:
        if not STRINGS[language_of(self.env.docname) or DEFAULT_LANGUAGE].lowercase_references:
            return
        for reference in self.document.findall(number_reference):
            before = "".join(
                each.astext()
                for each in reference.parent.children[: reference.parent.index(reference)]
            ).rstrip()
            text = next(reference.findall(nodes.Text), None)
            if text and before and before[-1] not in ".?!¿¡":
                name = text.astext()
                text.parent.replace(text, nodes.Text(name[:1].lower() + name[1:]))


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    # Around Sphinx's own TocTreeCollector (priority 500), which assigns its numbers.
    app.connect("env-get-updated", restore, priority=100)
    app.connect("env-get-updated", on_get_updated, priority=900)
    app.add_post_transform(NamesInsideSentences)

"""Keeps the reader inside one language: sidebar, previous and next, and the language switch."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx

from .languages import DEFAULT_LANGUAGE, LANGUAGES, SEARCH_PAGES, language_of, twin_of
from .strings import STRINGS

SUFFIX = ".html"


def target_of(href: str, pagename: str) -> str:
    """The docname that a relative link on ``pagename`` leads to.

    >>> target_of("../labs/en/18-x.html#why", "en/how-to-use")
    'labs/en/18-x'
    """
    path = href.split("#")[0]
    if not path:
        return pagename
    joined = posixpath.join(posixpath.dirname(pagename), path)
    return posixpath.normpath(joined).removesuffix(SUFFIX)


def only_language(toctree: str, pagename: str) -> str:
    """The sidebar's HTML without the parts whose pages are in the other language."""
    soup = BeautifulSoup(toctree, "html.parser")
    for block in soup.find_all("ul", recursive=False):
        target = target_of(str(block.select("a")[0]["href"]), pagename)
        if language_of(target) != language_of(pagename):
            caption = block.find_previous_sibling()
            if caption is not None and caption.name == "p":
                caption.decompose()
            block.decompose()
    return str(soup)


def switch_entries(
    app: Sphinx, pagename: str, pathto: Callable[[str], str]
) -> list[dict[str, Any]]:
    """One entry per language for the switch in the page's header."""
    entries = []
    for language in LANGUAGES:
        twin = twin_of(pagename, language)
        if twin and (twin in app.env.found_docs or twin in SEARCH_PAGES.values()):
            entries.append(
                {
                    "language": language,
                    "name": STRINGS[language].name,
                    "href": pathto(twin),
                    "current": language == language_of(pagename),
                }
            )
    return entries


def add_switch(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _tree: nodes.document
) -> None:
    """Give the language switch its entries."""
    language = language_of(pagename) or DEFAULT_LANGUAGE
    context["language_switch"] = switch_entries(app, pagename, context["pathto"])
    context["language_switch_label"] = STRINGS[language].switch_label


def stay_in_language(
    _app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _tree: nodes.document
) -> None:
    """Drop what would lead into the other language."""
    language = language_of(pagename)
    for key in ("prev", "next"):
        link = context.get(key)
        if link and language_of(target_of(link["link"], pagename)) != language:
            context[key] = None

    if language is not None:
        generate = context["generate_toctree_html"]
        context["generate_toctree_html"] = lambda *args, **kwargs: only_language(
            str(generate(*args, **kwargs)), pagename
        )


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    # Before the theme tries its templates and drops those that come out empty.
    app.connect("html-page-context", add_switch, priority=400)
    # After the theme has put its toctree functions into the context.
    app.connect("html-page-context", stay_in_language, priority=900)

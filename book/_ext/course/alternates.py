"""The head of each page: its title, its description and where its twin lies."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from .languages import DEFAULT_LANGUAGE, DOOR, LANGUAGES, language_of, twin_of
from .strings import STRINGS


def alternates_of(docname: str, existing: set[str]) -> dict[str, str]:
    """Maps each hreflang to a page: both languages, and the door as ``x-default``."""
    twins = {language: twin_of(docname, language) for language in LANGUAGES}
    found = {language: page for language, page in twins.items() if page in existing}
    return {**found, "x-default": DOOR} if found else {}


def description_of(app: Sphinx, docname: str, doctree: nodes.document | None) -> str:
    """The front matter's ``description``, or else the page's first paragraph of prose."""
    written = app.env.metadata.get(docname, {}).get("description")
    if written or doctree is None:
        return written or ""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            return " ".join(paragraph.astext().split())[:200]
    return ""


def on_page_context(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Put title, description and alternates into the page's head."""
    language = language_of(pagename) or DEFAULT_LANGUAGE
    context["docstitle"] = context["shorttitle"] = STRINGS[language].site_title
    context["theme_search_bar_text"] = STRINGS[language].search_prompt

    tags = []
    if description := description_of(app, pagename, doctree):
        tags.append(f'<meta name="description" content="{escape(description)}">')
    existing = set(app.env.found_docs)
    for hreflang, page in alternates_of(pagename, existing).items():
        url = _url(app, context, page)
        tags.append(f'<link rel="alternate" hreflang="{hreflang}" href="{escape(url)}">')
    context["metatags"] = context.get("metatags", "") + "\n".join(["", *tags])


def _url(app: Sphinx, context: dict[str, Any], page: str) -> str:
    """Absolute where the site's address is known (search engines want that), else relative."""
    base = app.config.html_baseurl
    if base:
        return base.rstrip("/") + "/" + app.builder.get_target_uri(page)
    # pathto() answers "#" for the page itself, which is no address of a page.
    if page == context["pagename"]:
        return page.rsplit("/", 1)[-1] + app.builder.get_target_uri("x").removeprefix("x")
    return context["pathto"](page)


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("html-page-context", on_page_context, priority=600)

"""Texts of buttons that libraries configure once per site, given per page."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from .languages import DEFAULT_LANGUAGE, language_of
from .strings import STRINGS

FOLDED_CELL_LABEL = ' aria-label="Toggle hidden content"'


def on_source_read(app: Sphinx, docname: str, _source: list[str]) -> None:
    """myst-nb's "Show code cell source" is a setting of the reader; it is not part of the cache."""
    words = STRINGS[language_of(docname) or DEFAULT_LANGUAGE]
    app.env.mystnb_config = app.env.mystnb_config.copy(  # type: ignore[attr-defined]
        code_prompt_show=words.code_prompt_show, code_prompt_hide=words.code_prompt_hide
    )


def on_page_context(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _tree: nodes.document
) -> None:
    """sphinx-togglebutton's texts are two global variables, set once in English.

    myst-nb's folded code cells carry an English label that hides their visible, translated one.
    """
    words = STRINGS[language_of(pagename) or DEFAULT_LANGUAGE]
    app.add_js_file(
        None,
        body=f"toggleHintShow = '{words.toggle_show}'; toggleHintHide = '{words.toggle_hide}';",
        priority=600,
    )
    if "body" in context:
        context["body"] = context["body"].replace(FOLDED_CELL_LABEL, "")


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("source-read", on_source_read)
    app.connect("html-page-context", on_page_context)

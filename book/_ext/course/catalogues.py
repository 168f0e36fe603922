"""Gives each page Sphinx's and the themes' own texts in that page's language.

Sphinx knows one language per build: it loads its catalogues once, into
``sphinx.locale.translators``. There is no public way to change them, so this module replaces the
entries of that table whenever work on a page of another language begins: when its source is read,
when its references are resolved, and when its HTML is made. This needs serial reading and
writing, which is what Jupyter Book does.
"""

from __future__ import annotations

import gettext
from functools import cache
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
import sphinx
import sphinx_book_theme
import sphinx_exercise
import sphinx_togglebutton
from docutils import nodes
from sphinx import locale
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from .languages import DEFAULT_LANGUAGE, language_of
from .strings import CORRECTIONS, STRINGS


def _folder(module: Any, *parts: str) -> Path:
    return Path(module.__file__).parent.joinpath(*parts)


CATALOGUES: dict[str, list[Path]] = {
    "sphinx": [_folder(sphinx, "locale"), _folder(pydata_sphinx_theme, "locale")],
    "booktheme": [sphinx_book_theme.get_html_theme_path() / "static" / "locales"],
    "exercise": [_folder(sphinx_exercise, "translations", "locales")],
    "togglebutton": [_folder(sphinx_togglebutton, "translations", "locales")],
}


class CorrectedTranslations(gettext.NullTranslations):
    """Our corrections first, then the libraries' catalogues, then the English text itself."""

    def __init__(self, corrections: dict[str, str]) -> None:
        super().__init__()
        self.corrections = corrections

    def gettext(self, message: str) -> str:
        return self.corrections.get(message) or super().gettext(message)


@cache
def translations(language: str, catalogue: str) -> gettext.NullTranslations:
    """The translations of one catalogue into one language."""
    found = CorrectedTranslations(CORRECTIONS[language])
    for folder in CATALOGUES[catalogue]:
        found.add_fallback(
            gettext.translation(catalogue, folder, languages=[language], fallback=True)
        )
    return found


def use_language(app: Sphinx, language: str) -> None:
    """Make everything Sphinx says from now on be said in ``language``."""
    for catalogue in CATALOGUES:
        locale.translators["general", catalogue] = translations(language, catalogue)


def use_captions(app: Sphinx, language: str) -> None:
    """Make figures, tables and exercises be called what they are called in ``language``.

    Sphinx fills this option once. It must not change while pages are read: it would be stored with
    them, differ from the option of the next build, and make that one read every page again.
    """
    app.config.numfig_format = {
        **app.config.numfig_format,
        "figure": f"{STRINGS[language].figure} %s",
        "table": locale._("Table %s"),
        "exercise": f"{translations(language, 'exercise').gettext('Exercise')} %s",
    }


def _page_language(docname: str) -> str:
    return language_of(docname) or DEFAULT_LANGUAGE


def on_source_read(app: Sphinx, docname: str, _source: list[str]) -> None:
    """Switch before a page is read."""
    use_language(app, _page_language(docname))


class UsePageLanguage(SphinxPostTransform):
    """Switches before any other post-transform works on the page."""

    default_priority = 1

    def run(self, **_kwargs: Any) -> None:
        language = _page_language(self.env.docname)
        use_language(self.app, language)
        use_captions(self.app, language)


def on_page_context(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _tree: nodes.document
) -> None:
    """Switch before a page's HTML is made, in templates too."""
    language = _page_language(pagename)
    use_language(app, language)
    environment = app.builder.templates.environment
    environment.install_gettext_translations(translations(language, "sphinx"))
    context["language"] = language


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("source-read", on_source_read, priority=1)
    app.add_post_transform(UsePageLanguage)
    # Before the themes' own handlers, which translate the header buttons.
    app.connect("html-page-context", on_page_context, priority=1)

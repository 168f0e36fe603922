"""A bibliography style that reads the same in every language.

Pages cite with ``{footcite:p}`` and list with ``{footbibliography}``: entries then belong to one
page, so twins can cite the same keys. pybtex's own styles write "and", "In" and "edited by"; this
one only puts commas and full stops between the fields.
"""

from __future__ import annotations

from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as UnsortedStyle
from pybtex.style.template import field, first_of, href, join, names, optional, sentence, tag
from sphinx.application import Sphinx

NAME = "course"


class LanguageNeutralStyle(UnsortedStyle):  # type: ignore[misc]
    """Authors, title, venue, year, link: for every type of entry."""

    def _entry(self, _entry: Any) -> Any:
        authors = sentence[names("author", sep=", ")]
        title = sentence[tag("em")[field("title", raw=True)]]
        venue = first_of[
            optional[field("journal")],
            optional[field("booktitle")],
            optional[field("publisher")],
            optional[field("howpublished")],
        ]
        where = sentence[venue, optional[field("volume")], optional[field("pages")], field("year")]
        eprint, doi, url = (field(name, raw=True) for name in ("eprint", "doi", "url"))
        link = first_of[
            optional[join["arXiv:", href(join["https://arxiv.org/abs/", eprint])[eprint]]],
            optional[join["doi:", href(join["https://doi.org/", doi])[doi]]],
            optional[href(url)[url]],
        ]
        return join(sep=" ")[authors, title, where, link]

    get_article_template = _entry
    get_inproceedings_template = _entry
    get_book_template = _entry
    get_techreport_template = _entry
    get_misc_template = _entry
    get_online_template = _entry


def setup(_app: Sphinx | None = None) -> None:
    """Make the style known to pybtex."""
    register_plugin("pybtex.style.formatting", NAME, LanguageNeutralStyle)

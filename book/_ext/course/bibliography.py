"""A bibliography style that reads the same in every language.

Pages cite with ``{footcite:p}`` and list with ``{footbibliography}``: entries then belong to one
page, so twins can cite the same keys. pybtex's own styles write "and", "In" and "edited by"; this
one only puts commas and full stops between the fields.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pybtex.database import BibliographyData, parse_file
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as UnsortedStyle
from pybtex.style.template import field, first_of, href, join, names, optional, sentence, tag
from sphinx.application import Sphinx

NAME = "course"
FILE = Path(__file__).resolve().parents[2] / "references.bib"


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


def references() -> BibliographyData:
    """The book's references."""
    return _parsed(FILE.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _parsed(_time: int) -> BibliographyData:
    return parse_file(str(FILE))


def reference(key: str) -> str:
    """One reference in a line of Markdown; ``KeyError`` if there is none of this name.

    "et al." is understood in both languages; "and" is not.
    """
    entry = references().entries[key]
    people = [
        " ".join([*person.prelast_names, *person.last_names]) for person in entry.persons["author"]
    ]
    authors = ", ".join(people) if len(people) < 4 else f"{people[0]} et al."
    return f"{authors} ({entry.fields['year']}): *{entry.fields['title']}*"


def setup(_app: Sphinx | None = None) -> None:
    """Make the style known to pybtex."""
    register_plugin("pybtex.style.formatting", NAME, LanguageNeutralStyle)

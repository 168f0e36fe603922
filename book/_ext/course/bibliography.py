"""A bibliography style that reads the same in every language, and the page of all references.

Pages cite with ``{footcite:p}`` and list with ``{footbibliography}``: entries then belong to one
page, so twins can cite the same keys. pybtex's own styles write "and", "In" and "edited by"; this
one only puts commas and full stops between the fields.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.database import BibliographyData, Person, parse_file
from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style as UnsortedStyle
from pybtex.style.labels.number import LabelStyle
from pybtex.style.names.plain import NameStyle
from pybtex.style.sorting.none import SortingStyle
from pybtex.style.template import field, first_of, href, join, node, optional, sentence, tag
from pybtex_docutils import Backend
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from .generated import Part, Place, link, pages_in_order, register, stored

NAME = "course"
CITATION = re.compile(r"\{footcite:[a-z]+\}`([^`]+)`")
FILE = Path(__file__).resolve().parents[2] / "references.bib"


TYPES = (
    "article", "book", "inbook", "incollection", "inproceedings", "manual", "misc", "online",
    "phdthesis", "techreport", "unpublished",
)  # fmt: skip
SHOWN_AUTHORS = 8
"""Of more authors than these the first few are named."""


class LanguageNeutralStyle(UnsortedStyle):  # type: ignore[misc]
    """Authors, title, venue, year, link: for every type of entry."""

    # Each citation makes a style of its own, which looks for the names of these among all installed
    # packages: a tenth of a second, unless it is given the classes.
    default_name_style = NameStyle
    default_label_style = LabelStyle
    default_sorting_style = SortingStyle

    def _entry(self, _entry: Any) -> Any:
        title = sentence[tag("em")[field("title")]]
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
        return join(sep=" ")[sentence[authors()], title, where, link]


for _type in TYPES:
    setattr(LanguageNeutralStyle, f"get_{_type}_template", LanguageNeutralStyle._entry)


@node  # type: ignore[untyped-decorator]
def authors(_children: Any, context: Any) -> Text:
    """The authors, first names first."""
    people = [person for person in context["entry"].persons["author"] if not is_others(person)]
    more = len(people) < len(context["entry"].persons["author"])
    if len(people) > SHOWN_AUTHORS:
        people, more = people[:3], True
    named = Text(", ").join(context["style"].format_name(p, False).format() for p in people)
    return Text(named, " et al") if more else named


def is_others(person: Person) -> bool:
    """Whether this is BibTeX's ``and others``."""
    return [*person.first_names, *person.last_names] == ["others"]


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
        "et al."
        if is_others(person)
        else " ".join(map(str, [*person.rich_prelast_names, *person.rich_last_names]))
        for person in entry.persons["author"]
    ]
    named = ", ".join(people) if len(people) < 4 else f"{people[0]} et al."
    title = str(Text.from_latex(entry.fields["title"]))
    return f"{named.replace(', et al.', ' et al.')} ({entry.fields['year']}): *{title}*"


# The page of all references ----------------------------------------------------------------------


def citations(env: BuildEnvironment) -> dict[str, list[str]]:
    """The keys that each page cites."""
    return stored(env, "course_citations")


def on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Note what a page cites, its card included."""
    found = [key.strip() for keys in CITATION.findall(source[0]) for key in keys.split(",")]
    citations(app.env)[docname] = sorted(set(found))


def on_purge(_app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is removed or read again."""
    citations(env).pop(docname, None)


def cited(place: Place) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each reference as text, by author and year, with the pages that cite it."""
    cites = citations(place.env)
    pages = [
        (docname, place.env.titles[docname].astext())
        for docname in pages_in_order(place.env, place.language)
    ]
    return [
        (key, [(docname, title) for docname, title in pages if key in cites.get(docname, [])])
        for key in sorted(references().entries, key=lambda key: (reference(key).casefold(), key))
    ]


def state(place: Place) -> Any:
    """What the page of references depends on."""
    texts = [repr(references().entries[key]) for key, _ in cited(place)]
    return cited(place), texts


def all_references(place: Place) -> list[nodes.Node]:
    """Every entry, with links to the pages that cite it."""
    style, backend = LanguageNeutralStyle(), Backend()
    found = nodes.bullet_list(classes=["course-references"])
    for key, pages in cited(place):
        (formatted,) = style.format_entries([references().entries[key]])
        item = nodes.list_item("", backend.paragraph(formatted), ids=[f"reference-{key}"])
        if pages:
            paragraph = nodes.paragraph("", f"{place.words.cited_in}: ", classes=["cited-in"])
            for index, (docname, title) in enumerate(pages):
                if index:
                    paragraph += nodes.Text(", ")
                paragraph += link(docname, title)
            item += paragraph
        found += item
    return [found]


def setup(app: Sphinx) -> None:
    """Make the style known to pybtex and connect this module to Sphinx."""
    register_plugin("pybtex.style.formatting", NAME, LanguageNeutralStyle)
    # After the card has been added.
    app.connect("source-read", on_source_read, priority=600)
    app.connect("env-purge-doc", on_purge)
    register(app, "all-references", Part(all_references, state))

"""The claims of the sources: checked tables in the chapters, and the ledger that collects them.

A chapter or lab states what a source claims and what was measured in a table of class ``claims``::

    | Source | Claim | Measured | Verdict | What holds |

``{claims} <source>`` lists the rows of one source from all pages of the page's language;
``{claims-summary}`` counts verdicts by source. Glued values are resolved when a chapter is read, so
a row is copied with its numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from docutils import nodes
from myst_nb.ext.glue.roles import PasteTextRole
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from minitrain.pages.show import spaced

from .generated import Part, Place, fill_in_addresses, link, pages_in_order, register, stored
from .languages import DEFAULT_LANGUAGE, language_of
from .strings import STRINGS, Strings

LOGGER = logging.getLogger(__name__)
GLUED_IN_PROSE = re.compile(r"\{glue:text\}`([^`:]+)")
QUOTED = re.compile(r"""["']([\w-]+)["']""")
FENCE = re.compile(r"^ *(`{3,}|:{3,})(\{[^}]*\})?")
SHORT_NAME = re.compile(r"^(.+?)(?:: | · )")


@dataclass(frozen=True)
class Claim:
    """One row of a chapter's table. Its nodes stay in the chapter's doctree."""

    source: str
    verdict: str
    number: int
    """Position among the rows of the page's tables."""
    anchor: str
    """The section in which it was measured."""
    section: str
    digest: str
    """A hash of the row: changes when anything in it does."""


def recorded(env: BuildEnvironment) -> dict[str, list[Claim]]:
    """The claims of each page."""
    return stored(env, "course_claims")


def tables(doctree: nodes.Element) -> list[nodes.table]:
    """The tables of claims in a page."""
    return [table for table in doctree.findall(nodes.table) if "claims" in table["classes"]]


def rows(table: nodes.table) -> tuple[nodes.row, list[nodes.row]]:
    """Header and rows of a table."""
    (head,) = table.findall(nodes.thead)
    (body,) = table.findall(nodes.tbody)
    return head[0], list(body.children)


def key_of(text: str, names: dict[str, str]) -> str | None:
    """The key under which a text stands in ``names``."""
    return next((key for key, name in names.items() if name == text), None)


# Reading a chapter -------------------------------------------------------------------------------


class KeyedText(PasteTextRole):  # type: ignore[misc]
    """``{glue:text}`` that remembers which value it shows, and groups digits by narrow spaces."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        found, messages = super().run()
        name, _, specification = self.text.rpartition(":")
        for node in found:
            node["glued"] = name or self.text
            if "," in specification:
                for text in list(node.findall(nodes.Text)):
                    text.parent.replace(text, nodes.Text(spaced(text.astext())))
        return found, messages


def measured_under(text: str) -> dict[str, int]:
    """Maps each glued name to the number of the heading under which it is measured.

    That is where the prose quotes it first, outside of tables of claims, or else where a cell
    names it. Headings count from 0, the page's title.
    """
    quoted: dict[str, int] = {}
    named: dict[str, int] = {}
    fences: list[tuple[str, str]] = []
    heading, in_claims = -1, False
    for line in text.splitlines():
        if match := FENCE.match(line):
            mark = match[1]
            if fences and mark == fences[-1][0] and not match[2]:
                fences.pop()
                in_claims = False
            elif match[2] or mark[0] == "`":
                fences.append((mark, match[2] or ""))
        elif fences and fences[-1][1] == "{list-table}" and line.strip() == ":class: claims":
            in_claims = True
        elif fences and fences[-1][1] == "{code-cell}":
            for name in QUOTED.findall(line):
                named.setdefault(name, heading)
        elif not fences and re.match(r"#+ ", line):
            heading += 1
        if not in_claims:
            for name in GLUED_IN_PROSE.findall(line):
                quoted.setdefault(name, heading)
    return named | quoted


def on_source_read(app: Sphinx, _docname: str, source: list[str]) -> None:
    """Note where values are measured: the doctree holds no removed cells."""
    app.env.temp_data["course_measured_under"] = measured_under(source[0])


def on_doctree_read(app: Sphinx, doctree: nodes.document) -> None:
    """Check a page's tables and note their rows."""
    docname = app.env.docname
    recorded(app.env).pop(docname, None)
    words = STRINGS[language_of(docname) or DEFAULT_LANGUAGE]
    found: list[Claim] = []
    for table in tables(doctree):
        head, body = rows(table)
        columns = tuple(cell.astext().strip() for cell in head)
        if columns != words.claims_columns:
            _complain(table, f"the columns are {columns}, not {words.claims_columns}")
            continue
        for row in body:
            if claim := _read(app, doctree, table, row, len(found), words):
                row["classes"].append(f"verdict-{claim.verdict}")
                row["course_claim"] = claim.number
                found.append(claim)
    if found:
        recorded(app.env)[docname] = found


def _read(
    app: Sphinx,
    doctree: nodes.document,
    table: nodes.table,
    row: nodes.row,
    number: int,
    words: Strings,
) -> Claim | None:
    texts = [cell.astext().strip() for cell in row]
    source = key_of(texts[0], words.sources)
    verdict = key_of(texts[3], words.verdicts)
    if source is None:
        _complain(row, f"{texts[0]!r} is no source; known are {', '.join(words.sources.values())}")
    if verdict is None:
        _complain(
            row, f"{texts[3]!r} is no verdict; known are {', '.join(words.verdicts.values())}"
        )
    if source is None or verdict is None:
        return None
    section = _section_of(table)
    under = app.env.temp_data["course_measured_under"]
    # Those that have a heading: the content of an exercise is a section too.
    sections = [one for one in doctree.findall(nodes.section) if _has_heading(one)]
    for node in row[2].findall(nodes.inline):
        heading = under.get(node.get("glued"), 0)
        if 0 < heading < len(sections):
            section = sections[heading]
            break
    return Claim(
        source=source,
        verdict=verdict,
        number=number,
        anchor=section["ids"][0],
        section=section[0].astext(),
        digest=hashlib.sha256(row.pformat().encode()).hexdigest()[:16],
    )


def _has_heading(section: nodes.section) -> bool:
    return isinstance(section.parent, nodes.document | nodes.section)


def _section_of(node: nodes.Node) -> nodes.section:
    while not isinstance(node, nodes.section):
        node = node.parent
    return node


def _complain(node: nodes.Node, what: str) -> None:
    LOGGER.warning("claims: %s", what, location=node, type="course", subtype="claims")


def on_purge(_app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is removed or read again."""
    recorded(env).pop(docname, None)


# The ledger --------------------------------------------------------------------------------------


def collected(place: Place) -> list[tuple[str, Claim]]:
    """All claims of the page's language, each with its page, in the course's order."""
    return [
        (docname, claim)
        for docname in pages_in_order(place.env, place.language)
        for claim in recorded(place.env).get(docname, [])
    ]


def of_source(place: Place) -> list[tuple[str, Claim]]:
    """The claims of the source that the directive names."""
    source = key_of(place.argument, place.words.sources)
    if source is None:
        known = ", ".join(place.words.sources.values())
        raise ExtensionError(f"{place.docname}: {place.argument!r} is no source; known are {known}")
    return [(docname, claim) for docname, claim in collected(place) if claim.source == source]


def claimed(doctree: nodes.document) -> list[nodes.row]:
    """The rows of a page that hold a claim."""
    found = [row for table in tables(doctree) for row in rows(table)[1]]
    return [row for row in found if "course_claim" in row]


def ledger_state(place: Place) -> list[tuple[str, str, Claim]]:
    """What the ledger of one source depends on."""
    return [
        (docname, place.env.titles[docname].astext(), claim) for docname, claim in of_source(place)
    ]


def ledger(place: Place) -> list[nodes.Node]:
    """The rows of one source with a link to where each was measured."""
    claims = of_source(place)
    pages = dict.fromkeys(docname for docname, _ in claims)
    found = {docname: claimed(place.doctree(docname)) for docname in pages}
    headings = {docname: _headings(place.doctree(docname)) for docname in pages}
    body = []
    for docname, claim in claims:
        row = found[docname][claim.number]
        cells = [moved(cell, docname, place.docname) for cell in row]
        where = _where(place, docname, claim, headings[docname])
        body.append(shown(cells, row["classes"], where, is_source=False))
    return [shown_table(place.words, body)] if body else []


def _headings(doctree: nodes.document) -> dict[str, nodes.title]:
    """The heading of each section of a page, by its anchor."""
    return {
        anchor: section[0]
        for section in doctree.findall(nodes.section)
        for anchor in section["ids"]
    }


def _where(
    place: Place, docname: str, claim: Claim, headings: dict[str, nodes.title]
) -> nodes.reference:
    name = short_name(place.env.titles[docname].astext())
    found = link(docname, f"{name} · ", claim.anchor)
    if claim.anchor in headings:
        # Not its text: a title may hold mathematics.
        found.extend(node.deepcopy() for node in headings[claim.anchor].children)
    return found


def short_name(title: str) -> str:
    """What a page is called for short: what stands before the colon in its title.

    >>> short_name("05: AdamW vs Adam"), short_name("Lab 18 · The run")
    ('05', 'Lab 18')
    """
    match = SHORT_NAME.match(title)
    return match[1] if match else title


def moved(cell: nodes.entry, origin: str, docname: str) -> nodes.entry:
    """A copy of a cell for another page: no anchors, no footnotes, links still right."""
    copy = cell.deepcopy()
    for footnote in list(copy.findall(nodes.footnote_reference)):
        before = footnote.parent.index(footnote) - 1
        if before >= 0 and isinstance(text := footnote.parent[before], nodes.Text):
            footnote.parent.replace(text, nodes.Text(text.rstrip()))
        footnote.parent.remove(footnote)
    for node in copy.findall(nodes.Element):
        node["ids"] = []
        if isinstance(node, pending_xref):
            node["refdoc"] = docname
        elif isinstance(node, nodes.reference) and "refid" in node:
            node["course_target"], node["course_anchor"] = origin, node["refid"]
            node["internal"] = True
            del node["refid"]
    return copy


def table_of(header: Sequence[str], body: list[nodes.row], widths: list[int]) -> nodes.table:
    """A table with a header."""
    head = nodes.row("", *(nodes.entry("", nodes.paragraph(text, text)) for text in header))
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in widths), cols=len(widths))
    group += nodes.thead("", head)
    group += nodes.tbody("", *body)
    return nodes.table("", group, classes=["colwidths-given"])


def summary(place: Place) -> list[nodes.Node]:
    """How many claims of each source have each verdict."""
    words = place.words
    counts = Counter((claim.source, claim.verdict) for _, claim in collected(place))
    body = [
        _row(name, *(counts[source, verdict] for verdict in words.verdicts))
        for source, name in words.sources.items()
    ]
    totals = [
        sum(counts[source, verdict] for source in words.sources) for verdict in words.verdicts
    ]
    body.append(_row(words.claims_total, *totals))
    header = [words.claims_columns[0], *words.verdicts.values(), words.claims_total]
    table = table_of(header, body, [25, *[15] * len(words.verdicts), 10])
    table["classes"].append("claims-summary")
    return [table]


def _row(name: str, *numbers: int) -> nodes.row:
    texts = [name, *(str(number) for number in numbers), str(sum(numbers))]
    return nodes.row("", *(nodes.entry("", nodes.paragraph(text, text)) for text in texts))


# How a table looks on a page ---------------------------------------------------------------------


def shown(
    cells: list[nodes.entry], classes: list[str], beside: nodes.reference, is_source: bool
) -> nodes.row:
    """A row as readers see it: five narrow columns would hold a word or two each.

    `beside` is a link: in a chapter to what is known of the source, below the claim; in the ledger,
    whose headings are the sources, to the section that measured it, below what was measured. The
    verdict stands above what holds.
    """
    _source, claim, measured, verdict, holds = cells
    above = nodes.paragraph("", verdict.astext(), classes=["claim-verdict"])
    note = nodes.paragraph("", "", beside, classes=["claim-source" if is_source else "claim-where"])
    first = [*claim.children, *([note] if is_source else [])]
    second = [*measured.children, *([] if is_source else [note])]
    third = [above, *holds.children]
    return nodes.row(
        "", *(nodes.entry("", *parts) for parts in (first, second, third)), classes=classes
    )


def shown_table(words: Strings, body: list[nodes.row]) -> nodes.table:
    """The table of these rows.

    Each cell begins with its column's name: the style sheet shows it on a phone, where the cells of
    a row stand below each other.
    """
    _, claim, measured, verdict, holds = words.claims_columns
    header = [claim, measured, f"{verdict} · {holds}"]
    for row in body:
        for title, cell in zip(header, row, strict=True):
            cell.insert(0, nodes.paragraph("", f"{title}:", classes=["cell-label"]))
    table = table_of(header, body, [34, 33, 33])
    table["classes"].append("claims-shown")
    return table


class ShowTables(SphinxPostTransform):
    """Gives a chapter's own tables the form of the ledger."""

    default_priority = 4

    def run(self, **_kwargs: Any) -> None:
        language = language_of(self.env.docname) or DEFAULT_LANGUAGE
        for table in tables(self.document):
            _, body = rows(table)
            # A table that was complained of stays as it is.
            if all("course_claim" in row for row in body):
                made = [
                    shown(list(row), row["classes"], source_link(row, language), is_source=True)
                    for row in body
                ]
                shown_one = shown_table(STRINGS[language], made)
                fill_in_addresses(self.app, self.env.docname, shown_one)
                table.replace_self(shown_one)


def source_link(row: nodes.row, language: str) -> nodes.reference:
    """The name of a row's source, leading to what the claims page says of it."""
    name = row[0].astext().strip()
    key = key_of(name, STRINGS[language].sources)
    return link(f"{language}/claims", name, f"{language}-claims-{key}")


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_role_to_domain("glue", "text", KeyedText(), override=True)
    app.connect("source-read", on_source_read)
    app.connect("doctree-read", on_doctree_read)
    app.connect("env-purge-doc", on_purge)
    app.add_post_transform(ShowTables)
    register(app, "claims", Part(ledger, ledger_state))
    register(app, "claims-summary", Part(summary, collected))

"""The parts of the Sphinx extension that work without Sphinx."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest
from pages import ROOT

from course.card import CardError, split_front_matter, with_card
from course.catalogues import translations
from course.languages import language_of, twin_of
from course.navigation import only_language, target_of
from course.numbering import renumber
from course.strings import CORRECTIONS, STRINGS


@pytest.mark.parametrize(
    ("docname", "language"),
    [
        ("en/how-to-use", "en"),
        ("labs/es/18-x", "es"),
        ("search-es", "es"),
        ("index", None),
        ("labs/x", None),
    ],
)
def test_the_language_is_read_from_the_name(docname: str, language: str | None) -> None:
    assert language_of(docname) == language


def test_the_twin_of_the_twin_is_the_page() -> None:
    for name in ("en/phase-18/05-x", "labs/en/18-x", "search-en"):
        spanish = twin_of(name, "es")
        assert spanish is not None
        assert spanish != name
        assert twin_of(spanish, "en") == name


def test_the_card_and_the_summary_follow_the_heading() -> None:
    text = (
        "---\ncourse:\n  kind: theory\n  minutes: 5\n  objectives: [uno]\nsummary: In short.\n"
        "---\n\n# Título\n\nTexto.\n"
    )
    _, changed = split_front_matter(with_card(text, Path("page.md"), "es"))
    order = ["# Título", "course-card", "teoría", "5 min", "- uno", "language-en", "In short."]
    positions = [changed.index(part) for part in [*order, "Texto."]]
    assert positions == sorted(positions)


def test_a_page_without_front_matter_is_left_alone() -> None:
    assert with_card("# Title\n", Path("page.md"), "en") == "# Title\n"


CONCEPT = """\
concept:
  equation: 'y = x^2'
  why: Porque sí.
  skipped: [Lo difícil.]
  next: [../how-to-use.md, 99-not-written.md]
  papers: [kingma2015]
"""


def page_with(front_matter: str) -> str:
    """A page whose ``course`` block has these further fields."""
    fields = "kind: theory\nminutes: 5\nobjectives: [uno]\n" + front_matter
    return f"---\ncourse:\n{indent(fields, '  ')}---\n\n# Título\n"


def test_the_concept_is_on_the_card() -> None:
    page = ROOT / "book/es/phase-18/page.md"
    _, changed = split_front_matter(with_card(page_with(CONCEPT), page, "es"))
    order = [
        "$$\ny = x^2\n$$",
        "Porque sí.",
        "- Lo difícil.",
        "- uno",
        "- [Cómo usar este curso](../how-to-use.md)",
        "- 99-not-written",
        "- Kingma, Ba (2015): *Adam: A Method for Stochastic Optimization*",
        "{footcite:p}`kingma2015`",
    ]
    positions = [changed.index(part) for part in order]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("front_matter", "complaint"),
    [
        ("kinds: lab\n", "course.kinds: is unknown; known are phase, kind, minutes"),
        ("minutes: forty\n", "course.minutes: 'forty' is not a int"),
        ("kind: essay\n", "course.kind: 'essay' is none of theory, lab, guide"),
        ("objectives: [a: b]\n", "course.objectives: {'a': 'b'} is not text: put it in quotes"),
        ("phase: [\n", "front matter, line 7: "),
        ("concept: {}\n", "course.concept.equation: is missing"),
        (CONCEPT + "  more: 1\n", "course.concept.more: is unknown; known are equation, why"),
        (CONCEPT.replace("kingma2015", "nobody"), "'nobody' is not in references.bib"),
        (CONCEPT.replace("99-not-written.md", "elsewhere"), "'elsewhere' is not a page"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(front_matter: str, complaint: str) -> None:
    page = ROOT / "book/es/phase-18/page.md"
    with pytest.raises(CardError) as refused:
        with_card(page_with(front_matter), page, "es")
    message = str(refused.value)
    assert message.startswith(f"{page}: ")
    assert complaint in message
    assert "\n" not in message


def test_figures_are_numbered_from_one_on_each_page() -> None:
    numbers: dict[str, dict[str, tuple[int, ...]]] = {
        "figure": {"a": (7,), "b": (8,)},
        "table": {"c": (3,)},
    }
    renumber(numbers)
    assert numbers == {"figure": {"a": (1,), "b": (2,)}, "table": {"c": (1,)}}


def test_links_are_resolved_against_the_page() -> None:
    assert target_of("../../labs/en/18-x.html#why", "en/phase-18/05-x") == "labs/en/18-x"
    assert target_of("#", "en/how-to-use") == "en/how-to-use"


def test_the_sidebar_drops_the_other_language() -> None:
    toctree = (
        '<p class="caption">A</p><ul><li><a href="#">x</a></li></ul>'
        '<p class="caption">B</p><ul><li><a href="../es/x.html">y</a></li></ul>'
    )
    assert only_language(toctree, "en/x") == toctree.split('<p class="caption">B')[0]


def test_corrections_come_before_the_libraries_catalogues() -> None:
    assert translations("es", "booktheme").gettext("Contents") == CORRECTIONS["es"]["Contents"]
    assert translations("es", "sphinx").gettext("Note") == "Nota"
    assert translations("en", "sphinx").gettext("Note") == "Note"


def test_both_languages_name_the_same_kinds_of_page() -> None:
    assert STRINGS["en"].kinds.keys() == STRINGS["es"].kinds.keys()

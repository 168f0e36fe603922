"""The parts of the Sphinx extension that work without Sphinx."""

from __future__ import annotations

from pathlib import Path

import pytest

from course.card import split_front_matter, with_card
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

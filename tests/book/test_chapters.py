"""What every theory chapter has: a concept, questions, exercises; and claims that agree."""

from __future__ import annotations

import re

import pytest
from pages import Page, all_pages, claims, theory, twins

from course.strings import STRINGS

each_theory = pytest.mark.parametrize("page", theory(), ids=lambda page: page.docname)
each_pair = pytest.mark.parametrize(("english", "spanish"), twins(), ids=lambda page: page.docname)
each_with_claims = pytest.mark.parametrize(
    "page", [page for page in all_pages() if claims(page)], ids=lambda page: page.docname
)
CITATION = re.compile(r"\{footcite:[a-z]+\}`([^`]+)`")


@each_theory
def test_every_theory_chapter_has_a_concept(page: Page) -> None:
    concept = page.course["concept"]
    assert concept["equation"].strip()
    assert concept["why"].strip()
    assert 1 <= len(concept["skipped"]) <= 3
    assert concept["next"]


@each_theory
def test_papers_on_the_card_are_in_the_references(page: Page) -> None:
    """A card's citations are footnotes: they need the page's list of references."""
    cited = page.course["concept"]["papers"] or CITATION.search(page.body)
    listed = [directive for directive in page.directives if directive.name == "footbibliography"]
    assert len(listed) == (1 if cited else 0)


@each_theory
def test_every_theory_chapter_ends_with_two_to_four_questions(page: Page) -> None:
    questions = [
        directive
        for directive in page.directives
        if directive.options.get("class-container") == "self-check"
    ]
    assert 2 <= len(questions) <= 4
    for number, question in enumerate(questions, start=1):
        assert question.name == "dropdown"
        assert re.match(rf"{number}\. .*\?", question.argument)
        assert len(question.text.split()) >= 10, f"the answer to {number} explains nothing"


@each_theory
def test_every_exercise_has_a_solution_that_is_folded_away(page: Page) -> None:
    exercises = [d.options["label"] for d in page.directives if d.name == "exercise"]
    solutions = [d for d in page.directives if d.name == "solution"]
    assert exercises
    assert sorted(exercises) == sorted(solution.argument for solution in solutions)
    assert all("dropdown" in solution.options.get("class", "") for solution in solutions)


@each_with_claims
def test_tables_of_claims_are_well_formed(page: Page) -> None:
    words = STRINGS[page.language]
    header, *rows = claims(page)
    assert header.cells == words.claims_columns
    for row in rows:
        if row.cells == header.cells:
            continue
        source, claim, measured, verdict, holds = row.cells
        assert source in words.sources.values(), claim
        assert verdict in words.verdicts.values(), claim
        assert claim
        assert measured
        assert holds


def keys(page: Page) -> list[tuple[str | None, ...]]:
    """Source and verdict of each claim, independent of the language."""
    words = STRINGS[page.language]
    names = {text: key for table in (words.sources, words.verdicts) for key, text in table.items()}
    return [(names.get(row.cells[0]), names.get(row.cells[3])) for row in claims(page)]


@each_pair
def test_twins_reach_the_same_verdicts(english: Page, spanish: Page) -> None:
    assert keys(english) == keys(spanish)


def entries(language: str) -> list[tuple[str, str]]:
    """The glossary's entries as written: name and term."""
    (page,) = [page for page in all_pages() if page.docname == f"{language}/glossary"]
    return [(d.argument, d.options["term"]) for d in page.directives if d.name == "define"]


def test_both_glossaries_define_the_same_terms() -> None:
    english, spanish = entries("en"), entries("es")
    assert [name for name, _ in english] == [name for name, _ in spanish]
    assert len({name for name, _ in english}) == len(english)


def test_the_spanish_glossary_gives_the_english_term() -> None:
    for (_, english), (_, spanish) in zip(entries("en"), entries("es"), strict=True):
        said = re.search(r"\((.+)\)$", spanish)
        assert said or spanish == english or english in spanish, spanish


def test_every_link_into_the_glossary_leads_to_an_entry() -> None:
    defined = {name for name, _ in entries("en")}
    used = {
        anchor
        for page in all_pages()
        for anchor in re.findall(r"\]\([./a-z]*glossary\.md#([^)]*)\)", page.body)
    }
    assert used <= defined

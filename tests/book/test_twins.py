"""English and Spanish are one course: the same pages, cells, outputs, labels and structure."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from jupyter_cache import get_cache
from myst_nb.core.read import read_myst_markdown_notebook
from pages import ROOT, Page, all_pages, twins

from course.execution import cache_path
from course.languages import twin_of

TRANSLATED = {"description", "summary", "objectives", "why", "skipped"}
each_pair = pytest.mark.parametrize(("english", "spanish"), twins(), ids=lambda page: page.docname)


def test_every_page_has_a_twin() -> None:
    names = {page.docname for page in all_pages()}
    missing = {twin_of(name, language) for name in names for language in ("en", "es")} - names
    assert not missing


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "_toc.yml").read_text()
    missing = [page.docname for page in all_pages() if f"- file: {page.docname}\n" not in contents]
    assert not missing


@each_pair
def test_twins_have_the_same_cells(english: Page, spanish: Page) -> None:
    def cells(page: Page) -> list[tuple[str, Any]]:
        return [(cell.source, cell.metadata) for cell in page.code_cells]

    assert cells(english) == cells(spanish)


@each_pair
def test_twins_have_the_same_outputs(english: Page, spanish: Page) -> None:
    if not english.has_cells:
        pytest.skip("a page without code cells")

    def outputs(page: Page) -> list[Any]:
        return [cell.outputs for cell in page.notebook.cells if cell.cell_type == "code"]

    assert outputs(english) == outputs(spanish)


@each_pair
def test_twins_were_executed_once(english: Page, spanish: Page) -> None:
    if not english.has_cells:
        pytest.skip("a page without code cells")
    assert cache_path().exists(), "the pages have not been executed: run make book"
    cache = get_cache(cache_path())

    def record(page: Page) -> int:
        return cache.match_cache_notebook(read_myst_markdown_notebook(page.source)).pk

    assert record(english) == record(spanish)


@each_pair
def test_twins_have_the_same_headings(english: Page, spanish: Page) -> None:
    assert english.headings == spanish.headings


@each_pair
def test_twins_have_the_same_directives_in_the_same_order(english: Page, spanish: Page) -> None:
    def directives(page: Page) -> list[tuple[str, str]]:
        return [
            (one.name, one.options.get("class", one.options.get("class-container", "")))
            for one in page.directives
        ]

    assert directives(english) == directives(spanish)


@each_pair
def test_twins_have_the_same_labels(english: Page, spanish: Page) -> None:
    for page in (english, spanish):
        foreign = [name for name in page.labels if not name.startswith(f"{page.language}-")]
        assert not foreign, f"labels are global: start them with {page.language}-"
    assert [name[3:] for name in english.labels] == [name[3:] for name in spanish.labels]


@each_pair
@pytest.mark.parametrize("role", ["glue:text", "glue:", "footcite:p", "footcite:t", "eq", "numref"])
def test_twins_refer_to_the_same_things(english: Page, spanish: Page, role: str) -> None:
    def targets(page: Page) -> Counter[str]:
        found = re.findall(rf"\{{{role}\}}`([^`]+)`", page.body)
        return Counter(re.sub(r"^e[ns]-", "", target) for target in found)

    assert targets(english) == targets(spanish)


@each_pair
def test_twins_have_the_same_front_matter(english: Page, spanish: Page) -> None:
    assert comparable(english.front_matter, english) == comparable(spanish.front_matter, spanish)


def comparable(value: Any, page: Page, key: str = "") -> Any:
    """The front matter with what is translated replaced by its shape."""
    if key in TRANSLATED:
        return len(value) if isinstance(value, list) else "text"
    if isinstance(value, dict):
        return {name: comparable(item, page, name) for name, item in value.items()}
    if key in ("prerequisites", "next"):
        return [
            item.replace(f"/{page.language}/", "/*/") if item.endswith(".md") else "text"
            for item in value
        ]
    return value

"""Pages made from other pages: the ledger, the map, the references. They say what the pages say."""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import ROOT, all_pages, claims, theory
from sphinx.errors import ExtensionError

from course.bibliography import references
from course.claims import measured_under, short_name
from course.concept_map import Layout, crossings, layers_of, layout
from course.languages import LANGUAGES
from course.strings import STRINGS

each_language = pytest.mark.parametrize("language", LANGUAGES)


def soup(path: Path) -> BeautifulSoup:
    assert path.exists(), "the site is older than the pages: run make book"
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def said(cell: Tag) -> str:
    """A cell's text without what only one of the two tables shows."""
    copy = BeautifulSoup(str(cell), "html.parser")
    for extra in copy.select(".cell-label, .claim-source, .claim-where, .footnote-reference"):
        extra.decompose()
    return re.sub(r" (?=[.,;])", "", " ".join(copy.get_text().split()))


def rows(page: Tag) -> list[list[Tag]]:
    return [row.find_all("td") for row in page.select("table.claims-shown tbody tr")]


# The ledger --------------------------------------------------------------------------------------


@each_language
def test_the_ledger_has_every_row_of_every_table_once(site: Path, language: str) -> None:
    written: Counter[tuple[str, ...]] = Counter()
    for page in all_pages():
        if page.language == language and claims(page):
            for cells in rows(soup(site / f"{page.docname}.html")):
                source = cells[0].select_one(".claim-source")
                assert source is not None
                written[source.get_text(), *map(said, cells)] += 1
    collected: Counter[tuple[str, ...]] = Counter()
    for section in soup(site / language / "claims.html").select("section section"):
        title = section.find("h2")
        assert title is not None
        name = title.find(string=True, recursive=False)
        for cells in rows(section):
            collected[str(name), *map(said, cells)] += 1
    assert collected == written
    assert max(written.values()) == 1


@each_language
def test_the_ledger_has_as_many_rows_as_the_sources(site: Path, language: str) -> None:
    """Independent of how the site shows a table."""
    header = STRINGS[language].claims_columns
    written = [
        row
        for page in all_pages()
        if page.language == language
        for row in claims(page)
        if row.cells != header
    ]
    page = soup(site / language / "claims.html")
    assert len(rows(page)) == len(written)
    counts = page.select_one("table.claims-summary tbody tr:last-child")
    assert counts is not None
    assert counts.find_all("td")[-1].get_text(strip=True) == str(len(written))


@each_language
def test_every_claim_links_to_a_section_of_a_chapter(site: Path, language: str) -> None:
    folder = site / language

    @cache
    def sections(path: Path) -> set[str]:
        return {str(section.get("id")) for section in soup(path).find_all("section")}

    for cells in rows(soup(folder / "claims.html")):
        link = cells[1].select_one(".claim-where a")
        assert link is not None
        url = urlsplit(str(link["href"]))
        assert url.fragment in sections((folder / url.path).resolve())


def test_a_value_is_measured_where_the_prose_quotes_it_or_else_in_its_cell() -> None:
    text = dedent(
        """\
        # Title

        ## First

        ```{code-cell}
        glue("in_cell", 1)
        glue("in_prose", 2)
        ```

        ## Second

        :::{note}
        # not a heading
        {glue:text}`in_prose:.2f`
        :::

        ## Claims

        ```{list-table}
        :class: claims

        * - {glue:text}`in_prose:.2f`
          - {glue:text}`in_cell` and {glue:text}`made_up`
        ```
        """
    )
    assert measured_under(text) == {"in_cell": 1, "in_prose": 2}


def test_a_page_is_called_by_what_stands_before_the_colon() -> None:
    assert [short_name(title) for title in ("05: AdamW", "Lab 18 · The run", "How to use")] == [
        "05",
        "Lab 18",
        "How to use",
    ]


# The map -----------------------------------------------------------------------------------------


def written_edges(language: str) -> set[tuple[str, str]]:
    """The arrows that the cards ask for."""
    pages = [page for page in all_pages() if page.language == language]
    names = {page.docname for page in pages}
    found = set()
    for page in pages:
        for item in page.course.get("prerequisites", []):
            if item.endswith(".md"):
                before = posixpath.join(posixpath.dirname(page.docname), item)
                found.add((posixpath.normpath(before).removesuffix(".md"), page.docname))
    assert {name for edge in found for name in edge} <= names
    return found


def docname(site: Path, page: Path, href: str) -> str:
    target = (page.parent / href.split("#")[0]).resolve()
    assert target.exists(), href
    return target.relative_to(site).as_posix().removesuffix(".html")


@each_language
def test_the_map_shows_every_chapter_and_every_arrow(site: Path, language: str) -> None:
    path = site / language / "concept-map.html"
    drawing = soup(path).select_one("svg.concept-map")
    assert drawing is not None
    boxes = {
        docname(site, path, str(box["href"])): box["aria-label"]
        for box in drawing.select("a.chapter, a.lab")
    }
    chapters = {page.docname for page in theory() if page.language == language}
    assert chapters <= set(boxes)
    by_name = {short_name(str(title)): name for name, title in boxes.items()}
    arrows = set()
    for arrow in drawing.select("a.arrow"):
        assert arrow.title is not None
        before, after = str(arrow.title.string).split(" → ")
        assert arrow["aria-label"] == arrow.title.string
        assert docname(site, path, str(arrow["href"])) == by_name[after]
        arrows.add((by_name[before], by_name[after]))
    assert arrows == written_edges(language)


@each_language
def test_the_list_below_the_map_says_the_same(site: Path, language: str) -> None:
    path = site / language / "concept-map.html"
    edges = set()
    for item in soup(path).select("ul.concept-list > li"):
        page, *needed = (docname(site, path, str(link["href"])) for link in item.find_all("a"))
        edges |= {(before, page) for before in needed}
    assert edges == written_edges(language)


NAMES = "abcdefghijkl"
GRAPHS = st.sets(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda e: e[0] < e[1])
).map(sorted)


@settings(deadline=None)
@given(GRAPHS)
def test_boxes_do_not_overlap_and_arrows_point_down(edges: list[tuple[str, str]]) -> None:
    drawn: Layout = layout(NAMES, edges)
    for row in drawn.layers:
        for left, right in pairwise(row):
            assert right.x - left.x >= (left.width + right.width) / 2
        for item in row:
            assert item.x - item.width / 2 >= -1e-6
            assert item.x + item.width / 2 <= drawn.width + 1e-6
    assert set(drawn.routes) == set(edges)
    for (before, after), route in drawn.routes.items():
        assert route[0].name == before
        assert route[-1].name == after
        assert all(lower.layer == upper.layer + 1 for upper, lower in pairwise(route))


def test_a_crossing_that_can_be_avoided_is_avoided() -> None:
    assert crossings(layout("abcd", [("a", "d"), ("b", "c")]).layers) == 0


def test_prerequisites_in_a_circle_are_refused() -> None:
    with pytest.raises(ExtensionError, match="run in a circle"):
        layers_of("ab", [("a", "b"), ("b", "a")])


# The references ----------------------------------------------------------------------------------


@each_language
def test_every_reference_is_listed_with_the_pages_that_cite_it(site: Path, language: str) -> None:
    path = site / language / "bibliography.html"
    listed = {str(item["id"]): item for item in soup(path).select("ul.course-references > li")}
    assert set(listed) == {f"reference-{key}" for key in references().entries}
    uncited = [key for key, item in listed.items() if not item.select(".cited-in a")]
    assert not uncited, "take them out of references.bib"


# A small book, built, changed, and built again ---------------------------------------------------

PAGE = """\
---
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
description: x
course: {{kind: theory, minutes: 1, objectives: [x], prerequisites: [{needs}]}}
---

# {name}: The page

```{{code-cell}} ipython3
from myst_nb import glue
glue("value", 1.5, display=False)
```

## Where it is measured

It is {{glue:text}}`value:.2f`.

## Table

```{{list-table}}
:class: claims
:header-rows: 1

* - {columns[0]}
  - {columns[1]}
  - {columns[2]}
  - {columns[3]}
  - {columns[4]}
* - {source}
  - The claim.
  - {{glue:text}}`value:.2f`
  - {verdict}
  - x
```
"""
GENERATED = """\
---
description: x
---

# Generated

```{{claims}} {source}
```

```{{concept-map}}
```
"""
Build = Callable[[], tuple[str, BeautifulSoup]]


def write_pages(book: Path, needs: str = "", verdict: str = "holds") -> None:
    for language in LANGUAGES:
        words = STRINGS[language]
        source = words.sources["masks"]
        text = {"columns": words.claims_columns, "source": source}
        folder = book / language
        folder.mkdir(exist_ok=True)
        first = PAGE.format(name="01", needs="", verdict=words.verdicts[verdict], **text)
        second = PAGE.format(name="02", needs=needs, verdict=words.verdicts["holds"], **text)
        for name, content in {
            "how-to-use": f"---\ndescription: x\n---\n\n# {language}\n\nx\n",
            "one": first,
            "two": second,
            "generated": GENERATED.format(source=source),
        }.items():
            path = folder / f"{name}.md"
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                path.write_text(content, encoding="utf-8")


@pytest.fixture
def build_small_book(tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Builds a book of four pages per language."""
    book = tmp_path / "book"
    book.mkdir()
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copy(ROOT / "book" / "references.bib", book)
    for folder in ("_ext", "assets"):
        shutil.copytree(ROOT / "book" / folder, book / folder)
    (book / "index.md").write_text("---\ndescription: x\n---\n\n# Book\n", encoding="utf-8")
    files = [
        f"  - file: {language}/{name}"
        for language in LANGUAGES
        for name in ("how-to-use", "one", "two", "generated")
    ]
    toc = "\n".join(["format: jb-book", "root: index", "chapters:", *files])
    (book / "_toc.yml").write_text(toc, encoding="utf-8")

    def build() -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("jupyter-book"), "build", "book/", "-W"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return build


@pytest.fixture
def small_book(
    build_small_book: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path
) -> Build:
    """Builds it; says what was built and what the generated page shows."""

    def build() -> tuple[str, BeautifulSoup]:
        built = build_small_book()
        assert not built.returncode, built.stdout[-3000:] + built.stderr[-3000:]
        return built.stdout, soup(tmp_path / "_build" / "html" / "en" / "generated.html")

    return build


def test_a_page_is_generated_anew_when_another_page_changes(
    small_book: Build, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    write_pages(book)
    _, page = small_book()
    (first, second) = rows(page)
    assert "1.50" in first[1].get_text()
    assert "02 · Where it is measured" in second[1].get_text()
    assert page.select_one("svg.concept-map") is None

    log, _ = small_book()
    assert "0 added, 0 changed, 0 removed" in log
    assert "writing output" not in log.split("updating environment")[1]

    write_pages(book, needs="one.md", verdict="fails")
    log, page = small_book()
    assert "0 added, 4 changed, 0 removed" in log
    assert STRINGS["en"].verdicts["fails"] in rows(page)[0][2].get_text()
    assert [str(arrow["aria-label"]) for arrow in page.select("a.arrow")] == ["01 → 02"]

    one = book / "en" / "one.md"
    one.write_text(one.read_text("utf-8").replace("# 01: The page", "# 01: A heading"), "utf-8")
    log, page = small_book()
    assert "0 added, 2 changed, 0 removed" in log, "the card of the other page quotes the heading"
    assert page.select("a.chapter")[0]["aria-label"] == "01: A heading"


def test_a_cell_that_fails_is_named_in_one_line(
    build_small_book: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    book = tmp_path / "book"
    write_pages(book)
    for language in LANGUAGES:
        two = book / language / "two.md"
        two.write_text(two.read_text("utf-8").replace("1.5,", "1 / 0,"), "utf-8")
    built = build_small_book()
    assert built.returncode
    assert "en/two: ZeroDivisionError: division by zero" in built.stdout + built.stderr
    cached = (tmp_path / "_build" / ".jupyter_cache").glob("executed/*")
    assert len(list(cached)) == 1, "the page that did not fail has been executed all the same"

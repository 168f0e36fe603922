"""Rules for what authors write in a page."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from itertools import pairwise
from os.path import normpath
from pathlib import Path

import pytest
from pages import ROOT, Directive, Page, all_pages, notebooks
from pybtex.database import parse_file
from test_spoilers import terms

SENTENCE = re.compile(r"[^\W\d_]{2,}(?: [^\W\d_]+){2,}")
FIGURES = ("figure", "image", "glue:figure")
EARLY_HINTS = ("hint-mild", "hint-medium")
REFERENCE = ("bibliography", "claims", "concept-map", "glossary", "notation")
ALL_HINTS = (*EARLY_HINTS, "hint-direct")

each_page = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.docname)
each_notebook = pytest.mark.parametrize("page", notebooks(), ids=lambda page: page.docname)
each_lab = pytest.mark.parametrize(
    "page",
    [page for page in all_pages() if page.course.get("kind") == "lab"],
    ids=lambda page: page.docname,
)


def python_of(cell_source: str) -> str:
    """A cell without IPython's magics and shell lines."""
    return re.sub(r"^[%!].*$", "", cell_source, flags=re.M)


@each_notebook
def test_code_cells_have_no_comments(page: Page) -> None:
    """Both languages share the cells."""
    for cell in page.code_cells:
        tokens = tokenize.generate_tokens(io.StringIO(python_of(cell.source)).readline)
        comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
        assert not comments


@each_notebook
def test_code_cells_have_no_sentences(page: Page) -> None:
    for cell in page.code_cells:
        for node in ast.walk(ast.parse(python_of(cell.source))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert _is_program(node.value) or not SENTENCE.search(node.value), node.value


def _is_program(text: str) -> bool:
    """Whether a text is Python, of several lines: a file that a cell writes."""
    try:
        return len(ast.parse(text).body) > 1
    except SyntaxError:
        return False


@each_notebook
def test_numbers_are_glued_with_the_digits_that_machines_agree_on(page: Page) -> None:
    """`minitrain.pages.show.glue` rounds; `myst_nb.glue` does not."""
    assert not any("myst_nb" in cell.source for cell in page.code_cells)


@each_page
def test_every_figure_has_alternative_text(page: Page) -> None:
    for directive in page.directives:
        if directive.name in FIGURES:
            assert len(directive.options.get("alt", "").split()) >= 3, directive.argument
    assert not re.search(r"!\[\s*\]\(", page.body)


@each_page
def test_glued_figures_are_shown_once(page: Page) -> None:
    """The cell shows its figure in JupyterLab; in the book ``{glue:figure}`` does."""
    for directive in page.directives:
        if directive.name == "glue:figure":
            glued = re.compile(rf"""glue\(\s*["']{re.escape(directive.argument)}["']""")
            (cell,) = [cell for cell in page.code_cells if glued.search(cell.source)]
            assert "remove-output" in cell.metadata.get("tags", []), directive.argument


@each_page
def test_every_page_has_a_card_and_a_summary(page: Page) -> None:
    """Reference pages are looked things up in, not read: they have no card."""
    assert {"summary", "description"} <= set(page.front_matter)
    if page.path.stem not in REFERENCE:
        assert {"kind", "minutes", "objectives"} <= set(page.course)


@each_page
def test_every_page_that_the_card_names_exists(page: Page) -> None:
    """The card shows a file's name in place of a link as long as there is no such page."""
    named = [
        *page.course.get("prerequisites", []),
        *page.course.get("concept", {}).get("next", []),
    ]
    folder = (ROOT / "book" / page.docname).parent
    # Not Path.resolve(): a lab is reached as book/labs/..., through a link.
    missing = [
        name
        for name in named
        if name.endswith(".md") and not Path(normpath(folder / name)).exists()
    ]
    assert not missing


def test_every_citation_is_in_the_bibliography() -> None:
    known = set(parse_file(str(ROOT / "book" / "references.bib")).entries)
    cited = {
        key.strip()
        for page in all_pages()
        for keys in re.findall(r"\{footcite:[a-z]+\}`([^`]+)`", page.body)
        for key in keys.split(",")
    }
    assert cited <= known


def said_in(hint: Directive, page: Page) -> str:
    """A hint's title and text, with all that stands in it but the next hint."""
    texts = [hint.argument, hint.text]
    for block in page.blocks:
        outer = block.parent
        while outer is not None and outer is not hint and not is_hint(outer):
            outer = outer.parent
        if outer is hint and not is_hint(block):
            texts += [block.argument, block.text]
    return "\n".join(texts)


def is_hint(block: Directive) -> bool:
    return bool(set(ALL_HINTS) & set(block.options.get("class-container", "").split()))


def hints(page: Page) -> list[tuple[str, Directive]]:
    """The page's hints, each with its level."""
    return [
        (level, directive)
        for directive in page.directives
        for level in ALL_HINTS
        if level in directive.options.get("class-container", "").split()
    ]


@each_lab
def test_hints_are_nested_from_mild_to_direct(page: Page) -> None:
    found = hints(page)
    assert found
    assert [level for level, _ in found] == list(ALL_HINTS) * (len(found) // 3)
    for (_, outer), (level, inner) in pairwise(found):
        assert inner.parent is (None if level == ALL_HINTS[0] else outer)


@each_lab
def test_early_hints_do_not_contain_the_fix(page: Page) -> None:
    """`spoilers.yaml` names a lab's fault: regular expressions, case ignored.

    None may match a mild or medium hint (its title included), and each must match somewhere from
    the direct hint on: a term that occurs nowhere would check nothing.
    """
    found = hints(page)
    lines = page.body.splitlines()
    first_medium = next(hint for level, hint in found if level == "hint-medium")
    rest = "\n".join(lines[first_medium.end :])
    early = "\n".join(said_in(hint, page) for level, hint in found if level in EARLY_HINTS)
    direct = "\n".join(said_in(hint, page) for level, hint in found if level == "hint-direct")
    for term in terms(page):
        assert not re.search(term, early, re.I), f"an early hint gives away {term!r}"
        assert re.search(term, direct + rest, re.I), f"nothing after the hints matches {term!r}"

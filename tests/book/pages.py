"""The pages of the book as the tests read them: from their source, without Sphinx."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from nbformat import NotebookNode

from course.card import split_front_matter
from course.languages import language_of, twin_of

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^ *(?P<fence>:{3,}|`{3,})(?:\{(?P<name>[^}]+)\})?(?P<rest>.*)$")
OPTION = re.compile(r"^ *:([\w-]+):(?: +(.*?))? *$")
LABELS = (
    re.compile(r"^\(([^)\s]+)\)=", re.M),
    re.compile(r"^ *:(?:label|name): *(\S+)", re.M),
    re.compile(r"^\$\$ *\(([^)\s]+)\)", re.M),
)


@dataclass
class Directive:
    """One directive: its options and its own text, without that of the directives inside it."""

    name: str
    argument: str
    options: dict[str, str]
    text: str
    end: int
    """Number of the line after it."""
    parent: Directive | None = None


@dataclass(frozen=True)
class Page:
    """One page in one language."""

    path: Path

    @property
    def docname(self) -> str:
        relative = self.path.relative_to(ROOT)
        parts = relative.parts[1:] if relative.parts[0] == "book" else relative.parts
        return "/".join(parts).removesuffix(".md")

    @property
    def language(self) -> str:
        language = language_of(self.docname)
        assert language is not None
        return language

    @property
    def course(self) -> dict[str, Any]:
        """The fields that make the card; a reference page has none."""
        course: dict[str, Any] = self.front_matter.get("course", {})
        return course

    @property
    def is_theory(self) -> bool:
        return self.course.get("kind") == "theory" and "phase-" in self.docname

    @property
    def notebook_path(self) -> Path:
        return self.path.with_suffix(".ipynb")

    @property
    def has_cells(self) -> bool:
        return is_myst_markdown_notebook(self.source)

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def front_matter(self) -> dict[str, Any]:
        return split_front_matter(self.source)[0]

    @cached_property
    def body(self) -> str:
        return split_front_matter(self.source)[1]

    @cached_property
    def code_cells(self) -> list[NotebookNode]:
        notebook = read_myst_markdown_notebook(self.source)
        return [cell for cell in notebook.cells if cell.cell_type == "code"]

    @cached_property
    def notebook(self) -> NotebookNode:
        return nbformat.read(self.notebook_path, as_version=4)

    @cached_property
    def labels(self) -> list[str]:
        return sorted(label for pattern in LABELS for label in pattern.findall(self.body))

    @cached_property
    def headings(self) -> list[int]:
        outside = re.sub(r"^(```+).*?^\1`* *$", "", self.body, flags=re.M | re.S)
        return [len(marks) for marks in re.findall(r"^(#+) ", outside, re.M)]

    @property
    def directives(self) -> list[Directive]:
        """All directives in the order in which they open."""
        return [block for block in self.blocks if block.name]

    @cached_property
    def blocks(self) -> list[Directive]:
        """All directives and, with an empty name, all fenced code."""
        found: list[Directive] = []
        open_ones: list[tuple[str, Directive, list[str]]] = []
        for number, line in enumerate(self.body.splitlines(), start=1):
            match = FENCE.match(line)
            fence = match["fence"] if match else ""
            if match and open_ones and fence == open_ones[-1][0] and not match["rest"].strip():
                _, directive, lines = open_ones.pop()
                directive.text, directive.end = "\n".join(lines), number
            elif match and (match["name"] or match["fence"].startswith("`")):
                parent = open_ones[-1][1] if open_ones else None
                name, argument = match["name"] or "", match["rest"].strip()
                directive = Directive(name, argument, {}, "", 0, parent)
                found.append(directive)
                open_ones.append((fence, directive, []))
            elif open_ones:
                _, directive, lines = open_ones[-1]
                option = OPTION.match(line)
                if option and not lines:
                    directive.options[option[1]] = option[2] or ""
                else:
                    lines.append(line)
        assert not open_ones, f"{self.path}: {open_ones[-1][1].name} is not closed"
        return found


def all_pages() -> list[Page]:
    """Every page that belongs to a language, chapters and labs."""
    found = [*ROOT.glob("book/e[ns]/**/*.md"), *ROOT.glob("labs/e[ns]/**/*.md")]
    # JupyterLab leaves copies of saved pages in .ipynb_checkpoints.
    return [Page(path) for path in sorted(found) if ".ipynb_checkpoints" not in path.parts]


@dataclass(frozen=True)
class Claim:
    """One row of a table of claims, as written."""

    page: Page
    cells: tuple[str, ...]


def claims(page: Page) -> list[Claim]:
    """The rows of a page's tables of claims, their headers included."""
    found = []
    for directive in page.directives:
        if directive.name == "list-table" and directive.options.get("class") == "claims":
            for row in re.split(r"^\* - ", directive.text, flags=re.M)[1:]:
                cells = re.split(r"^  - ", row, flags=re.M)
                found.append(Claim(page, tuple(" ".join(cell.split()) for cell in cells)))
    return found


def theory() -> list[Page]:
    """The theory chapters."""
    return [page for page in all_pages() if page.is_theory]


def twins() -> list[tuple[Page, Page]]:
    """Every English page with its Spanish twin."""
    by_name = {page.docname: page for page in all_pages()}
    return [
        (page, by_name[spanish])
        for name, page in by_name.items()
        if page.language == "en" and (spanish := twin_of(name, "es")) in by_name
    ]


def notebooks() -> list[Page]:
    """Every page that has code cells."""
    return [page for page in all_pages() if page.has_cells]

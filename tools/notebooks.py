"""Writes the notebook beside every page that has code cells, or checks that it is up to date.

    python tools/notebooks.py [--check] [--jobs N] [paths...]

A page (MyST ``.md``) is the one source. Its ``.ipynb`` is what JupyterLab and launch buttons open
and what ``pytest --nbval`` compares. It is executed through the book's own cache, so nothing runs
twice; its outputs are stripped to the text that nbval compares and to small pictures of its
figures, which nbval does not compare; what JupyterLab does not know (front matter, glue, citations)
is resolved into plain text; and a lab's diagnosis is folded.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from itertools import filterfalse
from os.path import normpath, relpath
from pathlib import Path

import nbformat
from myst_nb.core.read import is_myst_markdown_notebook
from myst_nb.core.variables import format_plain_text
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from pybtex.backends.markdown import Backend as MarkdownBackend

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from course.bibliography import LanguageNeutralStyle, references  # noqa: E402
from course.card import split_front_matter  # noqa: E402
from course.execution import docname_of, execute, fill_cache, seen_by_sphinx  # noqa: E402
from course.languages import DEFAULT_LANGUAGE, language_of  # noqa: E402
from course.strings import STRINGS  # noqa: E402
from folding import fold_diagnosis  # noqa: E402
from minitrain.common.errors import UserError  # noqa: E402
from minitrain.labs.page_texts import PAGE  # noqa: E402
from minitrain.pages.show import HIDDEN, spaced  # noqa: E402
from pictures import alike, small  # noqa: E402

GLUE_ROLE = re.compile(r"\{glue(?::|:text|:any)?\}`([^`]+)`")
GLUE_DIRECTIVE = re.compile(r"^```+\{glue:?[a-z]*\} *(\S+) *\n(.*?)^```+ *$", re.M | re.S)
PANEL = re.compile(r"^(`{4,})\{(explorable|trainer)\} *\S+ *\n(?::.*\n)*(.*?)^\1 *$", re.M | re.S)
OPTION = re.compile(r"^:([a-z]+): *(.*)\n", re.M)
CITATION = re.compile(r"\{footcite:[a-z]+\}`([^`]+)`")
BIBLIOGRAPHY = re.compile(r"^```+\{footbibliography\} *\n```+ *$", re.M)
PAGE_LINK = re.compile(r"\]\(([^)\s:#]+\.md)(#[^)\s]*)?\)")
PICTURE = "image/png"
HIDDEN_IMAGE = f"{HIDDEN}{PICTURE}"
THIS_MACHINE = "this-machine"  # tags a cell whose figure shows times, or rounding noise
DROPPED = re.compile(r"image/|widget-view")
REFERENCE = re.compile(r"\{ref\}`([^`<]+?) *<([^`>]+)>`")
LABEL = re.compile(r"^\(([\w-]+)\)= *$", re.M)
# What the book does not show, JupyterLab folds.
FOLDED = {
    "hide-input": {"source_hidden": True},
    "remove-input": {"source_hidden": True},
    "remove-cell": {"source_hidden": True, "outputs_hidden": True},
}
IMAGE_REFERENCE = re.compile(r"\{(?:numref|ref)\}`([^`<>]+)`")


def pages(paths: list[Path]) -> list[Path]:
    """All pages with code cells in the given files and folders."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(path.rglob("*.md"))
        elif path.is_file():
            found.add(path.with_suffix(".md"))
        else:
            raise FileNotFoundError(path)
    # Path.rglob does not follow book/labs, so a lab is found once, at its own place.
    # JupyterLab leaves copies of saved pages in hidden folders.
    resolved = sorted(path.resolve() for path in found if not hidden(path))
    return [page for page in resolved if is_myst_markdown_notebook(page.read_text("utf-8"))]


def hidden(path: Path) -> bool:
    """Whether a path leads through a hidden folder of the course."""
    relative = path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path
    return any(part.startswith(".") for part in relative.parts)


def plain_text(output: NotebookNode, specification: str) -> str:
    """A glued value as text, formatted as ``{glue:text}`` does."""
    text = format_plain_text(output["data"]["text/plain"], specification)
    return spaced(text) if "," in specification else text


def strip_output(output: NotebookNode) -> NotebookNode | None:
    """The part of an output that is kept: text, and a small picture; None if nothing is left."""
    if output["output_type"] in ("stream", "error"):
        return output
    # nbval ignores pictures and widgets. It compares every other type, so none of these may be
    # missing; the name under which glue(..., display=False) hides an image is such a type.
    if HIDDEN_IMAGE in output["data"]:
        name = output["metadata"]["scrapbook"]["name"]
        raise ValueError(f"glue({name!r}, ...): a figure needs display=True; see CONTRIBUTING.md")
    data = {kind: text for kind, text in output["data"].items() if not DROPPED.search(kind)}
    if PICTURE in output["data"]:
        data[PICTURE] = small(output["data"][PICTURE])
    if not data:
        return None
    kept = {"output_type": output["output_type"], "data": data, "metadata": {}}
    if output["output_type"] == "execute_result":
        kept["execution_count"] = output["execution_count"]
    return NotebookNode(kept)


@cache
def labelled() -> dict[str, Path]:
    """The page on which each label stands that is written before a heading."""
    found: dict[str, Path] = {}
    for folder in (ROOT / "book", ROOT / "labs"):
        for page in filterfalse(hidden, folder.rglob("*.md")):
            found |= dict.fromkeys(LABEL.findall(page.read_text("utf-8")), page.resolve())
    return found


class Resolver:
    """Turns what only the book understands in one page's prose into plain Markdown."""

    def __init__(self, page: Path, glued: dict[str, NotebookNode]) -> None:
        self.page = page
        self.language = language_of(docname_of(page)) or DEFAULT_LANGUAGE
        self.glued = glued
        self.figures: dict[str, int] = {}
        self.cited: list[str] = []

    def resolve(self, source: str) -> str:
        """Everything but references to figures."""
        steps: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
            (PANEL, self._panel),
            (GLUE_DIRECTIVE, self._directive),
            (GLUE_ROLE, self._value),
            (CITATION, self._citation),
            (BIBLIOGRAPHY, self._bibliography),
            (PAGE_LINK, self._link),
            (REFERENCE, self._reference),
        ]
        for pattern, replace in steps:
            source = pattern.sub(replace, source)
        return source

    def resolve_references(self, source: str) -> str:
        """``{numref}`` to a glued figure, once all figures are known."""
        words = STRINGS[self.language]

        def replace(match: re.Match[str]) -> str:
            number = self.figures.get(match[1])
            return match[0] if number is None else f"{words.figure} {number}"

        return IMAGE_REFERENCE.sub(replace, source)

    def _value(self, match: re.Match[str]) -> str:
        key, _, specification = match[1].rpartition(":") if ":" in match[1] else (match[1], "", "")
        if key not in self.glued:
            raise KeyError(f"{self.page}: nothing is glued as {key!r}")
        return plain_text(self.glued[key], specification)

    def _panel(self, match: re.Match[str]) -> str:
        """What stands in the panel's place: the cell above draws an explorable's own panel."""
        content = match[3].strip()
        if match[2] == "explorable" or not content:
            return content
        return f"{PAGE[self.language]['in_notebook']} {content}"

    def _directive(self, match: re.Match[str]) -> str:
        """A figure stays the output of its cell; its caption and alt text become text."""
        options = dict(OPTION.findall(match[2]))
        caption = OPTION.sub("", match[2]).strip()
        words = STRINGS[self.language]
        number = len(self.figures) + 1
        self.figures[options.get("name", str(number))] = number
        text = f"**{words.figure} {number}.** {caption}"
        if "alt" in options:
            text += f"\n\n*{words.alternative_text}: {options['alt']}*"
        return text

    def _citation(self, match: re.Match[str]) -> str:
        numbers = []
        for key in match[1].split(","):
            if key.strip() not in self.cited:
                self.cited.append(key.strip())
            numbers.append(str(self.cited.index(key.strip()) + 1))
        return f"[{', '.join(numbers)}]"

    def _bibliography(self, _match: re.Match[str]) -> str:
        entries = references().entries
        style = LanguageNeutralStyle()
        lines = []
        for number, key in enumerate(self.cited, start=1):
            (formatted,) = style.format_entries([entries[key]])
            lines.append(f"{number}. {formatted.text.render(MarkdownBackend())}")
        return "\n".join(lines)

    def _link(self, match: re.Match[str]) -> str:
        """A link to a page leads to its notebook, at the place where the file really lies."""
        target = Path(normpath(seen_by_sphinx(docname_of(self.page)).parent / match[1])).resolve()
        return f"]({self._path_to(target)}{match[2] or ''})"

    def _reference(self, match: re.Match[str]) -> str:
        """A label on another page, which JupyterLab cannot find, becomes a link to that page."""
        here = self.page.resolve()
        target = labelled().get(match[2], here)
        if target == here:
            return match[0]
        return f"[{match[1]}]({self._path_to(target)}#{match[2]})"

    def _path_to(self, target: Path) -> str:
        if target.exists() and is_myst_markdown_notebook(target.read_text("utf-8")):
            target = target.with_suffix(".ipynb")
        return Path(relpath(target, self.page.parent)).as_posix()


def build(page: Path) -> str:
    """The text of the notebook beside a page."""
    executed, glued = execute(docname_of(page))
    resolver = Resolver(page, glued)
    counter = 0
    # What a cell prints arrives in pieces, as the kernel's timing has it.
    executed, _ = CoalesceStreamsPreprocessor().preprocess(executed, {})
    if split_front_matter(page.read_text("utf-8"))[0].get("course", {}).get("kind") == "lab":
        executed.cells = fold_diagnosis(executed.cells)
    for index, cell in enumerate(executed.cells):
        cell["id"] = f"cell-{index:03d}"
        if cell["cell_type"] == "markdown":
            cell["source"] = resolver.resolve(cell["source"])
        elif cell["cell_type"] == "code":
            counter += 1
            cell["execution_count"] = counter
            cell["metadata"].pop("execution", None)
            for tag in cell["metadata"].get("tags", []):
                if tag in FOLDED:
                    cell["metadata"]["jupyter"] = FOLDED[tag]
            cell["outputs"] = [kept for out in cell["outputs"] if (kept := strip_output(out))]
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = counter
    for cell in executed.cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = resolver.resolve_references(cell["source"])
    executed["metadata"] = NotebookNode(
        kernelspec=executed["metadata"]["kernelspec"], language_info={"name": "python"}
    )
    executed["nbformat"], executed["nbformat_minor"] = 4, 5
    nbformat.validate(executed)
    return nbformat.writes(executed, version=4) + "\n"


def out_of_step(stored: str, built: str) -> list[str]:
    """The cells of a stored notebook that are not what was built now; pictures may be near enough.

    Any machine draws the same picture but for rounding, unless its cell is tagged `this-machine`.
    """
    old, new = (nbformat.reads(text, as_version=4) for text in (stored, built))
    if len(old.cells) != len(new.cells) or old.metadata != new.metadata:
        return [f"{len(old.cells)} cells, built: {len(new.cells)}, or other metadata"]
    return [
        f"cell {index}: {two.source[:60]!r}"
        for index, (one, two) in enumerate(zip(old.cells, new.cells, strict=True))
        if not _same_cell(one, two)
    ]


def with_stored_outputs(stored: str, built: str) -> str:
    """What was built, with the outputs of a stored notebook wherever they are as good.

    So a page is not changed by another machine's rounding, and twins keep the same pictures.
    """
    old, new = (nbformat.reads(text, as_version=4) for text in (stored, built))
    kept = {cell.source: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in new.cells:
        before = kept.get(cell.source)
        if before is not None and _same_cell(deepcopy(before), deepcopy(cell)):
            cell.outputs = before.outputs
    return nbformat.writes(new, version=4) + "\n"


def _same_cell(one: NotebookNode, two: NotebookNode) -> bool:
    (text, pictures), (other, new) = map(_without_pictures, (one, two))
    if text != other or len(pictures) != len(new):
        return False
    if THIS_MACHINE in two.metadata.get("tags", []):
        return True
    return all(map(alike, pictures, new))


def _without_pictures(cell: NotebookNode) -> tuple[NotebookNode, list[str]]:
    pictures = [
        output.data.pop(PICTURE)
        for output in cell.get("outputs", [])
        if PICTURE in output.get("data", {})
    ]
    return cell, pictures


def main(arguments: list[str] | None = None) -> int:
    """Write or check the notebooks of the given pages; of all pages if none are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; name what is stale")
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "book", ROOT / "labs"])
    parser.add_argument("--jobs", type=int, default=1, help="pages to execute at once")
    options = parser.parse_args(arguments)

    todo = pages(options.paths)
    if options.jobs > 1:
        try:
            fill_cache([docname_of(page) for page in todo], options.jobs)
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
    stale = []
    for page in todo:
        notebook = page.with_suffix(".ipynb")
        text = build(page)
        if notebook.exists():
            stored = notebook.read_text("utf-8")
            if not out_of_step(stored, text):
                continue
            text = with_stored_outputs(stored, text)
        stale.append(notebook.relative_to(ROOT))
        if not options.check:
            notebook.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'is stale; run `make notebooks`' if options.check else 'written'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

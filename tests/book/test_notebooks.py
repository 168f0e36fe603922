"""The notebook beside each page is what JupyterLab opens and nbval compares: in step, executed."""

from __future__ import annotations

import base64
import io
import re

import nbformat
import pytest
from nbformat import v4
from pages import ROOT, Page, all_pages, notebooks
from PIL import Image

import notebooks as tool

PNG = "image/png"
FOLDED = "jp-MarkdownHeadingCollapsed"

each_notebook = pytest.mark.parametrize("page", notebooks(), ids=lambda page: page.docname)


@each_notebook
def test_the_notebook_is_in_step_with_its_page(page: Page) -> None:
    assert page.notebook_path.exists(), "run make notebooks"
    stored = page.notebook_path.read_text(encoding="utf-8")
    assert tool.out_of_step(stored, tool.build(page.path)) == []


@each_notebook
def test_every_code_cell_was_executed(page: Page) -> None:
    cells = [cell for cell in page.notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_some_output_is_compared(page: Page) -> None:
    assert any(cell.get("outputs") for cell in page.notebook.cells)


@each_notebook
def test_outputs_are_text_and_small_pictures(page: Page) -> None:
    """A look at a notebook shows its figures; nbval ignores pictures, and compares the text."""
    for cell in page.notebook.cells:
        for output in cell.get("outputs", []):
            kinds = set(output.get("data", {}))
            assert not any("image/" in kind or "widget" in kind for kind in kinds - {PNG})
            if PNG in kinds:
                assert "text/plain" in kinds
                assert len(output.data[PNG]) < 60_000
            else:
                assert "<Figure" not in output.get("data", {}).get("text/plain", "")
    assert "widgets" not in page.notebook.metadata


@each_notebook
def test_a_labs_diagnosis_is_folded(page: Page) -> None:
    cells = page.notebook.cells
    folded = [i for i, cell in enumerate(cells) if cell.metadata.get(FOLDED)]
    if page.course.get("kind") != "lab":
        assert not folded
        return
    (hints,) = (i for i, cell in enumerate(cells) if "hint-direct" in cell.source)
    assert folded[0] == hints + 1
    for i, cell in enumerate(cells):
        if i > hints and re.search(r"^## ", cell.source, re.M):
            assert i in folded
            assert len(cell.source.splitlines()) <= 2  # the heading and its label


@each_notebook
def test_nothing_is_written_to_stderr(page: Page) -> None:
    """nbval compares it, and progress bars differ from run to run."""
    streams = [
        output.name
        for cell in page.notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    assert "stderr" not in streams


@each_notebook
def test_prose_holds_nothing_that_only_the_book_understands(page: Page) -> None:
    prose = "\n".join(cell.source for cell in page.notebook.cells if cell.cell_type == "markdown")
    for mark in ("{glue", "{footcite", "{footbibliography", "{explorable", "{trainer"):
        assert mark not in prose


@each_notebook
def test_links_and_labels_lead_somewhere(page: Page) -> None:
    """JupyterLab knows the labels of the notebook that is open, and no others."""
    prose = "\n".join(cell.source for cell in page.notebook.cells if cell.cell_type == "markdown")
    for label in re.findall(r"\{(?:ref|numref)\}`[^`]*<([^`>]+)>`", prose):
        assert f"({label})=" in prose or f":label: {label}\n" in prose, label
    for path in re.findall(r"\]\(([^)\s:#]+\.(?:ipynb|md))", prose):
        assert (page.notebook_path.parent / path).exists(), path


@each_notebook
def test_what_the_book_does_not_show_is_folded(page: Page) -> None:
    for cell in page.notebook.cells:
        hidden = {"remove-cell", "remove-input", "hide-input"} & set(cell.metadata.get("tags", []))
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == bool(hidden)


def test_no_notebook_is_without_a_page() -> None:
    folders = (ROOT / "book" / "en", ROOT / "book" / "es", ROOT / "labs")
    found = {
        path
        for folder in folders
        for path in folder.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert found == {page.notebook_path for page in notebooks()}


def test_a_stale_notebook_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, other = notebooks()[:2]
    changed = other.notebook_path.read_text(encoding="utf-8")
    monkeypatch.setattr(tool, "build", lambda _page: changed)
    assert tool.main(["--check", str(page.path)]) == 1
    assert str(page.notebook_path.relative_to(ROOT)) in capsys.readouterr().out
    assert page.notebook_path.read_text(encoding="utf-8") != changed


def notebook_with_picture(colour: str, *tags: str, text: str = "figure") -> str:
    image, buffer = Image.new("RGB", (8, 8), colour), io.BytesIO()
    image.save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    output = v4.new_output("display_data", {PNG: picture, "text/plain": text})
    cell = v4.new_code_cell("draw()", id="one", outputs=[output], metadata={"tags": list(tags)})
    return nbformat.writes(v4.new_notebook(cells=[cell]))


def test_a_picture_is_compared_unless_it_shows_this_machine() -> None:
    white, black = (notebook_with_picture(colour) for colour in ("white", "black"))
    assert tool.out_of_step(white, white) == []
    assert tool.out_of_step(white, black) == ["cell 0: 'draw()'"]
    tag = tool.THIS_MACHINE
    mine, other = (notebook_with_picture(colour, tag) for colour in ("white", "black"))
    assert tool.out_of_step(mine, other) == []
    more = notebook_with_picture("black", tag, text="more")
    assert tool.out_of_step(mine, more) != []
    assert tool.with_stored_outputs(mine, other) == tool.with_stored_outputs(mine, mine)
    assert tool.with_stored_outputs(mine, more) == tool.with_stored_outputs(more, more)


def test_pages_without_cells_get_no_notebook() -> None:
    plain = [page for page in all_pages() if not page.has_cells]
    assert not [page.docname for page in plain if page.notebook_path.exists()]


def test_copies_that_jupyterlab_leaves_are_no_pages() -> None:
    folder = ROOT / "labs" / "es" / ".ipynb_checkpoints"
    assert tool.hidden(folder / "18-x-checkpoint.md")
    assert not tool.hidden(folder.parent / "18-x.md")

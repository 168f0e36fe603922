"""The notebook beside each page is what nbval compares: in step, executed, and only text."""

from __future__ import annotations

import re

import pytest
from pages import ROOT, Page, all_pages, notebooks

import notebooks as tool

each_notebook = pytest.mark.parametrize("page", notebooks(), ids=lambda page: page.docname)


@each_notebook
def test_the_notebook_is_in_step_with_its_page(page: Page) -> None:
    assert page.notebook_path.exists(), "run make notebooks"
    assert tool.build(page.path) == page.notebook_path.read_text(encoding="utf-8")


@each_notebook
def test_every_code_cell_was_executed(page: Page) -> None:
    cells = [cell for cell in page.notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_some_output_is_compared(page: Page) -> None:
    assert any(cell.get("outputs") for cell in page.notebook.cells)


@each_notebook
def test_outputs_are_text(page: Page) -> None:
    kinds = {
        kind
        for cell in page.notebook.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert not [kind for kind in kinds if "image/" in kind or "widget" in kind]
    assert "widgets" not in page.notebook.metadata


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
    for mark in ("{glue", "{footcite", "{footbibliography", "{explorable"):
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
    page = notebooks()[0]
    monkeypatch.setattr(tool, "build", lambda _page: "changed")
    assert tool.main(["--check", str(page.path)]) == 1
    assert str(page.notebook_path.relative_to(ROOT)) in capsys.readouterr().out
    assert page.notebook_path.read_text(encoding="utf-8") != "changed"


def test_pages_without_cells_get_no_notebook() -> None:
    plain = [page for page in all_pages() if not page.has_cells]
    assert not [page.docname for page in plain if page.notebook_path.exists()]


def test_copies_that_jupyterlab_leaves_are_no_pages() -> None:
    folder = ROOT / "labs" / "es" / ".ipynb_checkpoints"
    assert tool.hidden(folder / "18-x-checkpoint.md")
    assert not tool.hidden(folder.parent / "18-x.md")

"""What a page's outputs rest on: when that changes, the page is executed again, and else not."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from course import sources
from minitrain.runs import experiments

SWEEP = "18-lambda-sweep"


def notebook(*cells: str) -> NotebookNode:
    return v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])


def rests_on(page: NotebookNode, file: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a change of that file makes the page's entry stale."""
    before, digest = sources.of(page), sources._digest

    def changed(path: Path) -> bytes:
        return b"changed" if path == sources.ROOT / file else digest(path)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "_digest", changed)
        sources.everything.cache_clear()
        after = sources.of(page)
    sources.everything.cache_clear()
    return before != after


PICTURES = notebook("import torch", "from minitrain.pages import plots, show")
RUNS = notebook(f"from minitrain.runs import experiments\nexperiments.load('{SWEEP}')")
COMMAND = notebook("import subprocess\nsubprocess.run(['minitrain', 'train'])")
SHELL = notebook("!minitrain train x")


@pytest.mark.parametrize(
    ("page", "file", "expected"),
    [
        (PICTURES, "src/minitrain/pages/show.py", True),
        (PICTURES, "src/minitrain/__init__.py", True),
        (PICTURES, "src/minitrain/common/errors.py", True),  # by way of another module
        (PICTURES, "src/minitrain/labs/page_texts.py", False),
        (PICTURES, "src/minitrain/command_line/main.py", False),
        (RUNS, f"experiments/{SWEEP}/config.yaml", True),
        (RUNS, "experiments/18-interventions/config.yaml", False),
        (COMMAND, "src/minitrain/command_line/main.py", True),
        (COMMAND, "kernel/minitrain.c", True),
        (COMMAND, "experiments/18-interventions/config.yaml", True),
        (SHELL, "src/minitrain/labs/page_texts.py", True),
    ],
)
def test_a_page_rests_on_what_it_imports(
    page: NotebookNode, file: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (sources.ROOT / file).exists()
    assert rests_on(page, file, monkeypatch) == expected


def test_the_modules_that_read_files_are_those() -> None:
    """Their names are written down in `sources`."""
    assert experiments.__name__ == sources.READS_EXPERIMENTS
    assert {sources.COMPILES, sources.READS_ALL_EXPERIMENTS} < sources.imports().modules

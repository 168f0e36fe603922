"""A lab's notebook hides what comes after the hints, heading by heading."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell

from folding import FOLDED_HEADING, fold_diagnosis

HINTS = "## Hints\n\n:class-container: hint-direct\nlook\n\n"


def test_headings_after_the_hints_get_cells_of_their_own() -> None:
    see = "See {ref}`below <why>` and {ref}`here <turn>`."
    cells = [
        new_markdown_cell(f"(turn)=\n## Your turn\n\n{see}"),
        new_code_cell("workbench(lab)"),
        new_markdown_cell(f"{HINTS}(why)=\n## Why\n\nText\n\n### Rung\n\nmore\n"),
        new_code_cell("1"),
        new_markdown_cell("on\n\n```\n## a comment\n```\n\n## Next\n\nend"),
    ]
    folded = fold_diagnosis(cells)
    assert [(cell.cell_type, cell.source) for cell in folded] == [
        ("markdown", "(turn)=\n## Your turn\n\nSee below and {ref}`here <turn>`."),
        ("code", "workbench(lab)"),
        ("markdown", HINTS.strip()),
        ("markdown", "(why)=\n## Why"),
        ("markdown", "Text\n\n### Rung\n\nmore"),
        ("code", "1"),
        ("markdown", "on\n\n```\n## a comment\n```"),
        ("markdown", "## Next"),
        ("markdown", "end"),
    ]
    assert [i for i, cell in enumerate(folded) if cell.metadata == FOLDED_HEADING] == [3, 7]


def test_without_hints_nothing_is_folded() -> None:
    cells = [new_markdown_cell("## One\n\ntext\n\n## Two\n\ntext")]
    assert [cell.source for cell in fold_diagnosis(cells)] == ["## One\n\ntext\n\n## Two\n\ntext"]

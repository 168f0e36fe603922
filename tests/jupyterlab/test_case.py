"""A reader in JupyterLab: a case on its bench, to the line and to the repaired code, in Spanish."""

from __future__ import annotations

from menus import choose
from places import CASE
from playwright.sync_api import Page, expect

from minitrain.labs.bench_texts import BENCH
from minitrain.labs.bench_texts import CASE as SENTENCES
from minitrain.labs.case import Case

LANGUAGE = "es"
PLACE = "optim.Adam.step"


def test_a_case_from_the_first_page_to_the_repair(page: Page, complaints: list[str]) -> None:
    said, case = BENCH[LANGUAGE] | SENTENCES[LANGUAGE], Case(CASE)
    page.locator(f".jp-MarkdownViewer a[href*='labs/{LANGUAGE}/{CASE}']").first.click()
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    choose(page, "Run", "Run All Cells")

    panel = page.locator(".minitrain-panel")
    expect(panel).to_contain_text(said["not_used"])
    panel.get_by_text(case.fault.request.title[LANGUAGE]).click()
    expect(panel.locator("table tr").first).to_be_visible()
    panel.get_by_text(said["checks"], exact=True).click()
    panel.get_by_role("button", name="zero_gradient", exact=True).click()
    expect(panel).to_contain_text(case.instrument("zero_gradient").evidence)

    field = panel.locator("input[type=text]")
    ((file, line),) = case.fault.wrong
    innocent = f"{file}:{line + 3}"
    why = case.fault.request.cleared[innocent][LANGUAGE]
    for place, sentence in ((innocent, "cleared_line"), (f"{file}:{line}", "right_line")):
        field.fill(place)
        field.press("Enter")
        expect(panel).to_contain_text(said[sentence].format(place=place, why=why))
    expect(panel).to_contain_text(said["score"].format(number=1, answers=2))

    # Below the panel, in a cell of their own, the reader mends the code: one word of it.
    mended = case.code(PLACE).replace("decoupled", "adamw")
    assert mended != case.code(PLACE)
    page.locator(".jp-Notebook .jp-CodeCell", has=panel).locator(".jp-InputPrompt").click()
    page.locator("[data-command='notebook:insert-cell-below']").first.click()
    page.locator(".jp-Notebook .jp-Cell.jp-mod-active .cm-content").click()
    page.keyboard.insert_text(f'{mended}\n\ncase.repair("{PLACE}", step)')
    page.keyboard.press("Shift+Enter")
    steps = case.config("healthy").steps
    expect(page.locator(".jp-Notebook")).to_contain_text(said["repaired"].format(steps=steps))
    assert not complaints

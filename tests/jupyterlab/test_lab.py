"""A reader in JupyterLab: from the first page through a lab to its answer, in English."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from menus import choose
from places import LAB, ROOT, WORK
from playwright.sync_api import Locator, Page, expect

from minitrain.common.messages import say
from minitrain.labs.texts import TEXTS


class Panel:
    """The panel of the lab that is open."""

    def __init__(self, page: Page, language: str) -> None:
        self.text = TEXTS[language]
        self.trained = say("runs_done", total=1).text(language)
        self.all = page.locator(".minitrain-panel")
        self.changes = self.all.locator("textarea")
        self.answer = self.all.locator("input[type=text]")
        self.status = self.all.get_by_role("status")
        self.picture = self.all.locator("img")
        self.dead = page.locator("p[class$='-dead']")

    def button(self, name: str) -> Locator:
        return self.all.get_by_role("button", name=self.text[name], exact=True)


def tracked_changes() -> str:
    """What git sees of the course's notebooks."""
    status = ["git", "status", "--porcelain", "--", "book", "labs"]
    return subprocess.run(status, cwd=ROOT, capture_output=True, text=True).stdout


def test_a_lab_from_the_first_page_to_the_answer(page: Page, complaints: list[str]) -> None:
    language = "en"  # the case is driven in Spanish
    before = tracked_changes()
    page.locator(f".jp-MarkdownViewer a[href*='labs/{language}/{LAB}']").first.click()
    panel = Panel(page, language)
    run_all_stops_at_the_panel(page, panel, ROOT / WORK / "labs" / language / f"{LAB}.ipynb")
    stop_stops(panel)
    wrong_answers_say_what_they_contradict(panel)
    the_healthy_run_is_recognised(panel)
    the_right_answer_is_found(panel)
    assert not complaints
    a_restart_says_what_to_do(page, panel)  # at which JupyterLab itself complains
    assert tracked_changes() == before


def run_all_stops_at_the_panel(page: Page, panel: Panel, copy: Path) -> None:
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    choose(page, "Run", "Run All Cells")
    expect(panel.button("train")).to_be_visible()
    expect(panel.dead).to_be_hidden()
    expect(panel.answer).to_have_attribute("placeholder", panel.text["placeholder"])
    # The store lacked one run: while it was trained, a line said so.
    expect(page.get_by_text(panel.trained)).to_be_attached()
    choose(page, "File", "Save Notebook")
    deadline = time.monotonic() + 60
    while not only_above_the_panel_ran(copy) and time.monotonic() < deadline:
        page.wait_for_timeout(500)
    assert only_above_the_panel_ran(copy)
    expect(page.get_by_role("button", name="cells hidden").first).to_be_attached()  # the diagnosis


def only_above_the_panel_ran(copy: Path) -> bool:
    cells = [cell for cell in json.loads(copy.read_text())["cells"] if "outputs" in cell]
    executed = [cell["execution_count"] is not None for cell in cells]
    panel_at = next(i for i, cell in enumerate(cells) if "workbench(lab)" in cell["source"][0])
    return executed == [i <= panel_at for i in range(len(cells))]


def stop_stops(panel: Panel) -> None:
    panel.changes.fill("seed=7")
    panel.button("train").click()
    time_left = panel.text["step_left"].split("{steps}")[1].split("{")[0]
    expect(panel.all).to_contain_text(f"1200{time_left}")
    expect(panel.button("train")).to_be_disabled()
    panel.button("stop").click()
    expect(panel.status).to_have_text(panel.text["stopped"], timeout=20_000)
    expect(panel.button("train")).to_be_enabled()


def wrong_answers_say_what_they_contradict(panel: Panel) -> None:
    panel.answer.fill("learning_rate=0.001")
    panel.answer.press("Enter")
    expect(panel.status).to_contain_text("✗ optimizer.learning_rate=0.001")
    same = panel.text["same"].format(key="optimizer.learning_rate", healthy=0.007)
    expect(panel.status).to_contain_text(same)
    panel.answer.fill("learning_rat=0.001")
    panel.button("check").click()
    expect(panel.status).to_contain_text("optimizer.learning_rate?")


def the_healthy_run_is_recognised(panel: Panel) -> None:
    panel.changes.fill("weight_decay=1.0")
    panel.button("train").click()
    expect(panel.status).to_contain_text(panel.text["is_healthy"])
    expect(panel.picture).to_be_visible()


def the_right_answer_is_found(panel: Panel) -> None:
    panel.answer.fill("weight_decay=1")
    panel.answer.press("Enter")
    expect(panel.picture).to_be_visible()  # the reader's run is still theirs to look at
    expect(panel.status).to_contain_text(panel.text["fixed"])
    expect(panel.status).to_contain_text("✓")


def a_restart_says_what_to_do(page: Page, panel: Panel) -> None:
    choose(page, "Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    expect(panel.dead).to_be_visible()
    expect(panel.dead).to_have_text(panel.text["dead"])

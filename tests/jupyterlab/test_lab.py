"""A reader in JupyterLab: from the first page through a lab to its answer, in both languages."""

from __future__ import annotations

import subprocess

import pytest
from playwright.sync_api import Locator, Page, expect

from conftest import LAB, ROOT, WORK
from minitrain.labs.texts import TEXTS


class Panel:
    """The panel of the lab that is open."""

    def __init__(self, page: Page, language: str) -> None:
        self.text = TEXTS[language]
        self.all = page.locator(".minitrain-panel")
        self.changes = self.all.locator("textarea")
        self.answer = self.all.locator("input[type=text]")
        self.status = self.all.get_by_role("status")
        self.picture = self.all.locator("img")
        self.dead = page.locator("p[class$='-dead']")

    def button(self, name: str) -> Locator:
        return self.all.get_by_role("button", name=self.text[name], exact=True)


def said(sentence: str) -> str:
    """What a sentence says before the first of its values, or after the last one."""
    before, after = sentence.split("{")[0], sentence.split("}")[-1]
    return max(before, after, key=len).strip()


def choose(page: Page, menu: str, entry: str) -> None:
    page.locator(".lm-MenuBar-item").get_by_text(menu, exact=True).click()
    page.locator(".lm-Menu-item").filter(has_text=entry).first.click()


def tracked_changes() -> str:
    """What git sees of the course's notebooks."""
    status = ["git", "status", "--porcelain", "--", "book", "labs"]
    return subprocess.run(status, cwd=ROOT, capture_output=True, text=True).stdout


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_lab_from_the_first_page_to_the_answer(page: Page, server: str, language: str) -> None:
    before = tracked_changes()
    page.goto(server)
    page.locator(f".jp-MarkdownViewer a[href*='labs/{language}/{LAB}']").first.click()
    panel = Panel(page, language)
    run_all_stops_at_the_panel(page, panel)
    stop_stops(panel)
    wrong_answers_say_what_they_contradict(panel)
    the_healthy_run_is_recognised(panel)
    the_right_answer_is_found(panel)
    a_restart_says_what_to_do(page, panel)
    assert tracked_changes() == before
    assert (ROOT / WORK / "labs" / language / f"{LAB}.ipynb").exists()


def run_all_stops_at_the_panel(page: Page, panel: Panel) -> None:
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    choose(page, "Run", "Run All Cells")
    expect(panel.button("train")).to_be_visible()
    expect(panel.dead).to_be_hidden()
    expect(panel.answer).to_have_attribute("placeholder", panel.text["placeholder"])
    # The store lacked one run: while it was trained, a line said so.
    one_run = TEXTS and {"Train": "1/1 runs trained", "Entrenar": "1/1 ejecuciones entrenadas"}
    expect(page.get_by_text(one_run[panel.text["train"]]).first).to_be_attached()
    executed = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").all_inner_texts()
    panel_at = next(
        i
        for i, text in enumerate(page.locator(".jp-Notebook .jp-CodeCell").all_inner_texts())
        if "workbench(lab)" in text
    )
    assert executed[panel_at].strip("[]: ").isdigit()
    for prompt in executed[panel_at + 1 :]:
        assert not prompt.strip("[]: ")
    # The diagnosis is there, folded, and none of its cells is on the screen.
    expect(page.locator(".jp-Notebook").get_by_text('lab.check("optimizer.weight')).to_have_count(0)


def stop_stops(panel: Panel) -> None:
    panel.changes.fill("seed=7")
    panel.button("train").click()
    steps = {"Train": "of 1200, about", "Entrenar": "de 1200, faltan unos"}
    expect(panel.all).to_contain_text(steps[panel.text["train"]])
    expect(panel.button("train")).to_be_disabled()
    panel.button("stop").click()
    expect(panel.status).to_have_text(panel.text["stopped"], timeout=20_000)
    expect(panel.button("train")).to_be_enabled()


def wrong_answers_say_what_they_contradict(panel: Panel) -> None:
    panel.answer.fill("learning_rate=0.001")
    panel.answer.press("Enter")
    expect(panel.status).to_contain_text("✗ optimizer.learning_rate=0.001")
    expect(panel.status).to_contain_text(said(panel.text["same"]))
    panel.answer.fill("learning_rat=0.001")
    panel.button("check").click()
    expect(panel.status).to_contain_text("optimizer.learning_rate?")
    panel.answer.fill("weight_decay=0.1")
    panel.button("check").click()
    expect(panel.status).to_contain_text("0.1.")
    expect(panel.status).to_contain_text(
        panel.text["higher"].format(key="optimizer.weight_decay", typed="0.1")
    )


def the_healthy_run_is_recognised(panel: Panel) -> None:
    panel.changes.fill("weight_decay=1.0")
    panel.button("train").click()
    expect(panel.status).to_contain_text(panel.text["is_healthy"])
    expect(panel.picture).to_be_visible()


def the_right_answer_is_found(panel: Panel) -> None:
    panel.answer.fill("weight_decay=1")
    panel.answer.press("Enter")
    expect(panel.picture).to_be_hidden()  # the curves were those of another run
    expect(panel.status).to_contain_text(panel.text["fixed"])
    expect(panel.status).to_contain_text("✓")


def a_restart_says_what_to_do(page: Page, panel: Panel) -> None:
    choose(page, "Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    expect(panel.dead).to_be_visible()
    expect(panel.dead).to_have_text(panel.text["dead"])

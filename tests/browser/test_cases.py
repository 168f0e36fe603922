"""The cases of phase 19 in the built pages, from the first look at the bench to the answer."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from minitrain.labs.bench_texts import BENCH, CASE
from minitrain.labs.case import Case
from minitrain.labs.page_texts import PAGE
from minitrain.labs.texts import TEXTS
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store
from minitrain.training.config import patched
from minitrain.training.grid import short

FOUND_BY = {
    "19-the-run-that-hardly-learns": "zero_gradient",
    "19-the-run-that-starts-too-high": "initial_loss",
    "19-the-run-that-is-too-good": "causality.training",
}
SHORT = {"steps": 40, "eval_interval": 20, "schedule.warmup_steps": 10}


def words(language: str) -> dict[str, str]:
    return {**TEXTS[language], **PAGE[language], **BENCH[language], **CASE[language]}


def opened(page: Page, files: str, language: str, name: str) -> Locator:
    page.goto(f"{files}/labs/{language}/{name}.html")
    panel = page.locator(".trainer-panel")
    expect(panel).to_be_visible()
    return panel


def press(panel: Locator, name: str) -> None:
    panel.get_by_role("button", name=name, exact=True).click()


def answer(panel: Locator, said: dict[str, str], text: str) -> Locator:
    panel.get_by_label(said["answer"]).fill(text)
    press(panel, said["check"])
    return panel.locator(".trainer-verdict")


def expect_after_reload(page: Page, locator: Locator, text: str, tries: int = 5) -> None:
    """A browser stores what it was told to keep when it has time: a reload may come before that."""
    for _ in range(tries):
        page.reload()
        expect(locator).not_to_be_empty()
        if locator.inner_text() == text:
            return
        page.wait_for_timeout(2000)
    expect(locator).to_have_text(text)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("name", FOUND_BY)
def test_a_case_from_the_first_look_to_the_answer(
    page: Page, files: str, name: str, language: str
) -> None:
    case, said = Case(name), words(language)
    panel = opened(page, files, language, name)
    score = panel.locator(".bench-score")
    expect(score).to_have_text(said["not_used"])

    request = panel.locator("details").first
    request.locator("summary").click()
    expect(request).to_contain_text(case.fault.request.title[language])
    rows = [row for hunk in case.hunks for row in hunk]
    expect(request.locator("tr")).to_have_count(len(rows))
    right, *_ = sorted(case.fault.wrong)
    added = next(r for r in rows if r.kind == "+" and (r.file, r.number) not in case.fault.wrong)
    innocent = f"{added.file}:{added.number}"
    panel.get_by_role("button", name=innocent, exact=True).first.click()
    expect(panel.get_by_label(said["answer"])).to_have_value(innocent)
    press(panel, said["check"])
    verdict = panel.locator(".trainer-verdict")
    speaks = case.fault.request.cleared.get(innocent)
    why = speaks[language] if speaks else ""
    sentence = said["cleared_line" if speaks else "innocent_line"]
    expect(verdict).to_contain_text(sentence.format(place=innocent, why=why))

    panel.locator("details").nth(2).locator("summary").click()
    for check in (FOUND_BY[name], "repeatable"):
        press(panel, check)
        found = case.instrument(check)
        line = panel.locator("li", has=page.get_by_role("button", name=check, exact=True))
        expect(line).to_contain_text(f"{'✓' if found else '✗'} {found.evidence}")

    expect(answer(panel, said, "nothing")).to_contain_text(
        said["something_wrong"].partition("{")[0]
    )
    assert repr(case.check("nothing"))[2:] in verdict.inner_text()
    unchanged = f"{right[0]}:1"
    expect(answer(panel, said, unchanged)).to_contain_text(
        said["unchanged_line"].format(place=unchanged)
    )
    expect(answer(panel, said, "seed=42")).to_contain_text("healthy 42 = sick 42")
    expect(answer(panel, said, f"{right[0]}:99999")).to_contain_text(
        said["no_line"].format(place=f"{right[0]}:99999")
    )
    expect(answer(panel, said, "no idea")).to_contain_text("'no idea'")
    names = ", ".join([FOUND_BY[name], "repeatable"])
    expect(score).to_have_text(said["used"].format(number=2, names=names, answers=5))

    found, key = case.judged(*right)
    sentence = said[key].format(number=len(case.fault.wrong))
    expect(answer(panel, said, f"{right[0]}:{right[1]}")).to_contain_text(sentence)
    assert found
    expect(score).to_have_text(said["score"].format(number=2, answers=6))
    panel.get_by_role("button", name=said["nothing"], exact=True).click()
    expect(verdict).to_contain_text(said["something_wrong"].partition("{")[0])
    # What was tried after the answer is no part of the score.
    expect_after_reload(page, score, said["score"].format(number=2, answers=6))


def test_what_is_folded_is_not_in_the_table_of_contents(page: Page, files: str) -> None:
    opened(page, files, "en", "19-the-run-that-looks-the-same")
    folded = page.locator(".course-diagnosis")
    entries = page.locator(".page-toc a[href^='#']")
    shown = entries.evaluate_all("all => all.filter((one) => one.offsetParent).length")
    assert 0 < shown < entries.count()
    folded.locator("summary").first.click()
    expect(entries.last).to_be_visible()


@pytest.mark.parametrize("name", FOUND_BY)
def test_the_page_trains_the_sick_code(page: Page, files: str, name: str) -> None:
    case, said = Case(name), words("en")
    panel = opened(page, files, "en", name)
    panel.locator("textarea").fill("\n".join(f"{k}={json.dumps(v)}" for k, v in SHORT.items()))
    press(panel, said["train"])
    config = patched(case.config("sick"), SHORT)
    expected = Store().get(Recipe(config, case.fault.id)).fingerprint
    trained = panel.locator(".trainer-result").first
    expect(trained).to_contain_text(short(expected), timeout=60_000)
    with page.expect_download() as download:
        panel.get_by_role("link", name="run.json").first.click()
    assert json.loads(download.value.path().read_text())["code"] == case.fault.code


def test_a_whole_run_of_the_page_is_the_sick_one(page: Page, files: str) -> None:
    said = words("es")
    panel = opened(page, files, "es", "19-the-run-that-hardly-learns")
    press(panel, said["train"])
    expect(panel.locator(".trainer-result").first).to_contain_text(
        said["is_broken"], timeout=120_000
    )


@pytest.mark.parametrize("name", FOUND_BY)
def test_what_a_page_carries_does_not_say_where_the_fault_is(
    page: Page, files: str, name: str
) -> None:
    """The answer lies in the page, coded; nobody should read it by chance."""
    case = Case(name)
    panel = opened(page, files, "en", name)
    source = panel.locator("xpath=..").locator("script").first.text_content() or ""
    about = json.loads(source)
    assert not re.search(r'"wrong"|"verdicts"', source)
    assert "repair" not in json.dumps(about["bench"])
    for file, line in case.fault.wrong:
        assert f"{file}:{line}" not in source

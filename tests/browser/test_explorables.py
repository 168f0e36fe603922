"""The explorables in the built pages: numbers are the library's, and everybody can move them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import DESKTOP, open_page
from playwright.sync_api import Browser, Locator, Page, expect

from minitrain.pages import decay_timescale, one_weight
from minitrain.pages.explorables import named

PAGES = {
    "one-weight": "phase-18/05-adamw-vs-adam-decoupling",
    "decay-timescale": "phase-18/07-choosing-lambda",
}
LANGUAGES = ("en", "es")
TOLERANCE = 1e-9
PATIENCE = 60
"""Seconds that a busy machine may take to show what the panel was told to."""
# Near zero Adam-L2 swings, with some settings chaotically: the hardest ones are among these.
WEIGHTS: list[tuple[str, dict[str, float]]] = [
    ("zero", {}),
    ("zero", {"theta": 1e-4, "beta1": 0.5, "beta2": 0.6, "learning_rate": 0.007}),
    ("zero", {"theta": 0.03, "beta1": 0.99, "beta2": 0, "steps": 5000}),
    ("constant", {"size": 0.01, "weight_decay": 1, "steps": 300}),
    ("alternating", {"size": 1, "beta1": 0}),
    ("noise", {"size": 0.3, "theta": -1, "learning_rate": 0.01}),
    ("burst", {"theta": 0, "size": 0.004, "learning_rate": 0.03, "weight_decay": 6}),
]
RECIPES: list[dict[str, float]] = [
    {},
    {"learning_rate": 0.001, "batch_size": 3e6},
    {"weight_decay": 100, "warmup": 0, "cosine": 0.3, "final_fraction": 0},
    {"batch_size": 7, "data": 7000, "warmup": 0.123, "final_fraction": 1},
]


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def panel(page: Page, files: str, language: str, name: str) -> Locator:
    page.goto(f"{files}/{language}/{PAGES[name]}.html")
    found = page.locator(f".explorable-{name} .explorable-panel")
    expect(found).to_be_visible()
    return found


def fill(panel: Locator, values: dict[str, float]) -> None:
    for key, value in values.items():
        panel.locator(f"input[data-handle={key}]").fill(str(value))


def results(panel: Locator) -> dict[str, list[float | None]]:
    """The table of results: the numbers behind what is shown."""
    found: dict[str, list[float | None]] = {}
    for cell in panel.locator(".explorable-results td[data-row]").all():
        value = str(cell.get_attribute("data-value"))
        row = found.setdefault(str(cell.get_attribute("data-row")), [])
        row.append(None if value == "null" else float(value))
    return found


def eventually(page: Page, holds: Callable[[], bool]) -> bool:
    """Whether something holds now, or after a while."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        page.wait_for_timeout(100)
    return True


def close(expected: Any, found: Any) -> bool:
    """Whether two nests of numbers agree; what is not a number in one is none in the other."""
    if isinstance(expected, dict):
        return expected.keys() == found.keys() and all(close(expected[k], found[k]) for k in found)
    if isinstance(expected, list | tuple):
        return len(expected) == len(found) and all(map(close, expected, found))
    if expected is None or math.isnan(expected):
        return found is None or math.isnan(found)
    return math.isclose(expected, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def curves(page: Page, name: str, choice: str, values: dict[str, float]) -> dict[str, list[Any]]:
    """All that the panel draws of these values, by chart: the values of each series."""
    found: dict[str, list[Any]] = page.evaluate(
        """([name, choice, values]) => Object.fromEntries(
             Object.entries(course.explorables.compute[name](choice, values).charts)
               .map(([key, chart]) => [key, chart.series.map((series) => series.values)]))""",
        [name, choice, values],
    )
    return found


@pytest.mark.parametrize("name", ["one-weight"], scope="module")
@pytest.mark.parametrize(("stream", "changes"), WEIGHTS)
def test_the_paths_of_a_weight_are_the_librarys(
    panel: Locator, page: Page, name: str, stream: str, changes: dict[str, float]
) -> None:
    explorable = named(name)
    values = {**explorable.start, **changes}
    panel.locator("select").select_option(stream)
    fill(panel, changes)
    rows = explorable.rows(stream, values)
    assert eventually(page, lambda: close(rows, results(panel)))
    settings = one_weight.Settings(**{**values, "stream": stream})  # type: ignore[arg-type]
    paths = one_weight.paths(settings).values()
    drawn = curves(page, name, stream, values)
    for key in ("theta", "m_hat", "root_v_hat"):
        assert close([getattr(path, key) for path in paths], drawn[key]), key


@pytest.mark.parametrize("name", ["decay-timescale"], scope="module")
@pytest.mark.parametrize("preset", decay_timescale.recipes())
def test_a_preset_shows_the_librarys_numbers(panel: Locator, name: str, preset: str) -> None:
    panel.locator("select").select_option(preset)
    explorable = named(name)
    rows = explorable.rows(preset, explorable.choices[preset])
    assert eventually(panel.page, lambda: close(rows, results(panel)))


@pytest.mark.parametrize("name", ["decay-timescale"], scope="module")
@pytest.mark.parametrize("changes", RECIPES)
def test_what_a_recipe_forgets_is_the_librarys(
    panel: Locator, page: Page, name: str, changes: dict[str, float]
) -> None:
    explorable = named(name)
    values = {**explorable.start, **changes}
    fill(panel, changes)
    expect(panel.locator("select")).to_have_value("own" if changes else explorable.first)
    rows = explorable.rows("own", values)
    assert eventually(page, lambda: close(rows, results(panel)))
    found = decay_timescale.forgetting(decay_timescale.Recipe(**values))
    drawn = curves(page, name, "own", values)
    presets = [decay_timescale.forgetting(r).kept for r in decay_timescale.recipes().values()]
    assert close([found.kept, *presets], drawn["kept"])
    assert close([found.memory], drawn["memory"])


def test_the_panel_takes_the_place_of_the_picture(panel: Locator, page: Page, name: str) -> None:
    figure = page.locator(f".explorable-{name} > figure")
    expect(figure.locator("img")).to_be_hidden()
    expect(page.locator(".explorable > .course-panel-off")).to_be_hidden()
    expect(figure.locator("figcaption")).to_be_visible()
    expect(panel.locator("canvas").first).to_be_visible()


def test_every_handle_has_a_name_and_moves_by_keyboard(panel: Locator) -> None:
    sliders = panel.get_by_role("slider")
    boxes = panel.get_by_role("textbox")
    assert sliders.count() == boxes.count() == len(panel.locator(".explorable-handle").all()) - 1
    for slider, box in zip(sliders.all(), boxes.all(), strict=True):
        assert slider.get_attribute("aria-label")
        before = box.input_value()
        slider.focus()
        slider.press("End" if slider.input_value() == "0" else "Home")
        assert box.input_value() != before
        assert slider.get_attribute("aria-valuetext") == box.input_value()


def test_bad_input_is_one_line_in_the_pages_language(panel: Locator, language: str) -> None:
    box = panel.locator("input[data-handle=weight_decay]")
    status = panel.get_by_role("status")
    for text in ("", "0,1", "abc", "-1", "1e9", "1e999"):
        box.fill(text)
        expect(status).to_contain_text("λ: tiene que ser" if language == "es" else "λ: expected")
        expect(status).to_contain_text(f"'{text}'" if text in ("0,1", "abc", "") else text)
        expect(box).to_have_attribute("aria-invalid", "true")
        status.evaluate("status => { status.textContent = ''; }")
    box.fill("0.5")
    expect(status).not_to_contain_text("λ:")
    expect(status).not_to_be_empty()
    assert box.get_attribute("aria-invalid") is None


def test_numbers_that_do_not_go_together_are_one_line(panel: Locator) -> None:
    fill(panel, {"learning_rate": 1, "weight_decay": 2})
    expect(panel.get_by_role("status")).to_contain_text("ηλ: ")
    expect(panel.get_by_role("status")).to_contain_text("2")


def test_the_live_region_waits_until_the_reader_rests(panel: Locator, page: Page) -> None:
    page.wait_for_timeout(1000)
    panel.evaluate(
        """panel => {
             window.said = 0;
             new MutationObserver(() => { window.said += 1; })
               .observe(panel.querySelector("[role=status]"), { childList: true });
           }"""
    )
    slider = panel.get_by_role("slider").nth(2)
    for _ in range(15):
        slider.press("ArrowRight")
    assert eventually(page, lambda: page.evaluate("window.said") > 0)
    page.wait_for_timeout(1500)
    # Once; on a machine so slow that the reader seems to rest between two keys, a few times.
    assert page.evaluate("window.said") <= 3


def test_the_reader_can_start_again(panel: Locator, name: str) -> None:
    explorable = named(name)
    panel.locator("select").select_option(list(explorable.choices)[2])
    fill(panel, {"weight_decay": 0.7})
    panel.get_by_role("button").click()
    expect(panel.locator("select")).to_have_value(explorable.first)
    for handle in explorable.handles:
        shown = panel.locator(f"input[data-handle={handle.key}]").input_value()
        assert float(shown) == explorable.start[handle.key]


def test_charts_have_tables_and_show_values_to_the_keyboard(panel: Locator, name: str) -> None:
    chart = panel.locator("figure.course-chart").first
    chart.locator("summary").click()
    rows = chart.locator("tbody tr")
    expect(rows.last).to_be_attached()
    assert 90 <= rows.count() <= 102
    plot = chart.locator(".course-chart-plot")
    plot.focus()
    plot.press("End")
    last = rows.last.locator("td").all_inner_texts()
    expect(chart.locator("figcaption")).to_contain_text(last[0])
    expect(chart.locator(".course-chart-legend .course-chart-value").first).to_have_text(last[1])
    samples = chart.locator(".course-chart-legend line")
    dashes = {line.get_attribute("stroke-dasharray") for line in samples.all()}
    assert len(dashes) == samples.count() > 1


def test_colours_follow_the_theme(panel: Locator, page: Page) -> None:
    ink = "plot => plot.querySelector('canvas').toDataURL()"
    plot = panel.locator(".course-chart-plot").first
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.wait_for_timeout(1000)
    light = plot.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert eventually(page, lambda: plot.evaluate(ink) != light)


@pytest.fixture
def still(browser: Browser) -> Iterator[Page]:
    """A page of a browser that runs no scripts."""
    yield from open_page(browser, viewport=DESKTOP, java_script_enabled=False)


def test_without_scripts_there_is_a_picture_and_a_word(
    still: Page, files: str, language: str, name: str
) -> None:
    still.goto(f"{files}/{language}/{PAGES[name]}.html")
    box = still.locator(f".explorable-{name}")
    expect(box.locator("figure img")).to_be_visible()
    expect(box.get_by_text("JavaScript")).to_be_visible()
    expect(box.locator(".explorable-panel")).to_have_count(0)


def test_other_pages_do_not_carry_the_scripts(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        has_one = 'class="course-panel explorable explorable-' in text
        assert ("explorable.js" in text) == has_one, path
        assert text.count("uPlot.iife.min.js") <= 1, path

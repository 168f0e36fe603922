"""What a reader does on the built site, in a real browser."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[2]
AXE = (ROOT / "tests" / "browser" / "vendor" / "axe.min.js").read_text(encoding="utf-8")
DOCNAMES = sorted(
    path.relative_to(folder).with_suffix("").as_posix()
    for folder in (ROOT / "book", ROOT)
    for tree in ("en", "es", "labs/en", "labs/es")
    if (folder / tree).is_dir() and not (folder.name == "book" and tree.startswith("labs"))
    for path in (folder / tree).rglob("*.md")
)
ALL = ["index", "search-en", "search-es", *DOCNAMES]
LABS = [name for name in DOCNAMES if name.startswith("labs/")]
NAMES = {"en": "English", "es": "Español"}
OTHER = {"en": "es", "es": "en"}

each_page = pytest.mark.parametrize("name", ALL)


def language_of(name: str) -> str:
    return "es" if "es" in name.split("/")[:2] else "en"


def twin_of(name: str) -> str:
    language = language_of(name)
    return f"/{name}/".replace(f"/{language}/", f"/{OTHER[language]}/", 1).strip("/")


def wait_for_mathematics(page: Page) -> None:
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")


@pytest.mark.parametrize("name", [name for name in DOCNAMES if language_of(name) == "en"])
def test_the_switch_leads_to_the_twin_and_back(page: Page, files: str, name: str) -> None:
    page.goto(f"{files}/{name}.html")
    language = language_of(name)
    switch = page.locator("nav.language-switch")
    expect(switch.get_by_role("link", name=NAMES[language])).to_have_attribute(
        "aria-current", "true"
    )
    switch.get_by_role("link", name=NAMES[OTHER[language]]).click()
    expect(page).to_have_url(f"{files}/{twin_of(name)}.html")
    expect(page.locator("html")).to_have_attribute("lang", OTHER[language])
    switch.get_by_role("link", name=NAMES[language]).click()
    expect(page).to_have_url(f"{files}/{name}.html")


def test_the_switch_is_there_on_a_phone(phone: Page, root: str) -> None:
    phone.goto(f"{root}/{DOCNAMES[0]}.html")
    phone.locator("nav.language-switch a:not([aria-current])").tap()
    expect(phone).to_have_url(f"{root}/{twin_of(DOCNAMES[0])}.html")


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_door_leads_into_both_languages(page: Page, root: str, language: str) -> None:
    page.goto(f"{root}/index.html")
    page.locator(f"main a[href^='{language}/']").first.click()
    expect(page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.parametrize("name", LABS)
def test_hints_open_one_inside_the_other(page: Page, root: str, name: str) -> None:
    page.goto(f"{root}/{name}.html")
    levels = [page.locator(f"details.hint-{level}").first for level in ("mild", "medium", "direct")]
    for outer, inner in pairwise(levels):
        expect(inner).to_be_hidden()
        outer.locator("> summary").click()
        expect(inner).to_be_visible()
    body = levels[-1].locator(".sd-card-text").first
    expect(body).to_be_hidden()
    levels[-1].locator("> summary").click()
    expect(body).to_be_visible()


@pytest.mark.parametrize(
    ("language", "query", "word"),
    [
        # The query is a form that the stemmer of its language leads to the word on the pages.
        ("es", "pesado peso", "pesos"),
        ("es", "decaer", "decaimiento"),
        ("en", "decaying", "decay"),
        ("en", "weighting", "weights"),
    ],
)
def test_search_stems_and_stays_in_its_language(
    page: Page, root: str, language: str, query: str, word: str
) -> None:
    page.goto(f"{root}/{language}/how-to-use.html")
    page.keyboard.press("Control+k")
    field = page.locator("dialog input[name=q]")
    field.fill(query)
    field.press("Enter")
    expect(page).to_have_url(re.compile(rf"search-{language}\.html"))
    results = page.locator("#search-results li a")
    expect(results.first).to_be_visible()
    names = [str(link.get_attribute("href")) for link in results.all()]
    assert {language_of(name) for name in names} == {language}
    results.first.click()
    expect(page.locator("main")).to_contain_text(re.compile(word, re.I))


@pytest.mark.parametrize(("language", "foreign"), [("es", "following"), ("en", "provisional")])
def test_search_does_not_find_words_of_the_other_language(
    page: Page, files: str, language: str, foreign: str
) -> None:
    page.goto(f"{files}/search-{language}.html?q={foreign}")
    expect(page.locator("#search-results .search-summary")).not_to_be_empty()
    expect(page.locator("#search-results li")).to_have_count(0)


@each_page
def test_mathematics_is_rendered_and_nothing_complains(page: Page, files: str, name: str) -> None:
    """The fixture fails on console errors and on requests that leave the site."""
    page.goto(f"{files}/{name}.html")
    wait_for_mathematics(page)
    expect(page.locator("h1").first).to_be_visible()
    sources = page.locator("article .math").count()
    assert page.locator("article .math mjx-container svg").count() >= sources
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0


@pytest.mark.parametrize("name", ["index", "search-es", LABS[0]])
def test_a_server_serves_the_site_as_well(page: Page, server: str, name: str) -> None:
    page.goto(f"{server}/{name}.html", wait_until="networkidle")
    expect(page.locator("h1").first).to_be_visible()


@each_page
def test_nothing_scrolls_sideways_on_a_phone(phone: Page, files: str, name: str) -> None:
    phone.goto(f"{files}/{name}.html")
    wait_for_mathematics(phone)
    open_everything(phone)
    # Not `window.innerWidth`: a phone's browser zooms out until what is too wide fits.
    assert phone.viewport_size is not None
    assert phone.evaluate("document.documentElement.scrollWidth") <= phone.viewport_size["width"]


# A twin has the same structure and the same styles: axe, which is slow, sees one of each pair,
# and the lab in both languages.
AUDITED = [name for name in ALL if language_of(name) == "en" or name in LABS]


@pytest.mark.parametrize("name", AUDITED)
def test_axe_finds_nothing_serious(page: Page, files: str, name: str) -> None:
    page.goto(f"{files}/{name}.html")
    wait_for_mathematics(page)
    open_everything(page)
    # The thousands of glyphs in formulas tell axe nothing, and cost most of its time.
    page.evaluate(
        "document.querySelectorAll('mjx-container svg').forEach(svg => svg.replaceChildren())"
    )
    page.add_script_tag(content=AXE)
    # A theme changes nothing but colours.
    for theme, rules in {"light": None, "dark": ["color-contrast"]}.items():
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        assert not serious_violations(page, rules), theme


def open_everything(page: Page) -> None:
    """What is folded is on the page too."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")


def serious_violations(page: Page, rules: list[str] | None) -> list[tuple[str, str, str]]:
    """What axe finds; preloading style sheets would need fetch(), which file:// forbids."""
    options = {"preload": False, "resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = rules
    violations = page.evaluate(
        "async (options) => (await axe.run(document, options)).violations", options
    )
    return [
        (violation["id"], node["html"], node["failureSummary"])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]

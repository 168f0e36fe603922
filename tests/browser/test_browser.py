"""What a reader does on the built site, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import DESKTOP, PHONE, open_page
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).resolve().parents[2]
AXE = (ROOT / "tests" / "browser" / "vendor" / "axe.min.js").read_text(encoding="utf-8")
DOCNAMES = sorted(
    path.relative_to(folder).with_suffix("").as_posix()
    for folder in (ROOT / "book", ROOT)
    for tree in ("en", "es", "labs/en", "labs/es")
    if (folder / tree).is_dir() and not (folder.name == "book" and tree.startswith("labs"))
    for path in (folder / tree).rglob("*.md")
)
ALL = [*DOCNAMES, "index", "search-en", "search-es"]
LABS = [name for name in DOCNAMES if name.startswith("labs/")]
# A page of each kind, on a phone's browser; all pages are looked at with its width.
ON_A_PHONE = ["index", "search-es", LABS[0], LABS[-1], "es/phase-19/02-ten-checks"]
HINTS = ("mild", "medium", "direct")
NAMES = {"en": "English", "es": "Español"}
OTHER = {"en": "es", "es": "en"}


def each(names: list[str]) -> pytest.MarkDecorator:
    """Parametrise by page. The tests of one run in one process, so that it is opened once."""
    pages = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]
    return pytest.mark.parametrize("name", pages, scope="module")


def language_of(name: str) -> str:
    return "es" if "es" in name.split("/")[:2] else "en"


def twin_of(name: str) -> str:
    language = language_of(name)
    return f"/{name}/".replace(f"/{language}/", f"/{OTHER[language]}/", 1).strip("/")


# Twins differ in their words alone: of each pair one, in turns, so that both languages have theirs.
PAIRS = [name for name in DOCNAMES if language_of(name) == "en"]
ONE_OF_EACH_PAIR = [name if i % 2 else twin_of(name) for i, name in enumerate(PAIRS)]


def wait_for_mathematics(page: Page) -> None:
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")


@pytest.fixture(scope="module")
def opened(browser: Browser, site: Path, name: str) -> Iterator[Page]:
    """The page `name` on a desktop. Fails on console errors and on requests that leave the site."""
    for page in open_page(browser, viewport=DESKTOP):
        page.goto(f"{site.as_uri()}/{name}.html")
        wait_for_mathematics(page)
        yield page


@each(ALL)
def test_mathematics_is_rendered(opened: Page, name: str) -> None:
    expect(opened.locator("h1").first).to_be_visible()
    sources = opened.locator("article .math").count()
    assert opened.locator("article .math mjx-container svg").count() >= sources
    assert opened.locator("mjx-merror, [data-mjx-error]").count() == 0


@each(DOCNAMES)
def test_the_switch_leads_to_the_twin(opened: Page, files: str, name: str) -> None:
    switch = opened.locator("nav.language-switch")
    here = switch.get_by_role("link", name=NAMES[language_of(name)])
    expect(here).to_have_attribute("aria-current", "true")
    there = switch.get_by_role("link", name=NAMES[OTHER[language_of(name)]])
    assert there.evaluate("link => link.href") == f"{files}/{twin_of(name)}.html"


@each(LABS)
def test_hints_open_one_inside_the_other(opened: Page, name: str) -> None:
    levels = [opened.locator(f"details.hint-{level}").first for level in HINTS]
    for outer, inner in pairwise(levels):
        expect(inner).to_be_hidden()
        outer.locator("> summary").click()
        expect(inner).to_be_visible()
    body = levels[-1].locator(".sd-card-text").first
    expect(body).to_be_hidden()
    levels[-1].locator("> summary").click()
    expect(body).to_be_visible()


@each(LABS)
def test_the_diagnosis_is_folded_until_it_is_wanted_or_linked_to(opened: Page, name: str) -> None:
    folded = opened.locator("details.course-diagnosis")
    last = folded.locator("section h2").last
    expect(last).to_be_hidden()
    folded.locator("> summary").click()
    expect(last).to_be_visible()
    folded.locator("> summary").click()
    expect(last).to_be_hidden()
    anchor = folded.locator("section").last.get_attribute("id")
    opened.evaluate("id => { location.hash = id; }", anchor)
    expect(last).to_be_visible()


@each([*ONE_OF_EACH_PAIR, *(name for name in ALL if name not in DOCNAMES)])
def test_axe_finds_nothing_serious(opened: Page, name: str) -> None:
    open_everything(opened)
    # The thousands of glyphs in formulas tell axe nothing, and cost most of its time.
    opened.evaluate(
        "document.querySelectorAll('mjx-container svg').forEach(svg => svg.replaceChildren())"
    )
    opened.add_script_tag(content=AXE)
    # A theme changes nothing but colours.
    for theme, rules in {"light": None, "dark": ["color-contrast"]}.items():
        opened.emulate_media(color_scheme=theme)
        expect(opened.locator("html")).to_have_attribute("data-theme", theme)
        assert not serious_violations(opened, rules), theme


@each(ALL)
def test_nothing_scrolls_sideways_at_the_width_of_a_phone(opened: Page, name: str) -> None:
    opened.set_viewport_size(PHONE)
    open_everything(opened)
    width = opened.evaluate("document.documentElement.scrollWidth")
    opened.set_viewport_size(DESKTOP)
    assert width <= PHONE["width"]


@pytest.mark.parametrize("name", ON_A_PHONE)
def test_nothing_scrolls_sideways_on_a_phone(phone: Page, files: str, name: str) -> None:
    phone.goto(f"{files}/{name}.html")
    wait_for_mathematics(phone)
    open_everything(phone)
    # Not `window.innerWidth`: a phone's browser zooms out until what is too wide fits.
    assert phone.viewport_size is not None
    assert phone.evaluate("document.documentElement.scrollWidth") <= phone.viewport_size["width"]


@pytest.mark.parametrize("name", ["en/how-to-use", *LABS[:2]])
def test_a_reader_switches_to_the_twin_and_back(page: Page, files: str, name: str) -> None:
    page.goto(f"{files}/{name}.html")
    language = language_of(name)
    switch = page.locator("nav.language-switch")
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


@pytest.mark.parametrize(
    ("language", "query", "word"),
    [
        # The query is a form that the stemmer of its language leads to the word on the pages.
        ("es", "pesado peso", "pesos"),
        ("es", "decaimientos", "decaimiento"),
        ("es", "regularizacion", "regularización"),
        ("es", "validacion", "validación"),
        ("es", "entropia", "entropía"),
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


@pytest.mark.parametrize(
    ("language", "said"), [("es", "Ninguna página contiene"), ("en", "No page contains")]
)
def test_a_search_without_hits_says_so_in_words_of_the_course(
    page: Page, files: str, language: str, said: str
) -> None:
    page.goto(f"{files}/search-{language}.html?q=xyzzy")
    expect(page.locator("#search-results .search-summary")).to_contain_text(said)


@pytest.mark.parametrize("name", ["index", "search-es", LABS[0]])
def test_a_server_serves_the_site_as_well(page: Page, server: str, name: str) -> None:
    page.goto(f"{server}/{name}.html", wait_until="networkidle")
    expect(page.locator("h1").first).to_be_visible()


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

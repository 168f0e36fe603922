"""The built site: one language per page, no dead links, nothing from other hosts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from pages import ROOT, all_pages

from course.languages import LANGUAGES, language_of, twin_of
from course.strings import STRINGS

PAGES = ["index", *(f"search-{language}" for language in LANGUAGES)] + [
    page.docname for page in all_pages()
]
ENGLISH = {
    "admonition", "attention", "back to top", "built with", "caution", "click to hide",
    "click to show", "color mode", "contents", "copy", "copy to clipboard", "danger", "dark",
    "download notebook file", "download source file", "download this page", "error", "example",
    "exercise", "figure", "fullscreen mode", "general index", "hide code cell source",
    "hide search matches", "hide the code", "hint", "home", "important", "index", "light",
    "link to this code", "link to this equation", "link to this heading", "link to this image",
    "link to this table", "main", "next", "next page", "note", "on this page", "page",
    "permalink to this equation", "permalink to this heading", "permalink to this image",
    "previous", "previous page", "print to pdf", "references", "search", "search results",
    "search...", "section navigation", "see also", "show code cell source", "show source",
    "show the code", "site navigation", "skip to main content", "solution", "solution to",
    "system settings", "table", "table of contents", "tip", "toggle hidden content",
    "toggle primary sidebar", "toggle secondary sidebar", "version warning", "warning",
}  # fmt: skip
SHOWN_ATTRIBUTES = ("title", "aria-label", "placeholder", "data-bs-title", "alt")
each_page = pytest.mark.parametrize("name", PAGES)


@cache
def parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    """The names of all places on a page that a link can lead to."""
    return frozenset(str(tag["id"]) for tag in parsed(path).find_all(id=True))


@pytest.fixture
def soup(site: Path, name: str) -> BeautifulSoup:
    path = site / f"{name}.html"
    assert path.exists(), "the site is older than the pages: run make book"
    return parsed(path)


@each_page
def test_the_page_names_its_language(soup: BeautifulSoup, name: str) -> None:
    assert soup.html is not None
    assert soup.html["lang"] == (language_of(name) or "en")


@each_page
def test_title_and_description_are_in_the_page_language(soup: BeautifulSoup, name: str) -> None:
    assert soup.title is not None
    assert STRINGS[language_of(name) or "en"].site_title in soup.title.get_text()
    if not name.startswith("search-"):
        description = soup.find("meta", {"name": "description"})
        assert isinstance(description, Tag)
        assert description["content"]


def alternates(site: Path, name: str) -> dict[str, str]:
    found = {}
    for link in parsed(site / f"{name}.html").find_all("link", hreflang=True):
        path = (site / name).parent / str(link["href"])
        found[str(link["hreflang"])] = str(path.resolve().relative_to(site)).removesuffix(".html")
    return found


@pytest.mark.parametrize("name", [page.docname for page in all_pages()])
def test_alternates_point_at_each_other(site: Path, name: str) -> None:
    found = alternates(site, name)
    assert found == {
        **{language: twin_of(name, language) for language in LANGUAGES},
        "x-default": "index",
    }
    for language in LANGUAGES:
        assert alternates(site, found[language]) == found


@pytest.mark.parametrize("name", [page.docname for page in all_pages()])
def test_the_sidebar_and_neighbours_stay_in_the_language(soup: BeautifulSoup, name: str) -> None:
    links = soup.select(".bd-docs-nav a, .prev-next-area a")
    assert links
    for link in links:
        target = (ROOT / name).parent / str(link["href"]).split("#")[0]
        assert language_of(str(target.resolve().relative_to(ROOT))) == language_of(name) or (
            link["href"] == "#"
        )


@pytest.mark.parametrize("name", [n for n in PAGES if language_of(n) == "es"])
def test_spanish_pages_say_nothing_in_english(soup: BeautifulSoup, name: str) -> None:
    page = BeautifulSoup(str(soup), "html.parser")
    # What cells print is the same in both languages.
    for foreign in page.select("[lang=en], pre, code, script, style, math, .math, .cell_output"):
        foreign.decompose()
    said = {text.strip() for text in page.find_all(string=True)}
    for attribute in SHOWN_ATTRIBUTES:
        said |= {str(tag[attribute]).strip() for tag in page.select(f"[{attribute}]")}
    leftovers = {text for text in said if text.lower().rstrip(" :%s0123456789.") in ENGLISH}
    # The same word in both languages.
    assert leftovers <= {"Error"}


@each_page
def test_nothing_is_loaded_from_other_hosts(soup: BeautifulSoup) -> None:
    loading = [tag.get("src") for tag in soup.find_all(src=True)]
    loading += [
        tag.get("href")
        for tag in soup.find_all("link")
        if not {"alternate", "canonical"} & set(tag.get_attribute_list("rel"))
    ]
    assert not [url for url in loading if re.match(r"(https?:)?//", str(url))]
    scripts = soup.find_all("script", src=False)
    data = [tag.get_text() for tag in scripts if tag.get("type") == "application/json"]
    assert not [text for text in data if re.search(r"\w//|://|\"//", text)]
    inline = [tag.get_text() for tag in scripts if tag.get("type") != "application/json"]
    assert not [text for text in inline if "//" in re.sub(r"^\s*//.*$", "", text, flags=re.M)]


def test_style_sheets_load_nothing_from_other_hosts(site: Path) -> None:
    for path in (site / "_static").rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", text), path


@each_page
def test_every_internal_link_and_anchor_resolves(
    site: Path, soup: BeautifulSoup, name: str
) -> None:
    here = site / f"{name}.html"
    dead = []
    for link in soup.find_all("a", href=True):
        url = urlsplit(str(link["href"]))
        if url.scheme or url.netloc:
            continue
        target = here.parent / unquote(url.path) if url.path else here
        if not target.exists() or (
            url.fragment
            and target.suffix == ".html"
            and unquote(url.fragment) not in anchors(target.resolve())
        ):
            dead.append(link["href"])
    assert not dead


@each_page
def test_every_image_has_alternative_text(soup: BeautifulSoup) -> None:
    assert not [image["src"] for image in soup.select("article img") if not image.get("alt")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_its_own_search_index(site: Path, language: str) -> None:
    script = (site / "_static" / "search" / language / "searchindex.js").read_text("utf-8")
    match = re.search(r'"docnames": \[(.*?)\]', script)
    assert match is not None
    found = set(re.findall(r'"([^"]+)"', match[1]))
    assert found == {page.docname for page in all_pages() if page.language == language}

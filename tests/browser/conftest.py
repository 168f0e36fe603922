"""A real browser on the built site; every request that leaves the site fails the test."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium: ``CHROMIUM`` names another one than the system's."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """The site on http://localhost."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Say nothing: pytest shows what matters."""

    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("localhost", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://localhost:{http.server_port}"
        http.shutdown()


@pytest.fixture(params=["file", "http"])
def root(request: pytest.FixtureRequest, site: Path) -> str:
    """The site's address, once as files and once from a server."""
    return site.as_uri() if request.param == "file" else request.getfixturevalue("server")


@pytest.fixture
def files(site: Path) -> str:
    """The site's address as files."""
    return site.as_uri()


class Watch:
    """Notes everything on a page that should not happen."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        context.route("**/*", self._route)
        context.on("console", lambda message: self._console(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))

    def _route(self, route: Route) -> None:
        url = route.request.url
        if url.startswith(("file:", "data:", "blob:", "http://localhost:")):
            route.continue_()
        else:
            self.complaints.append(f"outside request: {url}")
            route.abort()

    def _console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(f"console: {text}")


def _page(browser: Browser, **options: object) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    watch = Watch(context)
    yield context.new_page()
    context.close()
    assert not watch.complaints


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a desktop browser."""
    yield from _page(browser, viewport=DESKTOP)


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A page of a phone's browser."""
    yield from _page(browser, viewport=PHONE, has_touch=True, is_mobile=True)

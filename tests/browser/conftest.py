"""A real browser on the built site; every request that leaves the site fails the test."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chromium import DESKTOP, PHONE, open_page
from playwright.sync_api import Browser, Page, expect

# A slow machine is no failure: a page of half a megabyte takes a busy one more than five seconds.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """The site on http://localhost."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Say nothing: pytest shows what matters."""

    class Patient(ThreadingHTTPServer):
        def handle_error(self, *_arguments: object) -> None:
            """A browser that has left the page closes connections half-way: that is all right."""

    handler = functools.partial(Quiet, directory=str(site))
    with Patient(("localhost", 0), handler) as http:
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


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a desktop browser."""
    yield from open_page(browser, viewport=DESKTOP)


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A page of a phone's browser."""
    yield from open_page(browser, viewport=PHONE, has_touch=True, is_mobile=True)

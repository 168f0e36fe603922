"""Chromium's pages, and what must not happen on them."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Browser, BrowserContext, Page, Route

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


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


def open_page(browser: Browser, **options: object) -> Iterator[Page]:
    """An empty page; whatever goes wrong on it fails the test that closes it."""
    context = browser.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    watch = Watch(context)
    yield context.new_page()
    context.close()
    assert not watch.complaints

"""What a reader does with JupyterLab itself."""

from __future__ import annotations

from playwright.sync_api import Page


def choose(page: Page, menu: str, entry: str) -> None:
    page.locator(".lm-MenuBar-item").get_by_text(menu, exact=True).click()
    page.locator(".lm-Menu-item").filter(has_text=entry).first.click()

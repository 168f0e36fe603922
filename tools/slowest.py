"""Prints how many seconds each page of the book took to execute, slowest first.

    python tools/slowest.py

The seconds are those of the last real execution, as the book's cache noted them: runs that lay in
the store cost nothing, so only a cold build shows what a page costs. Twins are executed once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jupyter_cache import get_cache
from myst_nb.core.read import is_myst_markdown_notebook

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from course.execution import cache_path, docname_of, read  # noqa: E402
from course.languages import DEFAULT_LANGUAGE  # noqa: E402


def seconds() -> dict[str, float]:
    """Maps each page, named by its first language, to the seconds that its cells took."""
    if not cache_path().exists():
        return {}
    cache = get_cache(cache_path())
    found = {}
    for folder in (ROOT / "book" / DEFAULT_LANGUAGE, ROOT / "labs" / DEFAULT_LANGUAGE):
        for page in folder.rglob("*.md"):
            if is_myst_markdown_notebook(page.read_text("utf-8")):
                try:
                    record = cache.match_cache_notebook(read(docname_of(page)))
                except KeyError:
                    continue
                found[docname_of(page)] = record.data["execution_seconds"]
    return found


def main() -> int:
    """Print the table."""
    found = seconds()
    if not found:
        print("no page has been executed with this code: run make book", file=sys.stderr)
        return 1
    for name, time in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{time:8.1f} s  {name}")
    print(f"{sum(found.values()):8.1f} s  {len(found)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Prints what a cold build of the book spends its time on, slowest first.

    python tools/slowest.py

For each experiment, the seconds that one core trained for it; a run that two experiments share
counts for the first. For each page, the seconds that its cells took when they were last really
executed, as the book's cache noted them; twins are executed once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jupyter_cache import get_cache
from myst_nb.core.read import is_myst_markdown_notebook

from minitrain.runs import fingerprints
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from course.execution import cache_path, docname_of, read  # noqa: E402
from course.languages import DEFAULT_LANGUAGE  # noqa: E402


def training_seconds() -> dict[str, float]:
    """Maps each experiment to the seconds that its runs in the store took to train."""
    store, found = Store(), dict[str, float]()
    seen: set[Recipe] = set()
    for point in fingerprints.points():
        name = f"experiments/{point.experiment}"
        run = store.find(point.recipe) if point.recipe not in seen else None
        found[name] = found.get(name, 0.0) + (run.seconds if run else 0.0)
        seen.add(point.recipe)
    return found


def page_seconds() -> dict[str, float]:
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
    """Print both tables."""
    pages = page_seconds()
    if not pages:
        print("no page has been executed with this code: run make book", file=sys.stderr)
        return 1
    for title, seconds in (("training", training_seconds()), ("cells", pages)):
        for name, time in sorted(seconds.items(), key=lambda item: -item[1]):
            print(f"{time:8.1f} s  {name}")
        print(f"{sum(seconds.values()):8.1f} s  {title}, all told\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

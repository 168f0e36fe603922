"""Copies of the course's notebooks for a reader to work on, so that the course itself stays clean.

A copy that the reader has not edited follows the course; one that they have edited is theirs and is
never written again. Running cells is no edit: only what is written in the cells counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

import notebooks
from course.card import heading_of, split_front_matter
from course.execution import seen_by_sphinx
from course.languages import language_of

ROOT = notebooks.ROOT
PLACES = (ROOT / "book" / "en", ROOT / "book" / "es", ROOT / "labs")
START = ROOT / "tools" / "jupyterlab" / "START.md"
MANIFEST = ".copied.json"
LIST_OF_PAGES = re.compile(r"^<!-- pages: (\w+) -->$", re.M)


def course_files() -> dict[str, str]:
    """Path from the course's root, and text, of everything that a reader opens in JupyterLab.

    A page without code cells has no notebook: it is copied as Markdown.
    """
    found = {"START.md": start_page()}
    for place in PLACES:
        for page in sorted(place.rglob("*.md")):
            if notebooks.hidden(page):
                continue
            path = page.relative_to(ROOT)
            if page.with_suffix(".ipynb").exists():
                text = page.with_suffix(".ipynb").read_text("utf-8")
                found[path.with_suffix(".ipynb").as_posix()] = text
            else:
                body = split_front_matter(page.read_text("utf-8"))[1]
                found[path.as_posix()] = notebooks.Resolver(page.resolve(), {}).resolve(body)
    return found


def start_page() -> str:
    """Where a reader begins: the door, with the pages of either language in their order."""

    def listed(match: re.Match[str]) -> str:
        contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
        parts = [
            (part["caption"], [each["file"] for each in part["chapters"]])
            for part in contents["parts"]
        ]
        return "\n\n".join(
            "\n".join([f"**{caption}**\n", *map(_link, names)])
            for caption, names in parts
            if language_of(names[0]) == match[1]
        )

    return LIST_OF_PAGES.sub(listed, START.read_text("utf-8"))


def _link(docname: str) -> str:
    page = seen_by_sphinx(docname).resolve()
    target = page.with_suffix(".ipynb")
    path = (target if target.exists() else page).relative_to(ROOT).as_posix()
    return f"- [{heading_of(page)}]({path})"


def refresh(folder: Path, files: Mapping[str, str], say: Callable[[str], None] = print) -> None:
    """Bring the copies in `folder` up to date with `files`, but for those that were edited.

    `say` is told of a copy that stays behind because the reader has edited it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST
    known = _read_manifest(manifest)
    for name, text in files.items():
        copy, new = folder / name, _written(name, text)
        if copy.exists():
            mine = copy.read_text("utf-8", errors="replace")
            if _written(name, mine) != known.get(name, new):
                if known.get(name) != new:
                    say(
                        f"{copy}: kept, because you have edited it; the course has a newer one"
                        " (rename yours to get it)"
                    )
                continue
            if _written(name, mine) == new and known.get(_whole(name)) != _hash(mine):
                known[name] = new  # it was run: its outputs are the reader's
                continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        known |= {name: new, _whole(name): _hash(text)}
    manifest.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")


def _read_manifest(path: Path) -> dict[str, str]:
    """What each copy held when it was made; nothing if that is lost or damaged."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _written(name: str, text: str) -> str:
    """A hash of what somebody wrote: of a notebook, the kinds and sources of its cells."""
    if not name.endswith(".ipynb"):
        return _hash(text)
    try:
        cells = json.loads(text)["cells"]
        return _hash(json.dumps([[c["cell_type"], "".join(c["source"])] for c in cells]))
    except (ValueError, KeyError, TypeError):
        return _hash(text)  # not a notebook any more: whatever it is, somebody wrote it


def _whole(name: str) -> str:
    """Where the manifest keeps the hash of a copy with everything in it."""
    return f"{name}#"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

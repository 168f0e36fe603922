"""The course card and the summary in the other language, written from a page's front matter.

Front matter read here::

    course:
      phase: "18"
      kind: lab                # theory, lab or guide
      minutes: 40
      prerequisites:           # pages, as relative paths, or plain text
        - ../phase-18/05-adamw-vs-adam-decoupling.md
        - derivatives
      objectives:              # in the page's language
        - say what weight decay does
    summary: |                 # one paragraph, in the OTHER language
      ...

The result is MyST put right under the page's heading. The Sphinx extension does so when it reads
the page, and ``tools/notebooks.py`` when it writes the notebook: JupyterLab shows no front matter.
"""

from __future__ import annotations

import re
from os.path import normpath
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

from .languages import LANGUAGES, language_of
from .strings import STRINGS, Strings

FRONT_MATTER = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)
HEADING = re.compile(r"^# +(.+?) *$", re.MULTILINE)


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """A page's front matter and what follows it."""
    match = FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    return yaml.safe_load(match.group(1)) or {}, text[match.end() :]


def heading_of(path: Path) -> str:
    """The text of a page's first heading."""
    _, body = split_front_matter(path.read_text(encoding="utf-8"))
    match = HEADING.search(body)
    if match is None:
        raise ValueError(f"{path}: no heading")
    return match.group(1)


def card(course: dict[str, Any], words: Strings, page: Path) -> str:
    """The card as MyST."""
    facts = []
    if "phase" in course:
        facts.append(f"**{words.phase}** {course['phase']}")
    facts.append(f"**{words.kind}** {words.kinds[course['kind']]}")
    facts.append(f"**{words.time}** {course['minutes']} {words.minutes}")
    lines = [
        f":::{{admonition}} {words.card_title}",
        ":class: course-card",
        " · ".join(facts),
    ]
    if course.get("prerequisites"):
        links = [_prerequisite(item, page) for item in course["prerequisites"]]
        lines += ["", f"**{words.prerequisites}:** " + "; ".join(links) + "."]
    if course.get("objectives"):
        lines += ["", f"**{words.objectives}:**", ""]
        lines += [f"- {objective}" for objective in course["objectives"]]
    return "\n".join([*lines, ":::"])


def _prerequisite(item: str, page: Path) -> str:
    if not item.endswith(".md"):
        return item
    # Not Path.resolve(): a lab is reached as book/labs/..., through a link.
    return f"[{heading_of(Path(normpath(page.parent / item)))}]({item})"


def summary(text: str, language: str) -> str:
    """A summary in ``language``, the language that the page is not in, as MyST.

    docutils turns the class ``language-xx`` into the attribute ``lang="xx"``.
    """
    return "\n".join(
        [
            f":::{{admonition}} {STRINGS[language].summary_title}",
            f":class: course-summary language-{language}",
            text.strip(),
            ":::",
        ]
    )


def with_card(text: str, page: Path, language: str | None) -> str:
    """The page's source with card and summary under its heading."""
    if language is None:
        return text
    front, body = split_front_matter(text)
    blocks = []
    if "course" in front:
        blocks.append(card(front["course"], STRINGS[language], page))
    if "summary" in front:
        (other,) = set(LANGUAGES) - {language}
        blocks.append(summary(front["summary"], other))
    heading = HEADING.search(body)
    if not blocks or heading is None:
        return text
    start = len(text) - len(body) + heading.end()
    return text[:start] + "\n\n" + "\n\n".join(blocks) + text[start:]


def on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add card and summary to a page that is being read."""
    source[0] = with_card(source[0], Path(app.env.doc2path(docname)), language_of(docname))


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("source-read", on_source_read)

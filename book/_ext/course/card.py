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
      concept:                 # theory chapters: the page's one idea
        equation: 'e^{i\\pi} = -1'
        why: One or two sentences.
        skipped:               # what tutorials leave out
          - One sentence.
        next: [06-per-parameter-masks.md]
        papers: [loshchilov2019]
    summary: |                 # one paragraph, in the OTHER language
      ...

The result is MyST put right under the page's heading. The Sphinx extension does so when it reads
the page, and ``tools/notebooks.py`` when it writes the notebook: JupyterLab shows no front matter.
"""

from __future__ import annotations

import posixpath
import re
from os.path import normpath
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError

from .bibliography import reference
from .generated import stored
from .languages import LANGUAGES, language_of
from .strings import STRINGS, Strings

FRONT_MATTER = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)
HEADING = re.compile(r"^# +(.+?) *$", re.MULTILINE)
COURSE: dict[str, type] = {
    "phase": str,
    "kind": str,
    "minutes": int,
    "prerequisites": list,
    "objectives": list,
    "concept": dict,
}
CONCEPT: dict[str, type] = {
    "equation": str,
    "why": str,
    "skipped": list,
    "next": list,
    "papers": list,
}
REQUIRED = ("kind", "minutes", "objectives")


class CardError(SphinxError):
    """A page's front matter is wrong; the message names page, field and value."""

    category = "Front matter"


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """A page's front matter and what follows it."""
    match = FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    return yaml.safe_load(match.group(1)) or {}, text[match.end() :]


def heading_of(path: Path) -> str:
    """The text of a page's first heading."""
    body = FRONT_MATTER.sub("", path.read_text(encoding="utf-8"))
    match = HEADING.search(body)
    if match is None:
        raise ValueError(f"{path}: no heading")
    return match.group(1)


def check(course: Any, page: Path) -> None:
    """Raise ``CardError`` unless the front matter has all fields that it needs and no others."""
    _check_fields("course", course, COURSE, REQUIRED, page)
    if course["kind"] not in (kinds := STRINGS["en"].kinds):
        _fail(page, "course.kind", f"{course['kind']!r} is none of {', '.join(kinds)}")
    if "concept" in course:
        _check_fields("course.concept", course["concept"], CONCEPT, tuple(CONCEPT), page)
        for item in course["concept"]["next"]:
            if not item.endswith(".md"):
                _fail(page, "course.concept.next", f"{item!r} is not a page (….md)")


def _check_fields(
    name: str,
    fields: Any,
    known: dict[str, type],
    required: tuple[str, ...],
    page: Path,
) -> None:
    if not isinstance(fields, dict):
        _fail(page, name, f"{fields!r} is not a mapping")
    for key in required:
        if key not in fields:
            _fail(page, f"{name}.{key}", "is missing")
    for key, value in fields.items():
        if key not in known:
            _fail(page, f"{name}.{key}", f"is unknown; known are {', '.join(known)}")
        if not isinstance(value, known[key]):
            _fail(page, f"{name}.{key}", f"{value!r} is not a {known[key].__name__}")
        for item in value if isinstance(value, list) else []:
            if not isinstance(item, str):
                _fail(page, f"{name}.{key}", f"{item!r} is not text: put it in quotes")


def _fail(page: Path, field: str, what: str) -> None:
    raise CardError(f"{page}: {field}: {what}")


def card(course: dict[str, Any], words: Strings, page: Path) -> str:
    """The card as MyST: facts, the key equation, then pairs of a label and what it is about."""
    check(course, page)
    facts = []
    if "phase" in course:
        facts.append(f"**{words.phase}** {course['phase']}")
    facts.append(f"**{words.kind}** {words.kinds[course['kind']]}")
    facts.append(f"**{words.time}** {course['minutes']} {words.minutes}")
    concept = course.get("concept")
    blocks = [" · ".join(facts)]
    if concept:
        blocks.append(f"$$\n{concept['equation'].strip()}\n$$")
        blocks += _labelled(words.why, concept["why"].strip())
        blocks += _labelled(words.skipped, _list(concept["skipped"]))
    if course.get("prerequisites"):
        links = [page_link(item, page) for item in course["prerequisites"]]
        blocks += _labelled(words.prerequisites, "; ".join(links) + ".")
    if course.get("objectives"):
        blocks += _labelled(words.objectives, _list(course["objectives"]))
    if concept and concept["next"]:
        blocks += _labelled(words.next, _list([page_link(item, page) for item in concept["next"]]))
    if concept and concept["papers"]:
        blocks += _labelled(words.papers, _list([_paper(key, page) for key in concept["papers"]]))
    head = f":::{{admonition}} {words.card_title}\n:class: course-card\n"
    return head + "\n\n".join(blocks) + "\n:::"


def _labelled(label: str, text: str) -> list[str]:
    return [f"**{label}**", text]


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item.strip()}" for item in items)


def page_link(item: str, page: Path) -> str:
    """A link to a page, with its title as the text; the file's name while there is no such page.

    A test finds what is left over: authors may link to a page before somebody has written it.
    """
    if not item.endswith(".md"):
        return item
    # Not Path.resolve(): a lab is reached as book/labs/..., through a link.
    target = Path(normpath(page.parent / item))
    return f"[{heading_of(target)}]({item})" if target.exists() else target.stem


def _paper(key: str, page: Path) -> str:
    try:
        described = reference(key)
    except KeyError:
        _fail(page, "course.concept.papers", f"{key!r} is not in references.bib")
    return f"{described} {{footcite:p}}`{key}`"


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
    blocks = card_and_summary(text, page, language)
    if not blocks:
        return text
    _, body = split_front_matter(text)
    heading = HEADING.search(body)
    if heading is None:
        return text
    start = len(text) - len(body) + heading.end()
    return text[:start] + "\n\n" + "\n\n".join(blocks) + text[start:]


def card_and_summary(text: str, page: Path, language: str | None) -> list[str]:
    """What belongs under the heading of a page with this source."""
    if language is None:
        return []
    try:
        front, _ = split_front_matter(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise CardError(f"{page}: front matter, line {line}: {error.problem}") from error
    blocks = []
    if "course" in front:
        blocks.append(card(front["course"], STRINGS[language], page))
    if "summary" in front:
        (other,) = set(LANGUAGES) - {language}
        blocks.append(summary(front["summary"], other))
    return blocks


def _cards(env: BuildEnvironment) -> dict[str, list[str]]:
    """What each page that has been read carries under its heading."""
    return stored(env, "course_cards")


def required_pages(env: BuildEnvironment) -> dict[str, list[str]]:
    """The pages that each page's card names as prerequisites."""
    return stored(env, "course_prerequisites")


def on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add card and summary to a page that is being read."""
    page, language = Path(app.env.doc2path(docname)), language_of(docname)
    _cards(app.env)[docname] = card_and_summary(source[0], page, language)
    course = split_front_matter(source[0])[0].get("course", {})
    required_pages(app.env)[docname] = [
        posixpath.normpath(posixpath.join(posixpath.dirname(docname), item)).removesuffix(".md")
        for item in course.get("prerequisites", [])
        if item.endswith(".md")
    ]
    source[0] = with_card(source[0], page, language)


def on_get_outdated(
    _app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Pages to read again because their card says something else now.

    A card quotes other files: the headings of pages, and the bibliography.
    """
    stale = []
    for docname, blocks in _cards(env).items():
        if docname not in added | changed | removed:
            page = Path(env.doc2path(docname))
            text = page.read_text(encoding="utf-8")
            if card_and_summary(text, page, language_of(docname)) != blocks:
                stale.append(docname)
    return stale


def on_purge(_app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is removed or read again."""
    _cards(env).pop(docname, None)
    required_pages(env).pop(docname, None)


def mark_labels(_app: Sphinx, doctree: nodes.document) -> None:
    """Name the labels of a card for the style sheet."""
    for admonition in doctree.findall(nodes.admonition):
        if "course-card" in admonition["classes"]:
            for block in admonition.children:
                if isinstance(block, nodes.paragraph) and is_label(block):
                    block["classes"].append("card-label")


def is_label(paragraph: nodes.paragraph) -> bool:
    """Whether the paragraph is one strong text and nothing else."""
    # The parser puts empty texts around it.
    parts = [node for node in paragraph.children if node.astext()]
    return len(parts) == 1 and isinstance(parts[0], nodes.strong)


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("source-read", on_source_read)
    app.connect("env-get-outdated", on_get_outdated)
    app.connect("env-purge-doc", on_purge)
    app.connect("doctree-read", mark_labels)

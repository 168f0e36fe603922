"""Nothing that a reader can see before a lab's diagnosis gives its fault away."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from pages import ROOT, Page, all_pages

from minitrain.labs.case import Case
from minitrain.runs import experiments
from minitrain.training.config import Config, flat

# What the book calls the page that collects all verdicts: it says at its top that it spoils.
TELLS_ALL = ("claims",)
OPENED = re.compile(r"""(?:Lab|Case)\(\s*["']([^"']+)["']""")


def labs() -> list[Page]:
    return [page for page in all_pages() if page.course.get("kind") == "lab"]


def terms(lab: Page) -> list[str]:
    """The patterns of a lab's fault."""
    known = yaml.safe_load(Path(__file__).with_name("spoilers.yaml").read_text("utf-8"))
    return list(known[lab.path.stem])


def given_away(lab: Page, text: str) -> list[str]:
    """What in a text gives the fault away."""
    return [found[0] for term in terms(lab) if (found := re.search(term, text, re.I))]


each_lab = pytest.mark.parametrize("lab", labs(), ids=lambda page: page.docname)


def until_the_diagnosis(lab: Page) -> list[str]:
    """The body's paragraphs up to the first heading after the hints, without the direct hints."""
    hints = [d for d in lab.directives if "hint-" in d.options.get("class-container", "")]
    lines = lab.body.splitlines()[: max(hint.end for hint in hints)]
    text = "\n".join(lines)
    for hint in hints:
        if "hint-direct" in hint.options["class-container"]:
            assert hint.text in text
            text = text.replace(hint.text, "")
    return text.split("\n\n")


@each_lab
def test_neither_text_nor_card_says_it_before_the_diagnosis(lab: Page) -> None:
    for paragraph in until_the_diagnosis(lab):
        assert not given_away(lab, paragraph), paragraph
    card = json.dumps([lab.front_matter, lab.course], ensure_ascii=False)
    assert not given_away(lab, card)


@each_lab
def test_no_heading_says_it(lab: Page) -> None:
    """Headings stand in the list of contents and in the titles of what a search finds."""
    for heading in re.findall(r"^#+ (.+)$", lab.body, re.M):
        assert not given_away(lab, heading), heading


@each_lab
def test_no_output_says_it_before_the_diagnosis(lab: Page) -> None:
    """The suspects name the guilty one among the others: all leaves, or a case's pull request."""
    leaves = set(flat(Config()))
    opened = {name for cell in lab.code_cells for name in OPENED.findall(cell.source)}
    changes = [_change(name) for name in opened]
    for cell in lab.notebook.cells:
        if "hint-mild" in cell.source or cell.source.startswith("## Hints"):
            return
        for output in cell.get("outputs", []):
            text = output.get("text") or "".join(output.get("data", {}).get("text/plain", ""))
            if set(text.split()) != leaves and text.strip() not in changes:
                assert not given_away(lab, text), text
    pytest.fail("no hints in the notebook")


def _change(experiment: str) -> str:
    """What the bench of a case prints in a book."""
    faults = experiments.load(experiment).faults
    return repr(Case(experiment, next(iter(faults))).diff()) if faults else ""


@each_lab
def test_no_name_says_it(lab: Page) -> None:
    """The page's path, its experiment, and the names of the experiment's variants and seeds."""
    opened = {name for cell in lab.code_cells for name in OPENED.findall(cell.source)}
    assert opened
    names = [lab.docname, *opened]
    for name in opened:
        names += experiments.load(name).patches
    for name in names:
        assert not given_away(lab, name.replace("-", " ")), name


@cache
def order() -> list[str]:
    """The docnames in the order of the table of contents."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [each["file"] for part in contents["parts"] for each in part["chapters"]]


def before(page: Page, lab: Page) -> bool:
    """Whether a page comes before a lab in its language, or is one to look things up in."""
    names = [name for name in order() if name in (page.docname, lab.docname)]
    in_order = "/phase-" in page.docname or page.docname.startswith("labs/")
    return names[0] != lab.docname or not in_order


@each_lab
def test_no_page_before_it_says_what_is_wrong_with_it(lab: Page) -> None:
    """A paragraph or list item that names the lab, or its experiment, says nothing of the fault."""
    number = lab.path.stem.split("-")[0]
    names = rf"{lab.path.stem}|\blab {number}\b|\blaboratorio {number}\b|lab-{number}\b"
    others = [
        page
        for page in all_pages()
        if page.language == lab.language
        and page.path != lab.path
        and page.path.stem not in TELLS_ALL
        and before(page, lab)
    ]
    assert others
    files = [ROOT / "README.md", ROOT / "book" / "index.md", ROOT / "CONTRIBUTING.md"]
    # Each line of the front matter is a text of its own.
    texts = {
        page.docname: page.source.replace(page.body, "").replace("\n", "\n\n") + page.body
        for page in others
    }
    texts |= {path.name: path.read_text("utf-8") for path in files}
    for name, text in texts.items():
        for paragraph in re.split(r"\n\s*\n|\n(?=[-*] )", text):
            if re.search(names, paragraph, re.I):
                assert not given_away(lab, paragraph), f"{name}: {paragraph}"

"""Live panels in a page: the box of each, and the scripts and styles that the page loads for it.

A page without a panel loads none of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CLASS = "course-panel"
# What every panel loads: it has charts, and the look of a panel.
STYLES = ("vendor/uplot/uPlot.min.css", "charts.css", "panel.css")
SCRIPTS = ("vendor/uplot/uPlot.iife.min.js", "dom.js", "charts.js")
FIRST_PRIORITY = 910  # after the theme's scripts


def box(
    classes: Sequence[str], about: Any, off: str, styles: Sequence[str], scripts: Sequence[str]
) -> nodes.container:
    """A box with what the panel has to know, as JSON, and what stands there where no script runs.

    scripts: of the assets, in the order in which they are loaded.
    """
    # No text can end the script early.
    data = json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    said = f'<p class="course-panel-off">{escape(off)}</p>'
    made = nodes.container(
        classes=[CLASS, *classes],
        is_div=True,
        course_styles=(*STYLES, *styles),
        course_scripts=(*SCRIPTS, *scripts),
    )
    made += nodes.raw("", f'{said}<script type="application/json">{data}</script>', format="html")
    return made


def on_page_context(
    app: Sphinx,
    _pagename: str,
    _template: str,
    _context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Load what the panels of a page need: all scripts are classic ones, and deferred."""
    boxes = list(doctree.findall(nodes.container)) if doctree else []
    styles = dict.fromkeys(name for each in boxes for name in each.get("course_styles", ()))
    scripts = dict.fromkeys(name for each in boxes for name in each.get("course_scripts", ()))
    for style in styles:
        app.add_css_file(style)
    for priority, script in enumerate(scripts, start=FIRST_PRIORITY):
        app.add_js_file(script, priority=priority, defer="defer")


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("html-page-context", on_page_context)

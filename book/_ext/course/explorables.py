"""``{explorable}``: a live panel in the page, built from the library's own description.

````{explorable} one-weight
```{glue:figure} one_weight_figure
...
```
````

The content is what stands there without JavaScript: a figure. With JavaScript the panel takes the
place of the figure's picture; its caption stays. Scripts and style sheets are loaded by the pages
that have an explorable, and by no others.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minitrain.common.errors import UserError
from minitrain.common.messages import MESSAGES
from minitrain.pages.explorable_texts import COMMON
from minitrain.pages.explorables import OWN, Explorable, named

from .languages import DEFAULT_LANGUAGE, language_of

CLASS = "explorable"
CHART_STYLES = ("vendor/uplot/uPlot.min.css", "charts.css")
CHART_SCRIPTS = ("vendor/uplot/uPlot.iife.min.js", "dom.js", "charts.js")
SAID = ("at", "got", "number", "finite", "whole_number", "at_least", "at_most", "less_than")
"""The library's messages that the panel uses too."""


def description(explorable: Explorable, language: str) -> dict[str, Any]:
    """All that the panel has to know, as JSON values."""
    return {
        "texts": asdict(explorable.texts[language]),
        "common": asdict(COMMON[language]),
        "messages": {key: MESSAGES[language][key] for key in SAID},
        "handles": [
            {
                **asdict(handle),
                "least_text": f"{handle.least:g}",
                "most_text": f"{handle.most:g}",
            }
            for handle in explorable.handles
        ],
        "choices": {name: dict(values) for name, values in explorable.choices.items()},
        "first": explorable.first,
        "start": dict(explorable.start),
        "columns": explorable.columns,
        "own": OWN if OWN in explorable.choices else None,
    }


def markup(explorable: Explorable, language: str) -> str:
    """What the page carries beside the picture."""
    # No text can end the script early.
    data = json.dumps(description(explorable, language), ensure_ascii=False).replace("</", "<\\/")
    said = escape(COMMON[language].no_script)
    return (
        f'<p class="explorable-no-script">{said}</p><script type="application/json">{data}</script>'
    )


class ExplorableDirective(SphinxDirective):
    """Puts description and picture into one box, which ``explorable.js`` makes live."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        try:
            explorable = named(name)
        except UserError as error:
            raise self.error(str(error)) from error
        language = language_of(self.env.docname) or DEFAULT_LANGUAGE
        classes = [CLASS, f"{CLASS}-{name}"]
        box = nodes.container(classes=classes, is_div=True, course_explorable=name)
        box += nodes.raw("", markup(explorable, language), format="html")
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def names_on(doctree: nodes.document) -> list[str]:
    """The explorables of a page."""
    found = (box.get("course_explorable") for box in doctree.findall(nodes.container))
    return sorted({name for name in found if name})


def on_page_context(
    app: Sphinx,
    _pagename: str,
    _template: str,
    _context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Load what the page needs, in this order: all scripts are classic ones, and deferred."""
    names = names_on(doctree) if doctree else []
    if not names:
        return
    for style in (*CHART_STYLES, "explorable.css"):
        app.add_css_file(style)
    own = (f"{name}.js" for name in names)
    for priority, script in enumerate((*CHART_SCRIPTS, "explorable.js", *own), start=910):
        app.add_js_file(script, priority=priority, defer="defer")


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_directive("explorable", ExplorableDirective)
    app.connect("html-page-context", on_page_context)

"""``{explorable}``: a live panel in the page, built from the library's own description.

````{explorable} one-weight
```{glue:figure} one_weight_figure
...
```
````

The content is what stands there without JavaScript: a figure. With JavaScript the panel takes the
place of the figure's picture; its caption stays.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minitrain.common.errors import UserError
from minitrain.common.messages import MESSAGES
from minitrain.pages.explorable_texts import COMMON
from minitrain.pages.explorables import OWN, Explorable, named

from . import panels
from .languages import DEFAULT_LANGUAGE, language_of

CLASS = "explorable"
SAID = (
    "at",
    "got",
    "number",
    "point",
    "finite",
    "whole_number",
    "at_least",
    "at_most",
    "less_than",
)
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
        box = panels.box(
            (CLASS, f"{CLASS}-{name}"),
            description(explorable, language),
            COMMON[language].no_script,
            ("explorable.css",),
            ("explorable.js", f"{name}.js"),
        )
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("explorable", ExplorableDirective)

"""The course's own scripts and style sheets go out short: without comments, with short names."""

from __future__ import annotations

from pathlib import Path

import minify
from sphinx.application import Sphinx

TYPES = {".js": "application/javascript", ".css": "text/css"}


def minified(path: Path) -> str:
    """The text of a script or a style sheet, as short as it gets without another meaning."""
    text: str = minify.string(TYPES[path.suffix], path.read_text("utf-8"))
    return text


def shorten(app: Sphinx, exception: Exception | None) -> None:
    """Write what lies in ``assets`` once more; Sphinx has copied it as it is."""
    if exception or app.builder.format != "html":
        return
    for source in (Path(app.confdir) / "assets").iterdir():
        if source.suffix in TYPES:
            target = Path(app.outdir) / "_static" / source.name
            target.write_text(minified(source), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("build-finished", shorten)

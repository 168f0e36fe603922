"""Offers for download the notebook that lies beside a page, as JupyterLab opens it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def on_page_context(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Copy the page's notebook into the site and name it to the theme."""
    if doctree is None:
        return
    notebook = Path(app.env.doc2path(pagename)).with_suffix(".ipynb")
    if not notebook.exists():
        return
    copy = Path(app.outdir, "_sources", f"{pagename}.ipynb")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(notebook, copy)
    # The theme makes a download button from this name.
    context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("html-page-context", on_page_context, priority=400)

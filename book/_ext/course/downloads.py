"""Offers for download the notebook that lies beside a page, as JupyterLab opens it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def notebook_of(app: Sphinx, pagename: str, doctree: nodes.document | None) -> Path | None:
    """The notebook beside a page, if there is one."""
    if doctree is None:
        return None
    notebook = Path(app.env.doc2path(pagename)).with_suffix(".ipynb")
    return notebook if notebook.exists() else None


def name_notebook(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Name the notebook to the theme, which makes a download button from it."""
    if notebook_of(app, pagename, doctree):
        context["ipynb_source"] = f"{pagename}.ipynb"


def copy_notebook(
    app: Sphinx, pagename: str, _template: str, _context: dict[str, Any], doctree: nodes.document
) -> None:
    """Put the notebook where the button leads."""
    if notebook := notebook_of(app, pagename, doctree):
        copy = Path(app.outdir, "_sources", f"{pagename}.ipynb")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, copy)


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("html-page-context", name_notebook, priority=400)
    # With a launch button the theme writes another notebook of this name (priority 501).
    app.connect("html-page-context", copy_notebook, priority=600)

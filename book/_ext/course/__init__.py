"""The course's Sphinx extension: two languages in one site, and what the course adds to a page."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from . import (
    alternates,
    bibliography,
    card,
    catalogues,
    claims,
    concept_map,
    diagnosis,
    downloads,
    execution,
    explorables,
    generated,
    glossary,
    navigation,
    numbering,
    panels,
    prompts,
    repository,
    scripts,
    search,
    trainer,
)

MODULES = (
    alternates,
    bibliography,
    card,
    catalogues,
    claims,
    concept_map,
    diagnosis,
    downloads,
    execution,
    explorables,
    generated,
    glossary,
    navigation,
    numbering,
    panels,
    prompts,
    repository,
    scripts,
    search,
    trainer,
)


def code_fingerprint() -> str:
    """A hash of the extension's own code."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def setup(app: Sphinx) -> dict[str, Any]:
    """Set up all parts of the extension."""
    # A doctree is hundreds of thousands of objects, none of them garbage. Looking through them as
    # often as Python does by default takes a sixth of the time of a build.
    gc.set_threshold(200_000, 20, 100)
    for module in MODULES:
        module.setup(app)
    # Jupyter Book always sets this option of sphinx_comments, which the book does not load.
    app.add_config_value("comments_config", None, "html")
    # Before the theme's templates, some of which ours replace.
    app.config.templates_path.insert(0, str(Path(__file__).parent / "templates"))
    return {
        "version": "1",
        # Pages that this code has read are read again when it changes.
        "env_version": code_fingerprint(),
        "parallel_read_safe": False,
        "parallel_write_safe": False,
    }

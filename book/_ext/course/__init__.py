"""The course's Sphinx extension: two languages in one site, and what the course adds to a page."""

from __future__ import annotations

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
    downloads,
    execution,
    generated,
    glossary,
    navigation,
    numbering,
    prompts,
    repository,
    search,
)

MODULES = (
    alternates,
    bibliography,
    card,
    catalogues,
    claims,
    concept_map,
    downloads,
    execution,
    generated,
    glossary,
    navigation,
    numbering,
    prompts,
    repository,
    search,
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Set up all parts of the extension."""
    for module in MODULES:
        module.setup(app)
    # Jupyter Book always sets this option of sphinx_comments, which the book does not load.
    app.add_config_value("comments_config", None, "html")
    # Before the theme's templates, some of which ours replace.
    app.config.templates_path.insert(0, str(Path(__file__).parent / "templates"))
    return {
        "version": "1",
        "env_version": 2,
        "parallel_read_safe": False,
        "parallel_write_safe": False,
    }

"""Where executed notebooks are cached.

jupyter-cache recognises a notebook by its code cells. It cannot see that a change in ``src/`` or in
``experiments/`` changes what these cells print, so both are part of the cache's path.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (("src", "*.py"), ("experiments", "*.yaml"))
PACKAGES = ("torch", "numpy", "matplotlib", "ipywidgets")


@cache
def fingerprint() -> str:
    """A hash of all that decides what the cells print."""
    digest = hashlib.sha256()
    python = ".".join(platform.python_version_tuple()[:2])
    digest.update("\n".join([python, *(version(name) for name in PACKAGES)]).encode())
    for folder, pattern in SOURCES:
        for path in sorted((ROOT / folder).rglob(pattern)):
            digest.update(b"\0" + path.relative_to(ROOT).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_path() -> Path:
    """The folder of the jupyter-cache that the book and ``tools/notebooks.py`` share."""
    return ROOT / "_build" / ".jupyter_cache" / fingerprint()


def on_config_inited(_app: Sphinx, config: Config) -> None:
    """Tell myst-nb where the cache lies."""
    config.nb_execution_cache_path = str(cache_path())


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("config-inited", on_config_inited)

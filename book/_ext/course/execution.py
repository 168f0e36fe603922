"""How pages are executed: through one cache, several at once.

An entry of the cache is dropped when what its page rests on has changed (see `sources`).

myst-nb executes a page when Sphinx reads it, one page after the other, and most pages keep one core
busy. So before Sphinx reads, two things happen on all cores: the runs that the experiments list and
the store lacks are trained, in one pool; then the pages that the cache lacks are executed. Left to
the pages, each would train in a pool of its own, with more processes than cores.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, MutableMapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from copy import deepcopy
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml
from jupyter_cache import get_cache
from myst_nb.core.config import NbParserConfig
from myst_nb.core.execute import create_client
from myst_nb.core.execute.base import ExecutionError
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.runs import fingerprints
from minitrain.runs.sweep import run_all

from . import sources
from .card import with_card
from .languages import language_of

ROOT = Path(__file__).resolve().parents[3]


def cache_path() -> Path:
    """The folder of the jupyter-cache that the book and ``tools/notebooks.py`` share."""
    return ROOT / "_build" / ".jupyter_cache"


def docname_of(page: Path) -> str:
    """Sphinx's name of a page: a lab is reached through the link ``book/labs``."""
    relative = page.relative_to(ROOT)
    parts = relative.parts[1:] if relative.parts[0] == "book" else relative.parts
    return "/".join(parts).removesuffix(".md")


def seen_by_sphinx(docname: str) -> Path:
    """The path under which Sphinx reads a page; relative links are relative to it."""
    return ROOT / "book" / f"{docname}.md"


def read(docname: str) -> NotebookNode:
    """A page as the notebook that the book makes of it, not executed."""
    path = seen_by_sphinx(docname)
    text = with_card(path.read_text("utf-8"), path, language_of(docname))
    extensions = yaml.safe_load((ROOT / "_config.yml").read_text())["parse"]
    markdown = MdParserConfig(enable_extensions=set(extensions["myst_enable_extensions"]))
    return read_myst_markdown_notebook(text, config=markdown, path=path)


def execute(docname: str) -> tuple[NotebookNode, dict[str, NotebookNode]]:
    """A page's notebook with its outputs, and what its cells glued.

    Uses the book's own client and cache: whichever comes first executes, the other one reads.
    """
    notebook = read(docname)
    _drop_if_stale(notebook)
    config = NbParserConfig(
        execution_mode="cache",
        execution_cache_path=str(cache_path()),
        execution_timeout=900,
        execution_raise_on_error=True,
        execution_show_tb=True,
    )
    reader = {"type": "plugin", "name": "myst_nb_md"}
    logger = PlainLogger(logging.getLogger("notebooks"))
    path = str(seen_by_sphinx(docname))
    client = create_client(deepcopy(notebook), path, config, logger, reader)
    with client:
        glued = client.glue_data
    # The client takes glued outputs out of its notebook, but nbval will see them: read them again.
    _, executed = get_cache(cache_path()).merge_match_into_notebook(notebook)
    return executed, glued


class PlainLogger(logging.LoggerAdapter[logging.Logger]):
    """Takes the arguments that myst-nb passes to the loggers of Sphinx."""

    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, Any]:
        """Drop what the standard library does not know."""
        return msg, {key: kwargs[key] for key in kwargs if key not in ("subtype", "line")}


def fill_cache(docnames: Iterable[str], jobs: int) -> None:
    """Execute the pages that the cache lacks, `jobs` at once; of twins, which share an entry, one.

    Before that, train the runs that they may ask for. Raises `UserError`, with a line for each page
    that failed, after the others have been executed: those need not run again.
    """
    cached = get_cache(cache_path())
    cached.list_cache_records()  # creates the database, which two processes cannot do at once
    missing: dict[tuple[str, ...], str] = {}
    for docname in docnames:
        notebook = read(docname)
        _drop_if_stale(notebook)
        try:
            cached.match_cache_notebook(notebook)
        except KeyError:
            cells = tuple(cell["source"] for cell in notebook.cells if cell["cell_type"] == "code")
            missing.setdefault(cells, docname)
    if missing:
        train_runs()
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            failures = [line for line in pool.map(_execute_or_say, missing.values()) if line]
        if failures:
            raise UserError("\n".join(failures))


def _drop_if_stale(notebook: NotebookNode) -> None:
    """Remove a page's entry from the cache if what the page rests on is not what it was."""
    cached = get_cache(cache_path())
    _, key = cached.create_hashed_notebook(notebook)
    noted, now = cache_path() / "sources" / key, sources.of(notebook)
    if noted.exists() and noted.read_text("utf-8") == now:
        return
    with suppress(KeyError):
        cached.remove_cache(cached.match_cache_notebook(notebook).pk)
    write_atomically(noted, now.encode())


def train_runs() -> None:
    """Train what the experiments list and the store lacks, and compare all fingerprints.

    Raises `UserError` naming the first run that is not the published one, to the last bit.
    """
    lock = fingerprints.read()
    points = fingerprints.points()
    fingerprints.check_listed(lock, points)
    fingerprints.check(lock, points, run_all(point.recipe for point in points))


def _execute_or_say(docname: str) -> str | None:
    """What went wrong, in one line; jupyter-cache has logged the cell and the traceback by then."""
    try:
        execute(docname)
    except ExecutionError as error:
        cause = error.__cause__
        if isinstance(cause, CellExecutionError):
            return f"{docname}: {cause.ename}: {cause.evalue}"
        return f"{docname}: {cause}"
    return None


def on_env_before_read_docs(_app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute what is about to be read."""
    pages = [
        name
        for name in docnames
        if language_of(name)
        and is_myst_markdown_notebook(Path(env.doc2path(name)).read_text("utf-8"))
    ]
    try:
        fill_cache(pages, jobs=os.cpu_count() or 1)
    except UserError as error:
        raise ExtensionError(str(error)) from error


def on_config_inited(_app: Sphinx, config: Config) -> None:
    """Tell myst-nb where the cache lies."""
    config.nb_execution_cache_path = str(cache_path())
    config.course_sources = sources.everything()


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    # Directives ask the library too: when it changes, all pages are read again, if not executed.
    app.add_config_value("course_sources", "", "env")
    app.connect("config-inited", on_config_inited)
    app.connect("env-before-read-docs", on_env_before_read_docs)

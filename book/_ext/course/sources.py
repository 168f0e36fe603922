"""Which files of the course decide what a page prints, as one hash.

jupyter-cache recognises a page by its code cells. It cannot see that a change in the library
changes what these cells print. So each entry is kept with a hash of what the page rests on: the
modules that its cells import, with all that these import in turn; the kernel, and the experiments
that are named with their faults, where they get that far; the recorded benchmarks that are named;
Python and a few packages. An entry whose hash is another one is stale.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import grimp
from nbformat import NotebookNode

import minitrain

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = minitrain.__name__
SRC = Path(minitrain.__file__).resolve().parents[1]  # of the library that pages import
PACKAGES = ("torch", "numpy", "matplotlib", "ipywidgets", "transformers")
# A page that imports one of these, however indirectly, rests on other files as well.
RECORDS = (".json", ".txt")  # of benchmarks
COMPILES = "minitrain.kernel.build"
READS_EXPERIMENTS = "minitrain.runs.experiments"
READS_ALL_EXPERIMENTS = "minitrain.runs.fingerprints"


@cache
def imports() -> grimp.ImportGraph:
    """Which module of the library imports which."""
    return grimp.build_graph(LIBRARY, cache_dir=None)


@cache
def everything() -> str:
    """The hash of all that any page may rest on."""
    return _hash(imports().modules, "")


def of(notebook: NotebookNode) -> str:
    """The hash of what a page's code cells rest on."""
    found: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                found.update(_modules(ast.parse(cell.source)))
            except SyntaxError:  # a line for IPython, or for a shell: it may do anything
                return everything()
    if LIBRARY in found:
        return everything()
    modules = found.union(*(imports().find_upstream_modules(name) for name in found))
    return _hash(modules, "".join(cell.source for cell in notebook.cells))


def _modules(cell: ast.Module) -> Iterator[str]:
    """The library's modules that a cell imports; the whole library, where it runs its commands."""
    known = imports().modules
    for node in ast.walk(cell):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and str(node.value).split(" ")[0] == LIBRARY:
            names = [LIBRARY]
        else:
            continue
        for name in names:
            # `from a.b import c`: a module a.b.c, or something in a.b.
            found = next((n for n in (name, name.rpartition(".")[0]) if n in known), None)
            if found:
                yield found


@cache
def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _hash(modules: Iterable[str], text: str) -> str:
    """The hash of modules and of what they read; `text` may name experiments."""
    packages = {parent for name in modules for parent in _parents(name)}
    paths = {_path(name) for name in packages.union(modules)}
    if READS_EXPERIMENTS in modules:
        everywhere = text + "".join(path.read_text("utf-8") for path in paths)
        paths.update(_experiments(everywhere, everything=READS_ALL_EXPERIMENTS in modules))
    if COMPILES in modules:
        paths.update((ROOT / "kernel").rglob("*.[ch]"))
    records = (path for path in (ROOT / "benchmarks").glob("*") if path.suffix in RECORDS)
    paths.update(path for path in records if path.name in text)
    digest = hashlib.sha256()
    python = ".".join(platform.python_version_tuple()[:2])
    digest.update("\n".join([python, *(version(name) for name in PACKAGES)]).encode())
    for path in sorted(paths):
        name = path.relative_to(SRC.parent if path.is_relative_to(SRC) else ROOT)
        digest.update(name.as_posix().encode() + b"\0" + _digest(path))
    return digest.hexdigest()


def _experiments(text: str, *, everything: bool) -> Iterator[Path]:
    """The files of the experiments that a text names, and of the faults that these name."""
    for path in (ROOT / "experiments").rglob("*.yaml"):
        if everything or path.parent.name in text:
            yield path
            said = path.read_text("utf-8")
            yield from (file for file in (ROOT / "faults").rglob("*.*") if file.stem in said)


def _parents(module: str) -> Iterator[str]:
    """The packages whose ``__init__`` is executed when a module is imported."""
    while module := module.rpartition(".")[0]:
        yield module


def _path(module: str) -> Path:
    path = SRC.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

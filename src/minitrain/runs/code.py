"""Which code trains: an address must answer for the code that runs, not for files on a disk.

The sources of the training are read when this module is imported. What they define, when they are
executed, is compared with what the modules hold now, at every address: a function that a notebook
replaced or wrapped, a file that changed before or after its import, an edit that ``%autoreload``
brought in, a constant or the corpus changed in place, each is named and refused. Libraries that the
training calls are not looked at.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from minitrain.common.errors import UserError
from minitrain.runs.meaning import Watch, described
from minitrain.training import corpus, grid, loop, metrics, model, optim, precision, schedule

# The modules whose code decides what a run's numbers are, each before those that import it: what is
# replaced is then named by the place where it is defined.
MODULES = (corpus, grid, precision, schedule, optim, model, metrics, loop)


def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


SOURCES = {module.__name__: _source(module) for module in MODULES}


def _defined_by(module: ModuleType) -> ModuleType:
    """A module made from the source alone, that nobody else has a hold of."""
    made = ModuleType(module.__name__)
    made.__file__ = module.__file__
    source = compile(SOURCES[module.__name__], str(module.__file__), "exec", dont_inherit=True)
    exec(source, vars(made))
    return made


_DEFINED = tuple(map(_defined_by, MODULES))
_EXPECTED = described(_DEFINED, Watch())

# What was looked at when all was well; the tensors of the corpus, and how often they were written.
_watched: Watch | None = None
_versions: list[Any] = []


@cache
def training_code() -> str:
    """SHA-256 of the source of every module that decides what a run's numbers are."""
    return hash_of(SOURCES)


def hash_of(sources: Mapping[str, str]) -> str:
    """What `training_code` is where the modules have these sources."""
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        digest.update(f"{name.rsplit('.', 1)[-1]}\0{source}\0".encode())
    return digest.hexdigest()


def verify() -> None:
    """Raise `UserError` unless code, constants and corpus in memory are those of the sources."""
    verify_code()
    _verify_corpus()


def verify_code() -> None:
    """Raise `UserError` unless the code in memory is that of its sources. Under a millisecond."""
    global _watched
    if _watched is not None and _watched.still():
        return
    watch = Watch()
    found = described(MODULES, watch)
    for name in (*_EXPECTED, *found):
        if name not in found or name not in _EXPECTED or found[name] != _EXPECTED[name]:
            raise _replaced(name)
    _watched = watch


def verify_step() -> None:
    """`verify`, cheap enough for every step: the corpus only if a tensor of it was written to."""
    verify_code()
    if _tensors_of_the_corpus() != _versions:
        _verify_corpus()


def _verify_corpus() -> None:
    """The corpus is encoded once and kept: whoever looks at a batch of it can also write to it."""
    global _versions
    theirs_module: Any = _DEFINED[0]
    for name in ("train", "val"):
        mine, theirs = vars(corpus.encoded(name)), vars(theirs_module.encoded(name))
        items, their_items = corpus.split(name), theirs_module.split(name)
        if list(map(vars, items)) != list(map(vars, their_items)) or not all(
            torch.equal(mine[field], theirs[field]) for field in theirs
        ):
            raise _replaced(f"{corpus.__name__}.encoded({name!r})")
    _versions = _tensors_of_the_corpus()


def _tensors_of_the_corpus() -> list[Any]:
    batches = [corpus.encoded("train"), corpus.encoded("val")]
    tensors = [tensor for batch in batches for tensor in vars(batch).values()]
    # PyTorch counts the writes to a tensor. The batches are kept, so that no other has their id.
    return [(id(tensor), tensor._version) for tensor in tensors]


def _replaced(name: str) -> UserError:
    return UserError(
        f"{name} is not what it was when the training code was imported:"
        " restart Python, so that a run is kept under the code that trained it"
    )

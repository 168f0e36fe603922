"""Which code trains: an address must answer for the code that runs, not for files on a disk.

The sources of the training are read when this module is imported. What they define, when they are
executed, is compared with what the modules hold now, at every address: a function that a notebook
replaced, a file that changed before or after its import, an edit that ``%autoreload`` brought in,
each is named and refused. Libraries that the training calls are not looked at.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import unwrap
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from minitrain.common.errors import UserError
from minitrain.training import corpus, grid, loop, metrics, model, optim, precision, schedule

# The modules whose code decides what a run's numbers are, each before those that import it: what is
# replaced is then named by the place where it is defined.
MODULES = (corpus, grid, precision, schedule, optim, model, metrics, loop)
_NAMES = {module.__name__ for module in MODULES}
_PLAIN = (int, float, complex, str, bytes, bool, type(None), tuple, list, dict, set, frozenset)


def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


SOURCES = {module.__name__: _source(module) for module in MODULES}


@cache
def training_code() -> str:
    """SHA-256 of the source of every module that decides what a run's numbers are."""
    digest = hashlib.sha256()
    for name, source in sorted(SOURCES.items()):
        digest.update(f"{name.rsplit('.', 1)[-1]}\0{source}\0".encode())
    return digest.hexdigest()


def verify() -> None:
    """Raise `UserError` unless the training code in memory is that of its sources."""
    global _last_verified
    expected = _expected()
    for module in MODULES:
        found, wanted = dict(_described(module.__name__, vars(module))), expected[module.__name__]
        for name in (*wanted, *found):
            if found.get(name) != wanted.get(name):
                raise UserError(
                    f"{name} is not what it was when the training code was imported:"
                    " restart Python, so that a run is kept under the code that trained it"
                )
    _last_verified = tuple(_identities())


def verify_if_replaced() -> None:
    """`verify`, if anything was replaced since the last time: cheap enough for every step.

    What is changed in place, an entry of a dict say, is left to `verify`.
    """
    if tuple(_identities()) != _last_verified:
        verify()


_last_verified: tuple[int, ...] = ()


def _identities() -> Iterator[int]:
    for module in MODULES:
        for value in vars(module).values():
            yield id(value)
            if isinstance(value, type) and value.__module__ in _NAMES:
                for member in vars(value).values():
                    yield id(member)
                    yield id(getattr(member, "__code__", None))
            elif isinstance(value, FunctionType):
                yield id(value.__code__)
                yield id(getattr(unwrap(value), "__code__", None))


@cache
def _expected() -> dict[str, dict[str, Any]]:
    """What the sources define, by module, then by dotted name."""
    expected = {}
    for module in MODULES:
        namespace = {"__name__": module.__name__, "__file__": module.__file__}
        exec(compile(SOURCES[module.__name__], str(module.__file__), "exec"), namespace)
        expected[module.__name__] = dict(_described(module.__name__, namespace))
    return expected


def _described(prefix: str, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each name of a module or class with something that differs if what it means does."""
    for name, value in names.items():
        if isinstance(value, type) and value.__module__ in _NAMES:
            yield f"{prefix}.{name}", [base.__qualname__ for base in value.__bases__]
            yield from _described(f"{prefix}.{name}", vars(value))
        elif function := _function(value):
            yield (
                f"{prefix}.{name}",
                (
                    function.__code__,
                    repr(function.__defaults__),
                    repr(function.__kwdefaults__),
                ),
            )
        elif not (name.startswith("__") and name.endswith("__")):
            yield f"{prefix}.{name}", _meaning(value)


def _function(value: Any) -> FunctionType | None:
    """The function behind a function, a decorated one, a method or a property; or None."""
    value = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
    found = unwrap(value) if callable(value) and not isinstance(value, type) else value
    return found if isinstance(found, FunctionType) else None


def _meaning(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, _PLAIN):
        return repr(value)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}"

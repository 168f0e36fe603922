"""The kernel as WebAssembly, run by wasmtime: the module that a page runs, without a browser."""

from functools import cache
from typing import Any, cast

import numpy as np
import wasmtime
from numpy.typing import NDArray

from minitrain.kernel import binding, build
from minitrain.training.config import Config

_ALIGNMENT, _PAGE = 64, 65536


class Sandbox:
    """One training in a WebAssembly module, with vector instructions or without.

    The functions are those of `binding.Memory`. Raises `NoCompiler`.
    """

    def __init__(self, config: Config, simd: bool = True):
        self._store = wasmtime.Store(_engine())
        instance = wasmtime.Instance(self._store, _module(simd), [])
        self._exports = cast(Any, instance.exports(self._store))
        numbers = np.array(binding.leaves(config), dtype="<f8").tobytes()
        items = binding.items().astype("<i4").tobytes()
        config_at = _aligned(self._exports["__heap_base"].value(self._store))
        items_at = _aligned(config_at + len(numbers))
        training_at = _aligned(items_at + len(items))
        self._write(config_at, numbers)
        self._write(items_at, items)
        self._reach(training_at + int(self._call("bytes", config_at)))
        self._at = self._call("start", training_at, config_at, items_at)

    def record(self) -> int:
        """Measure the run as it stands; returns its status."""
        return int(self._call("record", self._at))

    def advance(self) -> int:
        """One update; returns the status after it."""
        return int(self._call("advance", self._at))

    def fingerprint(self) -> str:
        """The fingerprint of the parameters that were measured last."""
        where = self._call("fingerprint", self._at)
        return bytes(self._memory.read(self._store, where, where + 32)).hex()

    @property
    def step(self) -> int:
        return int(self._call("step", self._at))

    @property
    def first_moment(self) -> NDArray[np.float64]:
        """A copy of Adam's first moment: (P,)."""
        where, size = self._call("first_moment", self._at), int(self._call("size", self._at))
        content = self._memory.read(self._store, where, where + 8 * size)
        return np.frombuffer(bytes(content), dtype="<f8")

    @property
    def _memory(self) -> Any:
        return self._exports["memory"]

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._exports[f"minitrain_{name}"](self._store, *arguments)

    def _reach(self, end: int) -> None:
        missing = end - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, -(-missing // _PAGE))

    def _write(self, where: int, content: bytes) -> None:
        self._reach(where + len(content))
        self._memory.write(self._store, content, where)


def _aligned(address: int) -> int:
    return -(-address // _ALIGNMENT) * _ALIGNMENT


@cache
def _engine() -> wasmtime.Engine:
    return wasmtime.Engine()


@cache
def _module(simd: bool) -> wasmtime.Module:
    module = wasmtime.Module(_engine(), build.web_assembly(simd))
    assert not module.imports, "the kernel asks its host for nothing"
    return module

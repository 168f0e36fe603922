"""The kernel's functions, called from Python: its config, its memory, its record.

The layout of what passes between the two is that of `kernel/config.h`, `kernel/corpus.h` and
`kernel/minitrain.c`.
"""

import ctypes
import math
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minitrain.kernel import build
from minitrain.training import corpus
from minitrain.training.config import (
    ArithmeticConfig,
    Config,
    OptimizerConfig,
)
from minitrain.training.loop import Record
from minitrain.training.metrics import KINDS, SLICES, slices

RECORDED, DIVERGED = 1, 4  # bits of a status
FAULTS = ("wide_embedding", "no_causal_mask")  # bits from the lowest on, as in `config.h`

_SPLITS = ("train", "val")
_PARTS = ("prompt", "form")
_ALIGNMENT = 64


def covers(config: Config) -> bool:
    """Whether the kernel trains this config: float64 on the grid, nothing simulated."""
    arithmetic = config.arithmetic
    return (
        arithmetic.dtype == "float64"
        and arithmetic.grid_bits is not None
        and arithmetic.autocast is None
    )


def leaves(config: Config, faults: Collection[str] = ()) -> list[float]:
    """The config as the kernel reads it: a number for each leaf, in the order of `config.h`, and
    one for the `FAULTS` that are planted.
    """
    model, optimizer = config.model, config.optimizer
    schedule, arithmetic = config.schedule, config.arithmetic
    return [
        config.seed,
        config.steps,
        config.batch_size,
        config.eval_interval,
        model.n_layer,
        model.n_head,
        model.d_model,
        model.dropout,
        model.qkv_bias,
        model.tied_embedding,
        _choice(OptimizerConfig, "name", optimizer.name),
        optimizer.learning_rate,
        *optimizer.betas,
        optimizer.eps,
        optimizer.weight_decay,
        _choice(OptimizerConfig, "decay_mask", optimizer.decay_mask),
        optimizer.gradient_clip or 0,
        schedule.warmup_steps,
        schedule.final_fraction,
        _choice(ArithmeticConfig, "dtype", arithmetic.dtype),
        arithmetic.grid_bits or 0,
        0 if arithmetic.autocast is None else 1,
        arithmetic.loss_scale,
        sum(1 << FAULTS.index(fault) for fault in set(faults)),
    ]


def _choice(section: type[Any], field: str, value: str) -> int:
    """A name's place in the list of names that the field may have."""
    return get_args(section.model_fields[field].annotation).index(value)


@cache
def items() -> NDArray[np.int32]:
    """The items that the kernel trains on and is judged by, one row each, as `Item` in `corpus.h`:
    the number of tokens, the target at which the form begins, a bit for each slice, the tokens.
    """
    rows = []
    for name in _SPLITS:
        for item in corpus.split(name):
            tokens = corpus.encode(item.text)
            marks = sum(1 << SLICES.index(slice) for slice in slices(item))
            padding = [0] * (corpus.CONTEXT - len(tokens))
            rows.append([len(tokens), len(item.prompt) - 1, marks, *tokens, *padding])
    return np.array(rows, dtype=np.int32)


class Memory:
    """One training in the kernel: its state, and views of its parameters as PyTorch tensors.

    values, first_moment and second_moment: (P,) float64, those that decay, then those that are
    spared, in the kernel's own memory: who writes to them writes to the training. flags: of the
    compiler, after ours (see `build.library`). faults: which of `FAULTS` are planted.
    """

    def __init__(self, config: Config, *flags: str, faults: Collection[str] = ()):
        self._library = _library(*flags)
        numbers = np.array(leaves(config, faults), dtype=np.float64)
        size = int(self._library.minitrain_bytes(numbers.ctypes.data))
        self._bytes = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
        start = -self._bytes.ctypes.data % _ALIGNMENT
        base = self._bytes[start:].ctypes.data
        self._at = self._library.minitrain_start(base, numbers.ctypes.data, items().ctypes.data)
        self.values, self.first_moment, self.second_moment = (
            self._vector(getattr(self._library, f"minitrain_{name}"))
            for name in ("values", "first_moment", "second_moment")
        )

    def _vector(self, where: Any) -> Tensor:
        begin = where(self._at) - self._bytes.ctypes.data
        end = begin + 8 * int(self._library.minitrain_size(self._at))
        # The tensor keeps the memory alive.
        return torch.from_numpy(self._bytes[begin:end].view(np.float64))

    def resume(self, step: int, tokens: int) -> None:
        """Go on from `step`: parameters and moments are those of then."""
        self._library.minitrain_resume(self._at, float(step), float(tokens))

    def record(self) -> int:
        """Measure the run as it stands; returns its status."""
        return int(self._library.minitrain_record(self._at))

    def advance(self) -> int:
        """One update; returns the status after it."""
        return int(self._library.minitrain_advance(self._at))

    def fingerprint(self) -> str:
        """The fingerprint of the parameters that were measured last."""
        return ctypes.string_at(self._library.minitrain_fingerprint(self._at), 32).hex()

    @property
    def step(self) -> int:
        return int(self._library.minitrain_step(self._at))

    @property
    def tokens(self) -> int:
        return int(self._library.minitrain_tokens(self._at))

    def last_record(self, kinds: set[str]) -> Record:
        """What was measured last, of a model that has parameters of these kinds."""
        text = ctypes.string_at(self._library.minitrain_last_record(self._at), 8 * _RECORD_DOUBLES)
        numbers = iter(np.frombuffer(text, dtype=np.float64).tolist())
        step, rate, norm = (next(numbers) for _ in range(3))
        evaluations = {name: _evaluation(numbers) for name in _SPLITS}
        weights, updates, scales = (_by_kind(numbers, kinds) for _ in range(3))
        return Record(
            step=int(step),
            learning_rate=rate if step else None,
            gradient_norm=norm if step else None,
            train_loss=evaluations["train"][0],
            val_loss=evaluations["val"][0],
            parts={name: parts for name, (_, parts, _) in evaluations.items()},
            weight_norms=weights,
            update_norms=updates if step else {},
            gradient_scales=scales if step else {},
            accuracy={name: accuracy for name, (_, _, accuracy) in evaluations.items()},
            fingerprint=self.fingerprint(),
        )


_RECORD_DOUBLES = 3 + len(_SPLITS) * (1 + len(_PARTS) + len(SLICES)) + 3 * len(KINDS)


def _evaluation(numbers: Iterator[float]) -> tuple[float, dict[str, float], dict[str, float]]:
    loss = next(numbers)
    parts = {name: next(numbers) for name in _PARTS}
    accuracy = {name: next(numbers) for name in SLICES}
    return loss, parts, {name: x for name, x in accuracy.items() if not math.isnan(x)}


def _by_kind(numbers: Iterator[float], kinds: set[str]) -> dict[str, float]:
    found = {name: next(numbers) for name in KINDS}
    return {name: x for name, x in found.items() if name in kinds}


@cache
def _library(*flags: str) -> Any:
    """The compiled kernel with the types of its functions. Raises `NoCompiler`."""
    path = build.library(*flags)
    try:
        library: Any = ctypes.CDLL(str(path))
    except OSError as error:
        raise build.NoCompiler(f"{path}: {error}") from None
    pointer, number, status = ctypes.c_void_p, ctypes.c_double, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "covers": (status, [pointer]),
        "bytes": (number, [pointer]),
        "start": (pointer, [pointer, pointer, pointer]),
        "resume": (None, [pointer, number, number]),
        "record": (status, [pointer]),
        "advance": (status, [pointer]),
        **dict.fromkeys(("step", "tokens", "size"), (number, [pointer])),
        **dict.fromkeys(
            ("last_record", "fingerprint", "values", "first_moment", "second_moment"),
            (pointer, [pointer]),
        ),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"minitrain_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def load() -> None:
    """Compile the kernel if need be, and load it. Raises `NoCompiler`."""
    _library()

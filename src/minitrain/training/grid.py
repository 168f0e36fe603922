"""The parameter grid and the fingerprint: what makes a run the same on every machine.

Two CPUs add the same numbers in a different order and disagree in the last bit; training amplifies
that bit. Rounding every parameter to a coarse grid after every update erases it before it can grow.
"""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

GRID_BITS = 20
SHORT = 12


@torch.no_grad()
def round_to_grid(tensors: Iterable[Tensor], bits: int = GRID_BITS) -> None:
    """Round every value in place to the nearest multiple of 2**-bits (ties to even).

    Scaling by a power of two is exact, so the rounding itself adds no noise.
    """
    for tensor in tensors:
        tensor.mul_(2.0**bits).round_().mul_(2.0**-bits)


def fingerprint(parameters: Mapping[str, Tensor]) -> str:
    """SHA-256 of a set of parameters, as 64 hex digits.

    Hashed in sorted name order: the name in UTF-8, one zero byte, then the values as little-endian
    float64 in C order. Adding +0.0 turns -0.0 into +0.0: equal values, different bytes.
    """
    digest = hashlib.sha256()
    for name in sorted(parameters):
        values = parameters[name].detach().to("cpu", torch.float64).numpy()
        digest.update(name.encode() + b"\0")
        digest.update(np.ascontiguousarray(values + 0.0, dtype="<f8").tobytes())
    return digest.hexdigest()


def short(fingerprint: str) -> str:
    """The first 12 hex digits: what the course prints."""
    return fingerprint[:SHORT]

"""Simulated mixed precision: float64 arithmetic whose matrix products see fewer bits.

Hardware rounds differently from machine to machine; a float64 number rounded to bfloat16 or float16
is the same everywhere. So mixed precision is simulated here the way `torch.autocast` does it: the
master weights stay as they are, matrix products take and return rounded numbers, and everything
else (LayerNorm, SiLU, the loss, the sums of the residual stream) is computed in full.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# What `torch.autocast` runs in the low precision, as far as the model uses it.
_ROUNDED = (F.linear, F.scaled_dot_product_attention)


def round_to(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The values of `x` rounded to the nearest number of `dtype` (ties to even), in x's own dtype.

    Too small becomes zero, too large becomes infinite. PyTorch rounds to float32 on the way.
    """
    return x.to(torch.float32).to(dtype).to(x.dtype)


class Round(torch.autograd.Function):
    """Rounds on the way forward, and rounds the gradient on the way back, as a cast does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = dtype
        return round_to(x, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return round_to(gradients[0], ctx.dtype), None


class Autocast(TorchFunctionMode):
    """While active, every product in `_ROUNDED` takes and returns numbers of `dtype`."""

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function not in _ROUNDED:
            return function(*args, **kwargs)
        rounded = [Round.apply(a, self.dtype) if isinstance(a, Tensor) else a for a in args]
        return Round.apply(function(*rounded, **kwargs), self.dtype)


@contextmanager
def autocast(name: str | None) -> Iterator[None]:
    """Within the block, matrix products see `name` ("bfloat16", "float16") numbers; None: as usual.

    A gradient that passes back through such a product is rounded as well.
    """
    if name is None:
        yield
        return
    with Autocast(getattr(torch, name)):
        yield

"""How the checks read what they are given: a model's parameters, nested values, single bits."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from minitrain.checks.verdict import CannotJudge


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """A model's parameters by name, tied ones once.

    Raises CannotJudge if there are none, or some that have no values yet.
    """
    if not isinstance(model, nn.Module):
        raise CannotJudge(f"model: a {type(model).__name__} is not a torch.nn.Module")
    named = dict(model.named_parameters())
    if not named:
        raise CannotJudge(f"model: {type(model).__name__} has no parameters")
    for name, parameter in named.items():
        if is_lazy(parameter):
            raise CannotJudge(f"model: {name} is lazy and has no shape yet; call the model once")
        if parameter.is_meta:
            raise CannotJudge(f"model: {name} is on the meta device and has no values")
    return named


def finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor, unless it holds NaN or infinity."""
    if not torch.isfinite(tensor).all():
        raise CannotJudge(f"{name}: holds NaN or infinity")
    return tensor


def copies(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values as they are now."""
    return {name: tensor.detach().clone() for name, tensor in named.items()}


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Put the parameters, buffers and gradients of a model back afterwards, in place."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    gradients = [tensor.grad for tensor in tensors]
    kept = [None if gradient is None else gradient.clone() for gradient in gradients]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value, gradient, old in zip(tensors, values, gradients, kept, strict=True):
                tensor.copy_(value)
                if gradient is not None and old is not None:
                    gradient.copy_(old)
                tensor.grad = gradient


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal to the last bit: NaN equals NaN, and 0 is not -0."""
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def leaves(value: Any, name: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors, numbers, strings and bytes in nested tuples, lists, dataclasses and mappings.

    Raises CannotJudge on anything else, by `name`.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, name, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for i, part in enumerate(value):
            yield from leaves(part, name, f"{path}[{i}]")
    elif isinstance(value, Tensor | str | bytes | bool | int | float | type(None)):
        yield path, value
    else:
        try:
            yield path, torch.as_tensor(value)  # an array of NumPy
        except (TypeError, ValueError, RuntimeError):
            kind = type(value).__name__
            raise CannotJudge(f"{name}: cannot read a {kind} (tensors, numbers, text)") from None


def equal(a: Any, b: Any) -> bool:
    """Whether two nested values are equal to the last bit."""
    one, two = dict(leaves(a, "value")), dict(leaves(b, "value"))
    return one.keys() == two.keys() and all(
        same_bits(x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else bool(x == y)
        for x, y in ((one[path], two[path]) for path in one)
    )


def digest(value: Any, name: str) -> str:
    """A hash of a nested value: equal numbers hash equally, whatever their precision."""
    total = hashlib.sha256()
    for path, leaf in leaves(value, name):
        if isinstance(leaf, Tensor):
            wide = (
                leaf.detach().cpu().to(torch.float64 if leaf.is_floating_point() else torch.int64)
            )
            leaf = (tuple(leaf.shape), wide.contiguous().numpy().tobytes())
        total.update(repr((path, leaf)).encode())
    return total.hexdigest()

"""A check of how gradients are accumulated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from minitrain.checks.reading import copies, finite, parameters, restored, same_bits
from minitrain.checks.verdict import CannotJudge, Verdict

Batch = TypeVar("Batch")


def split_gradient(
    model: nn.Module,
    whole: Callable[[], object],
    split: Callable[[], object],
    tolerance: float | None = None,
) -> Verdict:
    """The gradient that a batch leaves when it is split is that of the batch.

    whole, split: both leave the gradient of one and the same batch in `model`; `whole` in one
    backward pass, `split` as the training loop accumulates it (see `pieces`). The batch must be
    uneven, as batches are: sequences of different lengths, or padding; with even parts a mean of
    means is the mean. tolerance: of the relative distance ‖split - whole‖ / ‖whole‖; √ε of the
    gradients' dtype unless given. The model's values, buffers and gradients are put back.

    Finds a mean of means (huggingface/transformers PR #34191), a missing division, gradients that
    are zeroed between the parts (huggingface/accelerate#1422). Cannot see a fault that `whole` has
    as well, nor gradients that are left over from the last step: there are none before either call.
    A batch norm fails: its statistics are those of the parts.
    """
    named = parameters(model)
    before = copies(named)
    gradients = {}
    with restored(model):
        for name, call in {"whole": whole, "whole again": whole, "split": split}.items():
            for p in named.values():
                if p.grad is not None:
                    p.grad.zero_()  # in place: it may be a view that an optimizer holds
            call()
            gradients[name] = finite(name, _flat(named))
            changed = [n for n, p in named.items() if not same_bits(p, before[n])]
            if changed:
                raise CannotJudge(f"{name}: changes {changed[0]}; leave the optimizer's step out")
    total = gradients["whole"].norm().item()
    if total == 0:
        raise CannotJudge("whole: leaves no gradient in the model")
    again, distance = (
        (gradients[name] - gradients["whole"]).norm().item() / total
        for name in ("whole again", "split")
    )
    allowed = _epsilon(named) ** 0.5 if tolerance is None else tolerance
    if again > allowed:
        raise CannotJudge("whole: two calls leave different gradients; is dropout on?")
    evidence = f"‖split - whole‖ / ‖whole‖ = {distance:.2g}, ≤ {allowed:.2g}"
    return Verdict("split_gradient", distance <= allowed, evidence)


def _flat(named: Mapping[str, Tensor]) -> Tensor:
    """All gradients as one vector in float64, zero where there is none."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in named.values()]
    return torch.cat([g.detach().to_dense().flatten().double().cpu() for g in gradients])


def _epsilon(named: Mapping[str, Tensor]) -> float:
    return max(torch.finfo(p.dtype).eps for p in named.values() if p.is_floating_point())


def pieces(batch: Batch, parts: int) -> list[Batch]:
    """A batch cut along its first dimension into `parts`, as equal as can be.

    batch: a tensor (B, …), or a tuple, list or dict of such.
    """
    sizes = {len(t) for t in _tensors(batch)}
    if len(sizes) != 1:
        raise CannotJudge(f"batch: {sorted(sizes)} rows; one number of rows is needed")
    (rows,) = sizes
    if not 2 <= parts <= rows:
        raise CannotJudge(f"parts: {parts}, for a batch of {rows} rows")
    cuts = torch.arange(rows).tensor_split(parts)
    return [_rows(batch, cut) for cut in cuts]


def _tensors(batch: Any) -> Sequence[Tensor]:
    found = [batch] if isinstance(batch, Tensor) else _members(batch)
    if not found or not all(isinstance(t, Tensor) and t.ndim for t in found):
        raise CannotJudge(
            f"batch: {type(batch).__name__}; expected tensors, or a tuple or dict of them"
        )
    return found


def _members(batch: Any) -> list[Any]:
    if isinstance(batch, Mapping):
        return list(batch.values())
    return list(batch) if isinstance(batch, tuple | list) else []


def _rows(batch: Any, rows: Tensor) -> Any:
    if isinstance(batch, Tensor):
        return batch[rows]
    if isinstance(batch, Mapping):
        return {name: tensor[rows] for name, tensor in batch.items()}
    cut = [tensor[rows] for tensor in batch]
    return type(batch)(*cut) if hasattr(batch, "_fields") else type(batch)(cut)

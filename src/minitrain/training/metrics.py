"""What a run is judged by: losses, whole-form accuracy by slice, and the norms of the weights."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from minitrain.training import corpus
from minitrain.training.corpus import PAD, Item, Split
from minitrain.training.model import GPT

# A parameter belongs to the first kind whose mark is in its name.
_KINDS = {
    "token_embedding": "token_embedding",
    "position_embedding": "position_embedding",
    "ln_": "norm",
    "bias": "bias",
    "attention": "attention",
    "mlp": "mlp",
    "head": "head",
}
KINDS = tuple(_KINDS.values())
EMBEDDING = "token_embedding"


@dataclass(frozen=True)
class Evaluation:
    """One split under one model. Losses are in nats per character.

    loss: mean cross-entropy. parts: the same in two parts, each per character of its own: "prompt"
    (verb, time cue and person, which nobody can know for sure) and "form" (the verb form and the
    full stop, which follow from the prompt). accuracy: by slice, the share of items whose form is
    right to the last character.
    """

    loss: float
    parts: dict[str, float]
    accuracy: dict[str, float]


# Items that are handed to the model at once: their activations fit in a core's cache.
_AT_ONCE = 30


@torch.no_grad()
def judge(model: GPT, split: Split) -> tuple[Tensor, Tensor]:
    """Every character and every form of a split, in its order.

    Returns the cross-entropy of each target in nats (N, T), zero at padding; and (N,) bool, whether
    a form is right: each of its characters, and the full stop after it, is the most probable one
    given the true characters before it. That is the same as asking whether greedy generation writes
    the whole form: the two part only after a first mistake.
    """
    data = corpus.encoded(split)
    losses = torch.zeros(data.targets.shape, dtype=torch.float64)
    right = torch.empty(len(losses), dtype=torch.bool)
    # The shortest first, so that there is little padding to compute.
    for rows in (data.targets != PAD).sum(dim=1).argsort(stable=True).split(_AT_ONCE):
        batch = data[rows].to(model.device)
        logits = model(batch.inputs)
        each = F.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PAD, reduction="none"
        )
        losses[rows, : batch.targets.shape[1]] = each.view_as(batch.targets).to(losses)
        hits = ((logits.argmax(dim=-1) == batch.targets) | ~batch.is_form).all(dim=1)
        right[rows] = hits.to(right.device)
    return losses, right


def evaluate(model: GPT, split: Split) -> Evaluation:
    """Losses and accuracy on a whole split."""
    data = corpus.encoded(split)
    losses, right = judge(model, split)
    known = data.targets != PAD
    parts = {"prompt": known & ~data.is_form, "form": data.is_form}
    return Evaluation(
        loss=float(losses[known].mean()),
        parts={name: float(losses[part].mean()) for name, part in parts.items()},
        accuracy=_by_slice(corpus.split(split), right),
    )


def slices(item: Item) -> tuple[str, ...]:
    """The slices that an item counts in: ``("all", "irregular", "past", "she")``."""
    return ("all", "regular" if item.regular else "irregular", item.tense, item.person)


SLICES = ("all", "regular", "irregular", *corpus.TENSES, *corpus.PERSONS)


def _by_slice(members: Iterable[Item], right: Tensor) -> dict[str, float]:
    hits: dict[str, list[bool]] = {name: [] for name in SLICES}
    for item, hit in zip(members, right.tolist(), strict=True):
        for name in slices(item):
            hits[name].append(hit)
    return {name: sum(marks) / len(marks) for name, marks in hits.items() if marks}


def kind(name: str) -> str:
    """The kind of a parameter, from its name: ``"blocks.0.mlp.up.weight"`` is ``"mlp"``."""
    return next(kind for mark, kind in _KINDS.items() if mark in name)


def norms(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Euclidean (Frobenius) norm by kind, of tensors that are named as parameters are."""
    return {kind: math.sqrt(square) for kind, (square, _) in _by_kind(tensors).items()}


def root_mean_squares(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Root of the mean square by kind, of tensors that are named as parameters are."""
    return {kind: math.sqrt(square / size) for kind, (square, size) in _by_kind(tensors).items()}


def weight_norms(model: GPT) -> dict[str, float]:
    """Euclidean (Frobenius) norm of all parameters of each kind of parameter that there is."""
    return norms(dict(model.named_parameters()))


@torch.no_grad()
def _by_kind(tensors: Mapping[str, Tensor]) -> dict[str, tuple[float, int]]:
    """Sum of squares and number of values of each kind that occurs, in the order of `KINDS`."""
    sums: dict[str, tuple[float, int]] = {}
    for name, tensor in tensors.items():
        square, size = sums.get(kind(name), (0.0, 0))
        sums[kind(name)] = square + float(tensor.square().sum()), size + tensor.numel()
    return {name: sums[name] for name in KINDS if name in sums}

"""What a run is judged by: losses, whole-form accuracy by slice, and the norms of the weights."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from minitrain import corpus
from minitrain.corpus import PAD, Item, Split
from minitrain.model import GPT

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
        batch = data[rows]
        logits = model(batch.inputs)
        each = F.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PAD, reduction="none"
        )
        losses[rows, : batch.targets.shape[1]] = each.view_as(batch.targets).to(losses.dtype)
        right[rows] = ((logits.argmax(dim=-1) == batch.targets) | ~batch.is_form).all(dim=1)
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


@torch.no_grad()
def weight_norms(model: GPT) -> dict[str, float]:
    """Euclidean (Frobenius) norm of all parameters of each kind of parameter that there is."""
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        squares[kind(name)] = squares.get(kind(name), 0.0) + float(parameter.square().sum())
    return {name: math.sqrt(squares[name]) for name in KINDS if name in squares}

"""Checks of the forward pass: what a model says before it is trained, and what it looks at."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from minitrain.checks.reading import equal, finite, leaves
from minitrain.checks.verdict import CannotJudge, Verdict, few

Prompt = TypeVar("Prompt", bound="Sequence[Any] | Tensor")


def initial_loss(loss: float | Tensor, classes: int, tolerance: float | None = None) -> Verdict:
    """Before the first step a model should know nothing: its loss is near the log of `classes`.

    loss: mean cross-entropy in nats of the untrained model. classes: the size of the vocabulary.
    tolerance: how far from ln(classes), in nats; 1, but at most half of ln(classes), unless given.
    Logits of standard deviation s add about s²/2: 0.15 in GPT-2 (s = 0.02 √768), 0.8 in Llama at a
    width of 4096. A width of 6144 (GPT-NeoX), or Mamba's tied embedding, need a wider tolerance.

    Finds embeddings from N(0, 1) tied to the output layer (jsboige/CoursIA#13279), a loss that is
    summed, in bits, or divided once too often. Cannot see an initialisation
    that is bad deeper down, behind a normalisation; does not hold for pretrained models, nor for an
    output bias set to the frequencies of the classes.
    """
    if isinstance(loss, Tensor) and loss.numel() != 1:
        raise CannotJudge(f"loss: shape {tuple(loss.shape)}; expected one number")
    try:
        value = loss.item() if isinstance(loss, Tensor) else float(loss)
    except (TypeError, ValueError):
        raise CannotJudge(f"loss: a {type(loss).__name__} is not a number") from None
    if not math.isfinite(value):
        raise CannotJudge(f"loss: {value}")
    if classes < 2:
        raise CannotJudge(f"classes: {classes}; there is nothing to choose between")
    uniform = math.log(classes)
    allowed = min(1.0, uniform / 2) if tolerance is None else tolerance
    evidence = f"step-0 loss {value:.2f}, ln {classes} = {uniform:.2f}, ± {allowed:.2f}"
    return Verdict("initial_loss", abs(value - uniform) <= allowed, evidence)


@torch.no_grad()
def causality(
    logits_of: Callable[[Tensor], Tensor],
    tokens: Tensor,
    position: int | None = None,
    tolerance: float | None = None,
) -> Verdict:
    """Other tokens after `position` must not move the logits up to it.

    logits_of: tokens (B, T) -> logits (B, T, V), any decoder. tokens: (B, T) int64, without
    padding; every token after `position` becomes another one of those that occur.
    position: 0 to T - 2, the middle unless given. tolerance: the largest movement that counts as
    none, relative to the largest logit: 16 ε of the logits' dtype unless given, as kernels may sum
    in another order.

    Finds a mask that is missing, bypassed or one token off (huggingface/transformers#48745,
    keras-team/keras#23038). Cannot see one that is added but weak, as -1e4 is (karpathy/minGPT#75),
    before the scores have grown to its size; nor targets that are shifted wrongly. To check the
    path that training takes, seed dropout inside `logits_of`.
    """
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point():
        raise CannotJudge("tokens: expected integers of shape (B, T)")
    if tokens.shape[0] < 1 or tokens.shape[1] < 2:
        raise CannotJudge(f"tokens: shape {tuple(tokens.shape)}; B is at least 1, T at least 2")
    last = (tokens.shape[1] - 2) // 2 if position is None else position
    if not 0 <= last <= tokens.shape[1] - 2:
        raise CannotJudge(f"position: {last} is not in 0 … {tokens.shape[1] - 2}")
    distinct = tokens.unique()
    if len(distinct) < 2:
        raise CannotJudge(f"tokens: all are {distinct.tolist()}; two different ones are needed")

    # Each token becomes the next larger one that occurs, and the largest the smallest.
    others = distinct[(torch.searchsorted(distinct, tokens.contiguous()) + 1) % len(distinct)]
    changed = torch.cat([tokens[:, : last + 1], others[:, last + 1 :]], dim=1)
    before, again, after = (_logits(logits_of, t) for t in (tokens, tokens, changed))
    scale = before.abs().max().item()
    noise = scale * (16 * torch.finfo(before.dtype).eps if tolerance is None else tolerance)
    if (again - before).abs().max().item() > noise:
        raise CannotJudge("logits_of: two calls on the same tokens differ; is dropout on?")

    moved = (after - before).abs().flatten(2).amax((0, 2))  # (T,)
    past, future = moved[: last + 1], moved[last + 1 :].max().item()
    if future <= noise:
        raise CannotJudge(f"logits_of: the logits after {last} do not depend on the tokens there")
    leaks = past.max().item() > noise
    evidence = f"max |Δ logits|: {past.max().item():.2g} at ≤ {last}, {future:.2g} at > {last}"
    if leaks:
        evidence += f"; first at {int((past > noise).nonzero()[0])}"
    return Verdict("causality", not leaks, evidence)


def _logits(logits_of: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    logits = logits_of(tokens)
    if not isinstance(logits, Tensor):
        raise CannotJudge(f"logits_of: returned a {type(logits).__name__}, not a tensor")
    if logits.ndim < 3 or logits.shape[:2] != tokens.shape or not logits.is_floating_point():
        expected = (*tokens.shape, "V")
        raise CannotJudge(f"logits_of: shape {tuple(logits.shape)}, expected {expected}")
    return finite("logits_of", logits.clone())


def repeatable(evaluate: Callable[[], Any]) -> Verdict:
    """Two evaluations in a row are equal to the last bit.

    evaluate: anything that returns a number, a tensor, text, or nested lists and dicts of them.

    Finds dropout that is on at evaluation, whether `eval()` was forgotten or a functional call
    ignores it (karpathy/nanoGPT PR #240); sampled batches (then evaluate on fixed ones); an
    evaluation that changes the model. Cannot see dropout that `evaluate` seeds itself, nor a batch
    norm that normalises by the batch. One number may hide it: at initialisation, dropout on BERT's
    queries leaves its loss in float32 as it is, and moves its logits. Some kernels of GPUs do not
    repeat themselves.
    """
    first, second = (dict(leaves(evaluate(), "evaluate")) for _ in range(2))
    if all(value is None for value in first.values()):
        raise CannotJudge("evaluate: returned nothing to compare")
    for path, value in first.items():
        if isinstance(value, Tensor | float):
            finite(f"evaluate {path}".strip(), torch.as_tensor(value))
    if first.keys() != second.keys():
        return Verdict("repeatable", False, f"{few([*first])} ≠ {few([*second])}")
    pairs = [(path, value, second[path]) for path, value in first.items()]
    differ = [pair for pair in pairs if not equal(*pair[1:])]
    path, one, two = (differ or pairs)[0]
    # Equal numbers need few digits, and different ones all that they have.
    shown = [_shown(value, 17 if differ else 6) for value in (one, two)]
    evidence = f"{path}: ".removeprefix(": ") + f" {'≠' if differ else '='} ".join(shown)
    return Verdict("repeatable", not differ, evidence)


def padding(decode: Callable[[list[Prompt]], Sequence[Any]], prompts: Sequence[Prompt]) -> Verdict:
    """What is decoded from a prompt does not depend on the prompts beside it.

    decode: prompts -> what follows each, in their order and without the padding; greedy, or seeded.
    prompts: two or more, of different lengths (`len`): strings, lists or tensors (T,) of tokens.

    Finds padding on the wrong side, attention to padding, positions counted from it. Cannot see a
    fault that every prompt has alone as well, nor one too small to change what is decoded: an
    untrained model may hang on its last token alone. And where two tokens are
    almost equally likely, rounding may choose between them.
    """
    prompts = list(prompts)
    lengths = {len(prompt) for prompt in prompts}
    if len(lengths) < 2:
        raise CannotJudge(f"prompts: {len(prompts)} of length {sorted(lengths)}; none is padded")
    together = _decoded(decode, prompts)
    alone, again = ([_decoded(decode, [p])[0] for p in prompts] for _ in range(2))
    if not equal(alone, again):
        raise CannotJudge("decode: twice the same prompt alone differs; is it sampled?")
    if all(equal(alone[0], other) for other in alone[1:]):
        raise CannotJudge(f"decode: answers every prompt alike, {_shown(alone[0])}")
    differ = [i for i, pair in enumerate(zip(alone, together, strict=True)) if not equal(*pair)]
    evidence = f"{len(prompts) - len(differ)} / {len(prompts)} equal"
    if differ:
        i = differ[0]
        evidence += f"; prompt {i}: {_shown(alone[i])} ≠ {_shown(together[i])}"
    return Verdict("padding", not differ, evidence)


def _decoded(decode: Callable[[list[Prompt]], Sequence[Any]], prompts: list[Prompt]) -> list[Any]:
    answers = list(decode(prompts))
    if len(answers) != len(prompts):
        raise CannotJudge(f"decode: returned {len(answers)} for {len(prompts)} prompts")
    return answers


def _shown(value: Any, digits: int = 17) -> str:
    """A value, shortened; of a large tensor its norm."""
    if isinstance(value, Tensor) and value.numel() > 12:
        return f"‖{value.double().norm().item():.{digits}g}‖"
    plain = value.tolist() if isinstance(value, Tensor) else value
    text = f"{plain:.{digits}g}" if isinstance(plain, float) else repr(plain)
    return text if len(text) <= 60 else f"{text[:59]}…"

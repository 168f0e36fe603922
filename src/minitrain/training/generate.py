"""Completing a prompt, one character at a time: the most probable one, or one that is drawn."""

import math

import torch
from torch import Tensor

from minitrain.common.errors import UserError
from minitrain.common.messages import got, say
from minitrain.training.corpus import CONTEXT, decode, encode, vocabulary
from minitrain.training.model import GPT

STOP = "."
SMOKE_TEST = "play every day she "  # what every report of a run completes


@torch.no_grad()
def complete(
    model: GPT, prompt: str, temperature: float = 0.0, generator: torch.Generator | None = None
) -> str:
    """What `model` writes after `prompt`, up to the full stop or to the end of the context.

    Temperature 0 takes the most probable character each time; a higher one draws it with
    `generator` from the softmax of logits / temperature. Raises `UserError` for a prompt that the
    model cannot read, and for a temperature that is negative or not finite.
    """
    ids = _read(prompt)
    _check(temperature, generator)
    text = ""
    while len(ids) <= CONTEXT and not text.endswith(STOP):
        logits = model(torch.tensor([ids]))[0, -1].double()
        following = _next(logits, temperature, generator)
        ids.append(following)
        text += decode([following])
    return text


def _next(logits: Tensor, temperature: float, generator: torch.Generator | None) -> int:
    """The most probable token, or one drawn by inversion of the cumulative distribution.

    `torch.multinomial` would take its random numbers from whatever library PyTorch was built with.
    """
    if generator is None or temperature == 0:
        return int(logits.argmax())
    cumulative = ((logits - logits.max()) / temperature).softmax(dim=0).cumsum(dim=0)
    threshold = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
    return min(int((cumulative <= threshold).sum()), len(logits) - 1)


def _read(prompt: str) -> list[int]:
    if not isinstance(prompt, str):
        raise UserError(got(say("prompt_text"), prompt))
    if not prompt:
        raise UserError(got(say("prompt_empty"), prompt))
    if len(prompt) > CONTEXT:
        raise UserError(got(say("prompt_long", length=len(prompt), context=CONTEXT), prompt))
    unknown = sorted(set(prompt) - set(vocabulary()))
    if unknown:
        raise UserError(got(say("prompt_unknown", unknown=" ".join(map(repr, unknown))), prompt))
    return encode(prompt)


def _check(temperature: float, generator: torch.Generator | None) -> None:
    if not (
        isinstance(temperature, int | float) and math.isfinite(temperature) and temperature >= 0
    ):
        raise UserError(got(say("temperature"), temperature))
    if temperature > 0 and generator is None:
        raise UserError(got(say("generator"), temperature))

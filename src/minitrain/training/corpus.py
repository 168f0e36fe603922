"""The corpus: 600 English verb forms, its character vocabulary, and a split fixed by content.

One item is one line of text, for example ``go already she has gone.``: the verb, a time cue that
decides the tense, the person, the form to predict, and a full stop that ends the item.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import torch
from torch import Tensor

Split = Literal["train", "val", "test"]

# verb: (third person, past, participle, gerund). The first twelve verbs are regular.
_FORMS = {
    "ask": ("asks", "asked", "asked", "asking"),
    "call": ("calls", "called", "called", "calling"),
    "carry": ("carries", "carried", "carried", "carrying"),
    "fill": ("fills", "filled", "filled", "filling"),
    "help": ("helps", "helped", "helped", "helping"),
    "like": ("likes", "liked", "liked", "liking"),
    "live": ("lives", "lived", "lived", "living"),
    "need": ("needs", "needed", "needed", "needing"),
    "play": ("plays", "played", "played", "playing"),
    "stop": ("stops", "stopped", "stopped", "stopping"),
    "walk": ("walks", "walked", "walked", "walking"),
    "watch": ("watches", "watched", "watched", "watching"),
    "begin": ("begins", "began", "begun", "beginning"),
    "come": ("comes", "came", "come", "coming"),
    "eat": ("eats", "ate", "eaten", "eating"),
    "give": ("gives", "gave", "given", "giving"),
    "go": ("goes", "went", "gone", "going"),
    "see": ("sees", "saw", "seen", "seeing"),
    "take": ("takes", "took", "taken", "taking"),
    "write": ("writes", "wrote", "written", "writing"),
}
REGULAR = tuple(_FORMS)[:12]
IRREGULAR = tuple(_FORMS)[12:]
VERBS = REGULAR + IRREGULAR
PERSONS = ("i", "you", "he", "she", "we", "they")
TENSES = ("present", "continuous", "past", "perfect", "future")
_CUES = {
    "present": "every day",
    "continuous": "now",
    "past": "yesterday",
    "perfect": "already",
    "future": "tomorrow",
}

N_TRAIN, N_VAL, N_TEST = 240, 180, 180
CONTEXT = 32
PAD = -100  # the target that `torch.nn.functional.cross_entropy` ignores


@dataclass(frozen=True)
class Item:
    """One verb form: what the model is given (`prompt`) and what it must complete (`form`)."""

    verb: str
    person: str
    tense: str

    @property
    def regular(self) -> bool:
        return self.verb in REGULAR

    @property
    def form(self) -> str:
        """The right verb form, auxiliaries included: ``"has gone"``."""
        third, past, participle, gerund = _FORMS[self.verb]
        singular = self.person in ("he", "she")
        match self.tense:
            case "present":
                return third if singular else self.verb
            case "continuous":
                auxiliary = "am" if self.person == "i" else "is" if singular else "are"
                return f"{auxiliary} {gerund}"
            case "past":
                return past
            case "perfect":
                return f"{'has' if singular else 'have'} {participle}"
            case _:
                return f"will {self.verb}"

    @property
    def prompt(self) -> str:
        return f"{self.verb} {_CUES[self.tense]} {self.person} "

    @property
    def text(self) -> str:
        return f"{self.prompt}{self.form}."


@cache
def items() -> tuple[Item, ...]:
    """All 600 items, verb by verb."""
    return tuple(Item(v, p, t) for v, p, t in product(VERBS, PERSONS, TENSES))


@cache
def split(name: Split) -> tuple[Item, ...]:
    """The items of one split: 240 train, 180 val, 180 test.

    Items are ranked by the SHA-256 of their text, so the split depends on nothing but the text:
    no seed, and no library's shuffle, whose order may change with its version.
    """
    ranked = sorted(items(), key=lambda item: hashlib.sha256(item.text.encode()).digest())
    bounds = {
        "train": (0, N_TRAIN),
        "val": (N_TRAIN, N_TRAIN + N_VAL),
        "test": (N_TRAIN + N_VAL, N_TRAIN + N_VAL + N_TEST),
    }
    start, stop = bounds[name]
    return tuple(ranked[start:stop])


@cache
def vocabulary() -> tuple[str, ...]:
    """The characters of the corpus in code-point order; a character's index is its token id."""
    return tuple(sorted(set("".join(item.text for item in items()))))


def encode(text: str) -> list[int]:
    """Token ids of `text`. Raises `ValueError` for a character that the corpus does not have."""
    index = {character: i for i, character in enumerate(vocabulary())}
    unknown = sorted(set(text) - set(index))
    if unknown:
        raise ValueError(f"not in the vocabulary: {' '.join(map(repr, unknown))}")
    return [index[character] for character in text]


def decode(ids: list[int]) -> str:
    """The text of token ids; the inverse of `encode`."""
    return "".join(vocabulary()[i] for i in ids)


@dataclass(frozen=True)
class Batch:
    """Items as tensors, padded to the longest of them: T <= CONTEXT.

    inputs: (B, T) int64, the item without its last character (padding: id 0).
    targets: (B, T) int64, the item without its first character (padding: `PAD`).
    is_form: (B, T) bool, True where the target is a character of the form or the final stop.
    """

    inputs: Tensor
    targets: Tensor
    is_form: Tensor

    def __getitem__(self, index: Tensor) -> "Batch":
        """The rows in `index`, cut to their own longest item."""
        targets = self.targets[index]
        length = int((targets != PAD).sum(dim=1).max())
        return Batch(
            self.inputs[index][:, :length], targets[:, :length], self.is_form[index][:, :length]
        )

    def to(self, device: torch.device) -> "Batch":
        """The same batch in the memory of `device`."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.is_form.to(device))


@cache
def encoded(name: Split) -> Batch:
    """A whole split as one `Batch`, rows in the order of `split(name)`."""
    members = split(name)
    inputs = torch.zeros(len(members), CONTEXT, dtype=torch.int64)
    targets = torch.full_like(inputs, PAD)
    is_form = torch.zeros_like(inputs, dtype=torch.bool)
    for row, item in enumerate(members):
        ids = torch.tensor(encode(item.text))
        inputs[row, : len(ids) - 1] = ids[:-1]
        targets[row, : len(ids) - 1] = ids[1:]
        is_form[row, len(item.prompt) - 1 : len(ids) - 1] = True
    return Batch(inputs, targets, is_form)[torch.arange(len(members))]

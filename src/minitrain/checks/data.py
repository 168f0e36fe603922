"""Checks of the data: what is in two splits at once, and what comes twice."""

from collections.abc import Callable, Iterable
from typing import Any

from minitrain.checks.reading import digest
from minitrain.checks.verdict import CannotJudge, Verdict


def overlap(
    train: Iterable[Any], other: Iterable[Any], key: Callable[[Any], Any] = lambda item: item
) -> Verdict:
    """No item of one split is in another.

    train, other: items, each a tensor, an array, text, a number, or a tuple, list or dict of these.
    key: what of an item must not be shared, say its document, or the lemma of a verb: a split by
    row may have none of its rows twice, and all of its verbs.

    Finds equal items (openai/parameter-golf#2127). Cannot see those that are almost equal, or
    padded to another length.
    """
    seen = {digest(key(item), "train") for item in train}
    hashes = [digest(key(item), "other") for item in other]
    if not seen or not hashes:
        raise CannotJudge(f"{'other' if seen else 'train'}: is empty")
    shared = [i for i, each in enumerate(hashes) if each in seen]
    evidence = f"|train ∩ other| = {len(shared)} / {len(hashes)}"
    evidence += f", first: other[{shared[0]}]" if shared else ""
    return Verdict("overlap", not shared, evidence)


def repeats(batches: Iterable[Any]) -> Verdict:
    """No batch comes twice.

    batches: those of one epoch, or the first ones of several workers or ranks. Whole epochs, each a
    list of batches, tell whether every epoch has a new order:
    ``repeats([list(loader), list(loader)])``.

    Finds workers or ranks that share a seed, a sampler that begins anew. Cannot see an item that
    comes twice in different batches: give it single items for that. A batch that is the whole data
    set repeats rightly.
    """
    first: dict[str, int] = {}
    again = []
    for i, batch in enumerate(batches):
        j = first.setdefault(digest(batch, "batches"), i)
        if j != i:
            again.append((i, j))
    total = len(first) + len(again)
    if total < 2:
        raise CannotJudge(f"batches: {total}; nothing could come twice")
    evidence = f"{len(first)} distinct / {total}"
    evidence += f"; batch {again[0][0]} = batch {again[0][1]}" if again else ""
    return Verdict("repeats", not again, evidence)

"""Reading tokens: shards mapped into memory, cut into windows, in an order that a seed decides."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minitrain.common.errors import UserError

Indices = np.ndarray[Any, np.dtype[np.int64]]


class Tokens:
    """A folder that `minitrain tokens` made.

    verify: whether to compare every shard with its SHA-256: about a second for a gigabyte.

    digest: SHA-256 of `meta.json`, and so of all that the folder says of itself. Raises `UserError`
    if something is missing or damaged.
    """

    def __init__(self, folder: Path, verify: bool = True):
        self.folder = folder
        path = folder / "meta.json"
        try:
            content = path.read_bytes()
            self.meta: dict[str, Any] = json.loads(content)
            self.vocabulary: int = self.meta["vocabulary"]
            self.shards = [
                (shard["split"], _mapped(folder / shard["name"], self.meta["dtype"], shard, verify))
                for shard in self.meta["shards"]
            ]
        except OSError as error:
            raise UserError(
                f"{folder}: no tokens: {error.strerror}: {error.filename}"
                " (minitrain tokens makes such a folder)"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: is not what minitrain tokens wrote: {error!r}") from None
        self.digest = hashlib.sha256(content).hexdigest()

    def windows(self, split: str, context: int, most: int | None = None) -> "Windows":
        """A split in windows of `context` tokens; `most`: of its first tokens, so many."""
        shards = [tokens for name, tokens in self.shards if name == split]
        windows = Windows(shards, context, None if most is None else most // context)
        if not len(windows):
            size = sum(map(len, shards)) if most is None else most
            raise UserError(
                f"{self.folder}: {size} tokens of the split {split} do not fill one window of"
                f" context={context}, which takes one token more"
            )
        return windows


class Windows:
    """Stretches of `context` tokens and the one after, one beside the other, none over two shards.

    Window i has inputs t[0..context) and targets t[1..context+1): every token of a shard but the
    first is a target once, apart from fewer than `context` at its end.
    """

    def __init__(self, shards: Sequence["np.ndarray[Any, Any]"], context: int, most: int | None):
        self.shards = shards
        self.context = context
        counts = [max(0, len(shard) - 1) // context for shard in shards]
        self.ends = np.cumsum(counts, dtype=np.int64)
        total = int(self.ends[-1]) if counts else 0
        self.total = total if most is None else min(total, most)

    def __len__(self) -> int:
        return self.total

    def batch(self, indices: Indices, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs and targets (len(indices), context) int64 of some windows, on `device`."""
        rows = torch.from_numpy(np.stack([self._window(int(i)) for i in indices]))
        if device.type == "cuda":  # pinned, the copy runs beside what the card is doing
            rows = rows.pin_memory().to(device, non_blocking=True)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def _window(self, index: int) -> "np.ndarray[Any, Any]":
        shard = int(np.searchsorted(self.ends, index, side="right"))
        first = int(self.ends[shard - 1]) if shard else 0
        begin = (index - first) * self.context
        return self.shards[shard][begin : begin + self.context + 1].astype(np.int64)


def order(windows: int, seed: int, step: int, batch_size: int) -> Indices:
    """Which windows update `step` (from 0) sees: (batch_size,) int64, for any number of processes.

    Each epoch sees every window once, in an order of its own; a batch may end one epoch and begin
    the next.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // windows
    found = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        found[here] = _permutation(windows, seed, int(epoch))[positions[here] % windows]
    return found


@lru_cache(maxsize=2)  # the epoch under way, and the next one while a batch lies in both
def _permutation(windows: int, seed: int, epoch: int) -> Indices:
    return np.random.default_rng([seed, epoch]).permutation(windows)


def _mapped(
    path: Path, dtype: str, shard: dict[str, Any], verify: bool
) -> "np.ndarray[Any, np.dtype[Any]]":
    tokens = np.memmap(path, np.dtype(dtype).newbyteorder("<"), mode="r")
    if len(tokens) != shard["tokens"]:
        raise UserError(f"{path}: {len(tokens)} tokens, expected {shard['tokens']}")
    if verify and hashlib.sha256(tokens.data).hexdigest() != shard["sha256"]:
        raise UserError(f"{path}: is damaged: its SHA-256 is not the one in meta.json")
    return tokens

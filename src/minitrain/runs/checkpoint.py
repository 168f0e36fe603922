"""A run under way as one file, so that a killed run goes on where it was and ends the same."""

import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minitrain.common.errors import UserError
from minitrain.common.files import sha256, write_atomically
from minitrain.training.config import Config, plain
from minitrain.training.loop import Record, Training


class DamagedFile(UserError):
    """A file that is not what was written. Names it, and says what is wrong."""

    def __init__(self, path: Path, reason: str):
        self.path = path
        self.reason = " ".join(reason.split())[:200]
        super().__init__(f"{path}: {self.reason}")
        self.args = (path, reason)  # what another process makes it from again

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def save(training: Training, seconds: float, engine: str, path: Path) -> None:
    """Write parameters, moments, records and counters to `path`, with a checksum over all of it.

    engine: what trained it up to here (see `engines`); any engine goes on from there.
    """
    state = json.dumps(
        {
            "config": plain(training.config),
            "step": training.step,
            "tokens": training.tokens,
            "seconds": seconds,
            "engine": engine,
            "records": [record.plain() for record in training.records],
        }
    )
    tensors = _tensors(training)
    metadata = {"state": state, "sha256": _checksum(state, tensors)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load(
    config: Config, path: Path, start: Callable[[Config], Training]
) -> tuple[Training, float, str]:
    """The run saved at `path`, ready for its next step, the seconds it had taken, and its engine.

    start: the beginning of a run by the engine that is to go on with it.

    Raises `DamagedFile` unless the file is exactly what `save` wrote for this config.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, OSError) as error:
        raise DamagedFile(path, f"not a checkpoint: {error}") from None
    if metadata.get("sha256") != _checksum(metadata.get("state", ""), tensors):
        raise DamagedFile(path, "checksum does not match")
    state = json.loads(metadata["state"])
    if state["config"] != plain(config):
        raise DamagedFile(path, "is the checkpoint of another config")

    training = start(config)
    with torch.no_grad():
        for name, tensor in _tensors(training).items():
            tensor.copy_(tensors[name])
    training.step = training.optimizer.steps = state["step"]
    training.tokens = state["tokens"]
    training.records = [Record(**record) for record in state["records"]]
    return training, state["seconds"], state["engine"]


def _tensors(training: Training) -> dict[str, Tensor]:
    """Every tensor that the next step depends on, by name; the run's own, not copies."""
    tensors = {}
    for i, group in enumerate(training.optimizer.groups):
        tensors[f"group.{i}.values"] = group.values
        tensors[f"group.{i}.first_moment"] = group.first_moment
        tensors[f"group.{i}.second_moment"] = group.second_moment
    return tensors


def _checksum(state: str, tensors: dict[str, Tensor]) -> str:
    return sha256(state.encode() + safetensors.torch.save(tensors))

"""A run's folder: what a killed run needs to go on, and what a finished one leaves.

While it trains: `checkpoint.safetensors` and `records.jsonl`, a record in each line. At the end:
`result.json` and `model.safetensors` in place of the checkpoint.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.large import report
from minitrain.large.config import LargeConfig, flat, plain
from minitrain.large.processes import Processes
from minitrain.large.recorded import RESULT
from minitrain.large.shards import Tokens
from minitrain.large.train import Record, Training, start, train

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
RECORDS = "records.jsonl"
MODEL = "model.safetensors"

Progress = Callable[[Training], None]


def get(
    path: Path,
    config: LargeConfig,
    tokens: Tokens,
    processes: Processes | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The result of a run that is kept in `path`: read, or trained from where it was left.

    `progress` is called after each step, in every process. Raises `UserError` if the folder holds
    the run of another config or of other tokens, or another process is training there.
    """
    processes = processes or Processes()
    if found := _finished(path, config, tokens):
        return found
    with _locked(path, processes):
        training = start(config, tokens, processes)
        if (path / CHECKPOINT).exists():
            load(training, path / CHECKPOINT)
        if processes.main:
            # A killed run may have written records after its last checkpoint: they come again.
            _write_records(training, path)
        written = len(training.records)

        def on_step(training: Training) -> None:
            nonlocal written
            if processes.main:
                written = _append_records(training, path, written)
                if training.step % config.checkpoint_interval == 0 or training.finished:
                    save(training, path / CHECKPOINT)
            if progress:
                progress(training)

        train(training, on_step)
        result = report.of(training)  # every process evaluates its share of the test split
        if processes.main:
            _append_records(training, path, written)
            parameters = {n: p.detach().contiguous() for n, p in training.gpt.named_parameters()}
            _write_tensors(parameters, {}, path / MODEL)
            write_atomically(path / RESULT, json.dumps(result, indent=1).encode())
            (path / CHECKPOINT).unlink(missing_ok=True)
    return result


def save(training: Training, path: Path) -> None:
    """Write everything that the next step depends on; the old one stays until it is whole."""
    state = {
        "config": plain(training.config),
        "tokens": training.tokens.digest,
        "step": training.step,
        "diverged": training.diverged,
        "losses": training.losses,
        "seconds": training.seconds,
        "record_seconds": training.record_seconds,
        "records": [record.plain() for record in training.records],
    }
    _write_tensors(_tensors(training), {"state": json.dumps(state)}, path)


def load(training: Training, path: Path) -> None:
    """Set a run that is at its start to where `path` left it.

    The position in the data is the step: which windows a step sees depends on nothing else. Raises
    `UserError` for a file that is damaged, or is of another config or other tokens.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            _check_same(path, training.config, state["config"], training.tokens, state["tokens"])
            with torch.no_grad():
                for name, tensor in _tensors(training).items():
                    tensor.copy_(file.get_tensor(name))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a checkpoint: {error}; remove it to train from the start"
        ) from None
    training.step = training.optimizer.steps = state["step"]
    training.diverged = state["diverged"]
    training.losses = state["losses"]
    training.seconds = state["seconds"]
    training.record_seconds = state["record_seconds"]
    training.records = [Record(**record) for record in state["records"]]


def _tensors(training: Training) -> dict[str, Tensor]:
    tensors = {}
    for i, group in enumerate(training.optimizer.groups):
        tensors[f"group.{i}.values"] = group.values
        tensors[f"group.{i}.first_moment"] = group.first_moment
        tensors[f"group.{i}.second_moment"] = group.second_moment
    return tensors


def _write_tensors(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    """As `write_atomically`, without a second copy of gigabytes in memory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        safetensors.torch.save_file(dict(tensors), temporary, metadata)
        temporary.chmod(0o644)  # the library keeps its files to their owner
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot be written: {reason}") from None


def _write_records(training: Training, path: Path) -> None:
    lines = [json.dumps(record.plain()) + "\n" for record in training.records]
    write_atomically(path / RECORDS, "".join(lines).encode())


def _append_records(training: Training, path: Path, written: int) -> int:
    """Append the records after the first `written`; returns how many there are now."""
    new = training.records[written:]
    if new:
        with (path / RECORDS).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record.plain()) + "\n" for record in new)
            file.flush()
            os.fsync(file.fileno())
    return len(training.records)


def _finished(path: Path, config: LargeConfig, tokens: Tokens) -> dict[str, Any] | None:
    try:
        content = (path / RESULT).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    try:
        result: dict[str, Any] = json.loads(content)
        theirs, digest = result["config"], result["tokens"]["digest"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path / RESULT}: is not the result of a run") from None
    _check_same(path, config, theirs, tokens, digest)
    return result


def _check_same(
    path: Path, config: LargeConfig, theirs: Mapping[str, Any], tokens: Tokens, digest: str
) -> None:
    there, here = flat(theirs), flat(plain(config))
    for key in here:
        if there.get(key) != here[key]:
            raise UserError(
                f"{path}: holds a run with {key}={there.get(key)}, asked for {here[key]};"
                " name another folder"
            )
    if digest != tokens.digest:
        raise UserError(f"{path}: holds a run on other tokens; name another folder")


@contextmanager
def _locked(path: Path, processes: Processes) -> Iterator[None]:
    """Make the folder, and keep other runs out of it as long as this one lives."""
    if not processes.main:
        yield
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / ".lock", timeout=0):
            for leftover in path.glob(f".{CHECKPOINT}.*"):  # of a killed process
                leftover.unlink()
            yield
    except Timeout:
        raise UserError(f"{path}: another process is training there") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None

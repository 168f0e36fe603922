"""Runs on disk, addressed by what they are: a hash of the config and of the code that trains.

Whoever asks for a run gets it, trained at most once: `Store.get` loads it, or resumes it, or trains
it. A finished run is a folder that appears at once and whole::

    <address>/run.json                 config, result and records
    <address>/parameters.safetensors   the final parameters
    <address>/SHA256SUMS               of the other two; `sha256sum -c` reads it
"""

import errno
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from filelock import FileLock
from pydantic import BaseModel, Field, TypeAdapter
from safetensors import SafetensorError

from minitrain.common import paths
from minitrain.common.errors import UserError
from minitrain.common.files import sha256, write_atomically
from minitrain.runs import checkpoint, code
from minitrain.runs.checkpoint import DamagedFile
from minitrain.training.config import Config, ModelConfig, parse, plain
from minitrain.training.grid import fingerprint, short
from minitrain.training.loop import Record, Training, start, train
from minitrain.training.model import GPT, build_model

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 100  # steps; a killed run loses at most this many
VERIFY_EVERY = 10  # steps
ADDRESS_DIGITS = 16
_RUN, _PARAMETERS, _SUMS = "run.json", "parameters.safetensors", "SHA256SUMS"
# What a record holds by name, and may not be finite.
_MAY_OVERFLOW = ("parts", "weight_norms", "update_norms", "gradient_scales")

Progress = Callable[[Training], None]


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run, as read from disk.

    seconds: the time its training took, all told. checksum: SHA-256 of the file of its parameters.
    """

    path: Path
    config: Config
    fingerprint: str
    diverged: bool
    steps: int
    tokens: int
    seconds: float
    records: tuple[Record, ...]
    checksum: str

    def __repr__(self) -> str:
        last = self.last
        ended = ", diverged" if self.diverged else ""
        return (
            f"<Run {short(self.fingerprint)}: {self.steps} steps{ended},"
            f" train_loss {last.train_loss:.4f}, val_loss {last.val_loss:.4f}>"
        )

    @property
    def last(self) -> Record:
        """What was measured after the last step."""
        return self.records[-1]

    def model(self) -> GPT:
        """The trained model. Raises `DamagedFile` if its parameters are no longer those read."""
        content = _read(self.path / _PARAMETERS)
        if sha256(content) != self.checksum:
            raise DamagedFile(self.path / _PARAMETERS, "has changed since the run was read")
        dtype = getattr(torch, self.config.arithmetic.dtype)
        model = build_model(self.config.model, self.config.seed, dtype)
        model.load_state_dict(safetensors.torch.load(content))
        return model


class Store:
    """A folder of runs, safe to share between processes. Default: `paths.store_root()`.

    device: where it trains what it lacks, "cpu" or "cuda"; the runs are the same.
    """

    def __init__(self, root: Path | None = None, device: str = "cpu"):
        self.root = root or paths.store_root()
        self.device = device
        try:
            str(self.root).encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(self.root)!r}: a store's name must be UTF-8") from None

    def path(self, config: Config) -> Path:
        """Where the run of `config` lies, or will lie."""
        return self.root / address(config)

    def find(self, config: Config) -> Run | None:
        """The finished run of `config`, or None; a damaged one is named in the log, not read."""
        path = self.path(config)
        try:
            if not path.exists():
                return None
        except OSError as error:
            raise UserError(f"{_bounded(self.root)}: {error.strerror}") from None
        try:
            run = read_run(path)
            if run.config != config:
                raise DamagedFile(path, "is the run of another config")
            return run
        except DamagedFile as damage:
            log.warning("%s; training again", damage)
            return None

    def get(self, config: Config, progress: Progress | None = None) -> Run:
        """The run of `config`, trained now if it has to be; `progress` is called after each step.

        Raises `UserError` if the disk cannot be written, or if the training code is replaced on the
        way; what was saved before stays.
        """
        # Before any lock: what is there can be read where nothing can be written.
        if run := self.find(config):
            return run
        with _writable(self.root):
            (self.root / ".locks").mkdir(parents=True, exist_ok=True)
            # Whoever waits here for another process finds that process's run afterwards.
            with FileLock(self.root / ".locks" / f"{address(config)}.lock"):
                return self.find(config) or self._train(config, progress)

    def _train(self, config: Config, progress: Progress | None) -> Run:
        code.verify()
        partial = self.root / ".partial" / f"{address(config)}.safetensors"
        training, earlier = self._resume(config, partial)
        began = time.perf_counter()

        def seconds() -> float:
            return earlier + time.perf_counter() - began

        def on_step(training: Training) -> None:
            # A check takes a tenth of a step; nobody edits code and takes it back within ten steps.
            if training.step % VERIFY_EVERY == 0:
                code.verify_step()
            if training.step % CHECKPOINT_EVERY == 0 and not training.finished:
                code.verify()  # a checkpoint outlives this process
                checkpoint.save(training, seconds(), partial)
            if progress:
                progress(training)

        with one_thread():
            train(training, on_step)
        run = self._commit(training, seconds())
        _remove(partial)
        return run

    def _resume(self, config: Config, partial: Path) -> tuple[Training, float]:
        if partial.exists():
            try:
                return checkpoint.load(config, partial, self.device)
            except DamagedFile as damage:
                log.warning("%s; training from the start", damage)
        if not partial.is_file():  # a folder, a link that leads nowhere
            _remove(partial)
        return start(config, self.device), 0.0

    def _commit(self, training: Training, seconds: float) -> Run:
        code.verify()
        path = self.path(training.config)
        staging = self.root / f".new-{path.name}"
        # Only the holder of this run's lock comes here: leftovers are those of a killed process.
        _remove(staging)
        files = {
            _RUN: json.dumps(_plain_run(training, seconds), indent=1, allow_nan=False).encode(),
            _PARAMETERS: safetensors.torch.save(dict(training.model.state_dict())),
        }
        for name, content in files.items():
            write_atomically(staging / name, content)
        write_atomically(staging / _SUMS, _checksums(files))
        _remove(path)
        staging.replace(path)
        return read_run(path)


def address(config: Config) -> str:
    """The run's name in a store: 16 hex digits of the SHA-256 of its config and of the code.

    Raises `UserError` if the training code in memory is not what its sources say (see `code`).
    """
    code.verify_code()
    identity = json.dumps({"config": plain(config), "code": code.training_code()}, sort_keys=True)
    return sha256(identity.encode())[:ADDRESS_DIGITS]


def read_run(path: Path) -> Run:
    """The run in the folder `path`. Raises `DamagedFile` if any byte of it is not as written."""
    content = {name: _read(path / name) for name in (_SUMS, _RUN, _PARAMETERS)}
    for name in (_RUN, _PARAMETERS):
        if sha256(content[name]).encode() not in content[_SUMS]:
            raise DamagedFile(path / name, f"checksum is not the one in {path / _SUMS}")
    if content[_SUMS] != _checksums(content):
        raise DamagedFile(path / _SUMS, "is not what was written")
    try:
        return _run(path, content)
    except (
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
        SafetensorError,
        UserError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFile(path, f"is not a run: {reason}") from None


def _run(path: Path, content: dict[str, bytes]) -> Run:
    """The run in the bytes of its files; if it is none, some error of Python's or safetensors'."""
    values = _Values.model_validate(json.loads(content[_RUN]))
    config = parse(values.config, "config")
    parameters = safetensors.torch.load(content[_PARAMETERS])
    if {name: tensor.shape for name, tensor in parameters.items()} != _shapes(config.model):
        raise ValueError("its parameters are not those of its config's model")
    if fingerprint(parameters) != values.fingerprint:
        raise ValueError(f"the fingerprint of its parameters is not that of {_RUN}")
    return Run(
        path=path,
        config=config,
        fingerprint=values.fingerprint,
        diverged=values.diverged,
        steps=values.steps,
        tokens=values.tokens,
        seconds=values.seconds,
        records=_RECORDS.validate_python([_with_nan(record) for record in values.records]),
        checksum=sha256(content[_PARAMETERS]),
    )


class _Values(BaseModel):
    """What run.json holds."""

    config: dict[str, Any]
    code: str
    fingerprint: str
    diverged: bool
    steps: Annotated[int, Field(ge=0)]
    tokens: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    records: Annotated[list[dict[str, Any]], Field(min_length=1)]


_RECORDS = TypeAdapter(tuple[Record, ...])


@cache
def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    """The shapes of a model's parameters, by name; nothing is allocated."""
    with torch.device("meta"):
        return {name: parameter.shape for name, parameter in GPT(config).state_dict().items()}


def _remove(path: Path) -> None:
    """Remove whatever is there; a link, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _bounded(path: Path) -> str:
    """A path for a message, cut in the middle if it is long."""
    text = str(path)
    return text if len(text) <= 80 else f"{text[:38]}…{text[-38:]}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFile(path, error.strerror or str(error)) from None


def _checksums(content: dict[str, bytes]) -> bytes:
    """The lines that `sha256sum` writes for the two files of a run."""
    return "".join(f"{sha256(content[name])}  {name}\n" for name in (_RUN, _PARAMETERS)).encode()


def _plain_run(training: Training, seconds: float) -> dict[str, Any]:
    return {
        "config": plain(training.config),
        "code": code.training_code(),
        "fingerprint": training.fingerprint(),
        "diverged": training.diverged,
        "steps": training.step,
        "tokens": training.tokens,
        "seconds": seconds,
        "records": [_finite(record.plain()) for record in training.records],
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: a loss or norm that is not finite is written as null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(record: dict[str, Any]) -> dict[str, Any]:
    losses = {name: _or_nan(record[name]) for name in ("train_loss", "val_loss")}
    return record | losses | {field: _floats(record[field]) for field in _MAY_OVERFLOW}


def _floats(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers under names, or under names of names, with NaN for null."""
    return {
        name: _floats(value) if isinstance(value, dict) else _or_nan(value)
        for name, value in values.items()
    }


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread: a step of this model is too small to share between cores.

    The result is the same with any number. Two threads on a busy machine spend their time waiting
    for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    """Turn the errors of a full, read-only or forbidden disk into one line for the reader."""
    try:
        yield
    except OSError as error:
        hint = "; free some space and run again: it resumes" if error.errno == errno.ENOSPC else ""
        raise UserError(f"{root}: cannot write the run: {error.strerror}{hint}") from error

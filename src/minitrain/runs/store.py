"""Runs on disk, addressed by what they are: a hash of the config and of the code that trains.

Whoever asks for a run gets it, trained at most once: `Store.get` loads it, or resumes it, or trains
it. A finished run is a folder, named by its address, that appears at once and whole (see `run`).
"""

import errno
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from minitrain.common import paths
from minitrain.common.errors import UserError
from minitrain.common.files import sha256, write_atomically
from minitrain.runs import checkpoint, code, engines, faults, patched
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.engines import Engine
from minitrain.runs.faults import Recipe
from minitrain.runs.run import NAMES, Run, files_of, read_run
from minitrain.training.config import Config, plain
from minitrain.training.grid import short
from minitrain.training.loop import Training

__all__ = ["ADDRESS_DIGITS", "Progress", "Run", "Store", "address", "one_thread", "read_run"]

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 100  # steps; a killed run loses at most this many
VERIFY_EVERY = 10  # steps
DISPUTED = ".disputed"  # in a store: what two machines trained to different ends
ADDRESS_DIGITS = 16

Progress = Callable[[Any], None]
"""Called with a `Training`, or with a `patched.Remote`: both have config, step and records."""


class Disagreement(UserError):
    """One run, trained twice, with two ends. Neither is in the store any longer."""

    @classmethod
    def between(cls, there: Run, arrived: Run, sender: str) -> "Disagreement":
        """The two, where they have been set aside; `sender` is who sent the second."""
        return cls(
            f"one run has two ends: {short(there.fingerprint)} (trained by {there.engine}) was in"
            f" the store, {short(arrived.fingerprint)} ({arrived.engine}) came from {sender};"
            f" neither is kept there: minitrain explain {there.path} {arrived.path}"
        )


class Store:
    """A folder of runs, safe to share between processes. Default: `paths.store_root()`.

    device: where it trains what it lacks, "cpu" or "cuda". engine: what with, one of
    `engines.NAMES`; by default the faster one. The runs are the same.
    """

    def __init__(self, root: Path | None = None, device: str = "cpu", engine: str | None = None):
        self.root = root or paths.store_root()
        self.device = device
        self.engine = engine
        try:
            str(self.root).encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(self.root)!r}: a store's name must be UTF-8") from None

    def path(self, wanted: Config | Recipe) -> Path:
        """Where the run lies, or will lie."""
        return self.root / address(wanted)

    def find(self, wanted: Config | Recipe) -> Run | None:
        """The finished run, or None; a damaged one is named in the log, not read."""
        try:
            return self._read(Recipe.of(wanted))
        except DamagedFile as damage:
            log.warning("%s; training again", damage)
            return None

    def get(self, wanted: Config | Recipe, progress: Progress | None = None) -> Run:
        """The run of a config, or of a recipe with a fault; trained now if it has to be.

        `progress` is called after each step, with the `Training` or, where another process trains
        under a patch, with what that has said of it (`patched.Remote`).

        Raises `UserError` if the disk cannot be written, or if the training code is replaced on the
        way; what was saved before stays.
        """
        recipe = Recipe.of(wanted)
        # Before any lock: what is there can be read where nothing can be written.
        with suppress(DamagedFile):  # `find` is going to name it, once
            if run := self._read(recipe):
                return run
        with _writable(self.root):
            engine = engines.choose(recipe, self.device, self.engine)
            if engine is None:  # the process that trains takes the lock
                return self._have_trained(recipe, progress)
            # Whoever waits here for another process finds that process's run afterwards.
            with self._lock(recipe):
                return self.find(recipe) or self._train(recipe, engine, progress)

    def under(
        self, sources: Mapping[str, str], config: Config, progress: Progress | None = None
    ) -> Run:
        """The run of a config with other training code, say a reader's repair of it.

        sources: of every module in `code.SOURCES`, by name. PyTorch trains it, in another process.
        """
        path = self.root / _address(config, code.hash_of(sources))
        with suppress(DamagedFile):
            if path.exists():
                return read_run(path)
        patched.train(config, sources, self.root, self.device, progress)
        return read_run(path)

    def accept(self, wanted: Config | Recipe, files: Mapping[str, bytes], sender: str) -> Run:
        """Take in a run that another machine has trained: its files by name (see `run.packed`).

        sender: what that machine is called, for a complaint. Raises `DamagedFile` unless the files
        are that run, to the last byte; `Disagreement` if the run is here already and ends
        otherwise.
        """
        recipe = Recipe.of(wanted)
        with _writable(self.root), self._lock(recipe):
            staging = self._stage(recipe, {name: files[name] for name in NAMES if name in files})
            try:
                arrived = read_run(staging)
                if (arrived.config, arrived.code) != (recipe.config, faults.code_of(recipe)):
                    raise DamagedFile(staging, "is another run than the one that was asked for")
            except DamagedFile:
                _remove(staging)
                raise
            there = self.find(recipe)
            if there is None:
                return self._replace(self.path(recipe), staging)
            if there.fingerprint != arrived.fingerprint:
                raise self._disputed(there, arrived, sender)
            _remove(staging)
            return there

    def _disputed(self, there: Run, arrived: Run, sender: str) -> Disagreement:
        """Set two runs aside that should be one: which of them is right, nobody knows."""

        def aside(run: Run) -> Run:
            target = self.root / DISPUTED / f"{there.path.name}-{short(run.fingerprint)}"
            target.parent.mkdir(exist_ok=True)
            return self._replace(target, run.path)

        return Disagreement.between(aside(there), aside(arrived), sender)

    def _lock(self, recipe: Recipe) -> FileLock:
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{address(recipe)}.lock")

    def _read(self, recipe: Recipe) -> Run | None:
        path = self.path(recipe)
        try:
            if not path.exists():
                return None
        except OSError as error:
            raise UserError(f"{_bounded(self.root)}: {error.strerror}") from None
        run = read_run(path)
        if run.config != recipe.config:
            raise DamagedFile(path, "is the run of another config")
        return run

    def _have_trained(self, recipe: Recipe, progress: Progress | None) -> Run:
        """Have another process train under the fault's patch, into this store."""
        assert recipe.fault is not None
        sources = faults.load(recipe.fault).sources
        patched.train(recipe.config, sources, self.root, self.device, progress)
        return read_run(self.path(recipe))

    def _train(self, recipe: Recipe, engine: Engine, progress: Progress | None) -> Run:
        code.verify()
        config = recipe.config
        partial = self.root / ".partial" / f"{address(recipe)}.safetensors"
        training, earlier, before = self._resume(config, partial, engine)
        trained_by = engine.name if before in (None, engine.name) else "both"
        began = time.perf_counter()

        def seconds() -> float:
            return earlier + time.perf_counter() - began

        def on_step(training: Training) -> None:
            # A check takes a tenth of a step; nobody edits code and takes it back within ten steps.
            if training.step % VERIFY_EVERY == 0:
                code.verify_step()
            if training.step % CHECKPOINT_EVERY == 0 and not training.finished:
                code.verify()  # a checkpoint outlives this process
                checkpoint.save(training, seconds(), trained_by, partial)
            if progress:
                progress(training)

        with one_thread():
            engine.train(training, on_step)
        run = self._commit(training, recipe, seconds(), trained_by)
        _remove(partial)
        return run

    def _resume(
        self, config: Config, partial: Path, engine: Engine
    ) -> tuple[Training, float, str | None]:
        """The run as it was saved, the seconds it had taken, and the engine that had trained it."""
        if partial.exists():
            try:
                return checkpoint.load(config, partial, engine.start)
            except DamagedFile as damage:
                log.warning("%s; training from the start", damage)
        if not partial.is_file():  # a folder, a link that leads nowhere
            _remove(partial)
        return engine.start(config), 0.0, None

    def _commit(self, training: Training, recipe: Recipe, seconds: float, engine: str) -> Run:
        code.verify()
        files = files_of(training, faults.code_of(recipe), seconds, engine)
        return self._replace(self.path(recipe), self._stage(recipe, files))

    def _stage(self, recipe: Recipe, files: Mapping[str, bytes]) -> Path:
        """A run's files, written beside where they are going to lie."""
        staging = self.root / f".new-{address(recipe)}"
        # Only the holder of this run's lock comes here: leftovers are those of a killed process.
        _remove(staging)
        for name, content in files.items():
            write_atomically(staging / name, content)
        return staging

    def _replace(self, path: Path, staging: Path) -> Run:
        _remove(path)
        staging.replace(path)
        return read_run(path)


def address(wanted: Config | Recipe) -> str:
    """The run's name in a store: 16 hex digits of the SHA-256 of its config and of the code.

    Under a fault, the code is that of the patched sources. Raises `UserError` if the training code
    in memory is not what its sources say (see `code`).
    """
    code.verify_code()
    recipe = Recipe.of(wanted)
    return _address(recipe.config, faults.code_of(recipe))


def _address(config: Config, code_hash: str) -> str:
    identity = json.dumps({"config": plain(config), "code": code_hash}, sort_keys=True)
    return sha256(identity.encode())[:ADDRESS_DIGITS]


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

"""The cores of this machine: a pool of processes that train into one store and say how far they
are.

`concurrent.futures` does the work. What it lacks is here: ending its processes (Python 3.14 has
`terminate_workers`), also when we are killed; the exit status of one that dies (3.15 says it); and
news of a run before it is finished.
"""

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess, parent_process
from multiprocessing.reduction import ForkingPickler
from multiprocessing.synchronize import Lock
from types import TracebackType
from typing import Any

from minitrain.common.errors import UserError
from minitrain.runs import store as store_module
from minitrain.runs.faults import Recipe
from minitrain.runs.notice import Heard
from minitrain.runs.store import Progress, Store

SECONDS_TO_STOP = 10  # for a step, or a record, that is under way
SECONDS_BETWEEN_MESSAGES = 0.1  # whoever draws the bar takes its time from the cores that train


class Cores:
    """Processes that train into `store`, to be used in a ``with`` block.

    heard: is told, from another thread, how far the runs are. Leaving the block ends the processes
    between two steps. If one of them has died, that is a `UserError` with its exit status.
    """

    def __init__(self, count: int, store: Store, heard: Heard):
        self._context = _Context()
        self._reader, self._writer = self._context.Pipe(duplex=False)
        arguments = store, self._writer, self._context.Lock()
        self._pool = ProcessPoolExecutor(count, self._context, _begin, arguments)
        self._closing = threading.Event()
        self._listener = threading.Thread(target=self._listen, args=(heard,), daemon=True)
        self._listener.start()

    def train(self, number: int, recipe: Recipe) -> "Future[None]":
        """Have a run trained into the store; `number` is what it is called in the news."""
        with _children_ignore_interrupts():  # a process is started when there is work for it
            return self._pool.submit(_train, number, recipe)

    def __enter__(self) -> "Cores":
        return self

    def __exit__(
        self, _type: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.join()  # with nobody to read, a process's next message fails
        ending = threading.Thread(target=self._pool.shutdown, kwargs={"cancel_futures": True})
        ending.start()
        ending.join(SECONDS_TO_STOP)
        for process in self._context.started:
            process.terminate()
        ending.join()
        self._writer.close()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                f"sweep: a process that trains died (exit status {self._status()});"
                " run again: it resumes"
            ) from None

    def _status(self) -> int | None:
        """Of the process that died: the pool has sent SIGTERM to the others."""
        found = [process.exitcode for process in self._context.started]
        return next((code for code in found if code not in (0, -signal.SIGTERM)), found[0])

    def _listen(self, heard: Heard) -> None:
        with self._reader:
            while not self._closing.is_set():
                if self._reader.poll(SECONDS_BETWEEN_MESSAGES):
                    self._pass_on(heard)
            while self._reader.poll():  # what was said before the end
                self._pass_on(heard)

    def _pass_on(self, heard: Heard) -> None:
        message = self._reader.recv()
        if isinstance(message, str):
            store_module.log.warning("%s", message)
        else:
            heard(*message)


class _Context(SpawnContext):
    """Remembers the processes that are started. A forked one would inherit the state of PyTorch's
    thread pool.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[BaseProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        process = super().Process(*arguments, **options)
        self.started.append(process)
        return process


@contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """A terminal sends Ctrl-C to every process. Only this one is to act on it: a child inherits
    from its first moment that the signal is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread may set this, and none but the main thread is interrupted
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ------------------------------------------------------------------------ in a process that trains

_store: Store
_tell: Callable[[Any], None]


def _begin(store: Store, writer: Connection, lock: Lock) -> None:
    global _store, _tell

    def tell(message: Any) -> None:
        with lock:
            writer.send(message)

    _store, _tell = store, tell
    logging.basicConfig(handlers=[_Telling(logging.WARNING)])
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """The pool's processes wait for work from a process that was killed, and would for ever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _train(number: int, recipe: Recipe) -> None:
    try:
        _store.get(recipe, _messages(number))
    except Exception as error:
        raise _sendable(error) from error


class _Telling(logging.Handler):
    """Sends what a process that trains has to say to the one that may print it."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            _tell(record.getMessage())


def _messages(number: int) -> Progress:
    """Sends the first step that a run makes, and then one now and again."""
    due = 0.0

    def send(training: Any) -> None:
        nonlocal due
        if time.monotonic() >= due:
            # Once the process that asked reads no more, this fails, and with it the training.
            _tell((number, training.step))
            due = time.monotonic() + SECONDS_BETWEEN_MESSAGES

    return send


def _sendable(error: Exception) -> Exception:
    """The exception, or if it cannot be sent between processes, one that says the same."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error

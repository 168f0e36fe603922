"""A Dask cluster as the executor of a sweep: who may train there, what is heard of it, who died.

Workers are looked at when they are first seen, those that come during the sweep too. One that would
train another run is named and gets none. Dask's resources keep the runs to the others: a worker
that may train is given one for every thread.
"""

import asyncio
import logging
import socket
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from minitrain.common.errors import UserError
from minitrain.runs.elsewhere import Identity, Tell, identity
from minitrain.runs.notice import Heard

log = logging.getLogger(__name__)

SECONDS_TO_CONNECT = 10
SECONDS_BETWEEN_LOOKS = 2  # for workers that have come or gone
SECONDS_BETWEEN_MESSAGES = 0.5  # each passes through the scheduler
# Those with a dot have levels of their own.
DASK_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
AHEAD = 2  # runs that are sent for each thread: the one in training and the next


class Cluster:
    """The workers of the Dask scheduler at `address`, to be used in a ``with`` block.

    faults: those that the runs need. Without a worker it waits for one. Raises `UserError` if there
    is no scheduler, or none of its workers may train.
    """

    def __init__(self, address: str, faults: Iterable[str] = ()):
        self.address = address
        self._faults = sorted(faults)
        self._ours = identity(self._faults)
        self._resource = f"minitrain-{uuid.uuid4().hex}"
        self._refused: set[str] = set()
        self._admitted: set[str] = set()
        self._pending: dict[Future[Any], _Call] = {}
        # When a worker dies, Dask suspects every task that it had been given, begun or not, and
        # gives up those that four have died with. So they are given few.
        self._unsent: deque[Future[Any]] = deque()
        self._sent: set[Future[Any]] = set()
        self._room = 0
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._exits = ExitStack()
        self._exits.enter_context(_dask_is_quiet(address))
        try:
            self._client = self._exits.enter_context(_connected(address))
            self._look()
            if self._refused and not self._admitted:
                raise UserError(f"--on {address}: none of its workers may train")
            if not self._admitted:
                log.warning("--on %s: no worker yet; waiting for one", address)
        except BaseException:
            self._exits.close()
            raise
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, _type: object, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._watcher.join()
        self._exits.close()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """As `concurrent.futures.Executor.submit`; cancelling the future cancels the call."""
        future = Future[Any]()
        call = _Call(function, arguments)
        with self._lock:
            self._pending[future] = call
            self._unsent.append(future)
            self._fill()
        future.add_done_callback(self._forget)
        return future

    def listen(self, heard: Heard) -> Callable[[int], Tell]:
        """Have `heard` told what `Tell`s say that are made, each for a number, and sent along."""
        self._client.subscribe_topic(self._resource, lambda event: heard(*event[1]))
        return lambda number: _Telling(self._resource, number)

    def _fill(self) -> None:
        """Send as many of those that wait as the workers may hold."""
        with self._lock:
            while self._unsent and len(self._sent) < self._room:
                future = self._unsent.popleft()
                if call := self._pending.get(future):  # it may have been cancelled
                    self._sent.add(future)
                    self._send(future, call)

    def _send(self, future: "Future[Any]", call: "_Call") -> None:
        call.task = self._client.submit(
            call.function, *call.arguments, pure=False, resources={self._resource: 1}
        )
        call.task.add_done_callback(lambda task: self._receive(future, task))

    def _receive(self, future: "Future[Any]", task: Any) -> None:
        """In a thread of Dask's: a task has ended, or is no longer one."""
        if not self._stands_for(future, task):
            return
        try:
            result, error = task.result(), None
        except Exception as found:
            if not self._stands_for(future, task):
                return  # since: it is the end of the task that was found, not that of the run
            # What was raised where the run is trained may be of any type.
            result, error = None, self._in_words(found, task.status == "error")
        with self._lock:
            self._sent.discard(future)
        if error is None:  # else what waits is going to be cancelled
            self._fill()
        if future.set_running_or_notify_cancel():
            if error:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _stands_for(self, future: "Future[Any]", task: Any) -> bool:
        """False if the call was cancelled, or sent once more as another task."""
        with self._lock:
            call = self._pending.get(future)
            return call is not None and call.task is task

    def _in_words(self, error: Exception, from_worker: bool) -> Exception:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            died = error.allowed_failures + 1
            return UserError(f"--on {self.address}: {died} workers have died over one run")
        if isinstance(error, OSError | CancelledError) and not from_worker:
            return UserError(
                f"--on {self.address}: the scheduler has gone; run again: what has arrived is kept"
            )
        return error

    def _forget(self, future: "Future[Any]") -> None:
        with self._lock:
            call = self._pending.pop(future)
            self._sent.discard(future)
        if future.cancelled() and call.task:
            call.task.cancel()

    def _watch(self) -> None:
        while not self._closing.wait(SECONDS_BETWEEN_LOOKS):
            try:
                self._look()
            except OSError:  # it went in the middle of a look
                time.sleep(SECONDS_BETWEEN_LOOKS)

    def _look(self) -> None:
        """See who is there, and let those train that may."""
        workers = self._client.scheduler_info().get("workers")
        if workers is None:
            return  # the scheduler does not answer; the futures are going to say so
        had = bool(self._admitted)
        # Who has the resource: a worker that was started again at an address that we know has not.
        self._admitted = {
            at for at, worker in workers.items() if self._resource in worker["resources"]
        }
        self._refused &= set(workers)
        if had and not self._admitted:
            log.warning("--on %s: no worker is left; waiting for one", self.address)
        if new := sorted(set(workers) - self._admitted - self._refused):
            self._ask(new)
        self._room = AHEAD * sum(workers[at]["nthreads"] for at in self._admitted)
        self._fill()

    def _ask(self, new: list[str]) -> None:
        """Give the resource to those that may train; name the others."""
        asked = (self._ours, self._faults, self._resource)
        said = self._client.run(_admit, *asked, workers=new, on_error="return")
        alone = not self._admitted
        for worker in new:
            if reason := said.get(worker, "does not answer"):
                log.warning("worker %s: is refused: %s", worker, _line(reason))
                self._refused.add(worker)
            else:
                self._admitted.add(worker)
        if alone and self._admitted:
            self._send_again()

    def _send_again(self) -> None:
        """What Dask assigned to nobody, it does not assign to one who is admitted later."""
        with self._lock:
            for future in self._sent:
                call = self._pending[future]
                earlier = call.task
                self._send(future, call)
                earlier.cancel()


@dataclass
class _Call:
    """What was submitted, and the task that it is now."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    task: Any = None


class _Telling:
    """Where a run is trained: says at once that it has begun, and then now and again how far."""

    def __init__(self, topic: str, number: int):
        self.topic = topic
        self.number = number
        self.due = 0.0

    def __call__(self, step: int) -> None:
        if time.monotonic() >= self.due:
            from distributed import get_worker

            get_worker().log_event(self.topic, (self.number, step))
            self.due = time.monotonic() + SECONDS_BETWEEN_MESSAGES


async def _admit(
    ours: Identity, faults: list[str], resource: str, dask_worker: Any = None
) -> str | None:
    """In a worker: may it train? None if so; else why not."""
    reason = ours.difference(identity(faults))
    if reason is None:
        await dask_worker.set_resources(**{resource: dask_worker.state.nthreads})
    return reason


@contextmanager
def _dask_is_quiet(address: str) -> Iterator[None]:
    """Of a connection that is lost we say one line ourselves."""
    try:
        import distributed  # noqa: F401 - it sets levels of its own, so it has to come first
    except ImportError:
        raise UserError(f"--on {address}: Dask is not installed: pip install distributed") from None
    loggers = [logging.getLogger(name) for name in DASK_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _connected(address: str) -> Any:
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port
    from distributed.comm.core import connect
    from distributed.core import send_recv

    async def knock() -> str:
        comm = await connect(address, timeout=SECONDS_TO_CONNECT)
        try:
            answer = await send_recv(comm, op="identity")
            return str(answer["type"])
        finally:
            comm.abort()

    async def in_time() -> str:
        return await asyncio.wait_for(knock(), SECONDS_TO_CONNECT)

    try:
        host, port = get_address_host_port(address)
    except (ValueError, TypeError):
        raise UserError(f"--on {address}: expected an address, such as tcp://host:8786") from None
    # What has to be equal on two machines is looked at by ourselves, worker by worker.
    warnings.filterwarnings("ignore", module="distributed.client")
    try:
        socket.create_connection((host, port), SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise UserError(f"--on {address}: nobody answers there: {error.strerror}") from None
    # Before there is a client: one that finds no scheduler complains once more when it is
    # collected. In a thread, since a notebook's own loop is running in this one.
    with ThreadPoolExecutor(1) as thread:
        try:
            kind = thread.submit(asyncio.run, in_time()).result()
        except Exception:  # whatever Dask makes of bytes that are not its own
            kind = "nothing of Dask"
    if kind != "Scheduler":
        raise UserError(f"--on {address}: is no scheduler, but {kind}")
    return Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)


def _line(reason: object) -> str:
    """What a worker said, or the exception that it raised; Dask makes it a plain one on its way."""
    known = not isinstance(reason, Exception) or type(reason) is Exception
    return (str(reason) if known else f"{type(reason).__name__}: {reason}").splitlines()[0]

"""Many runs at once, one process for each core, through the shared store."""

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from tqdm import tqdm

from minitrain.common.errors import UserError
from minitrain.runs import store as store_module
from minitrain.runs.faults import Recipe
from minitrain.runs.notice import Standing, Watch, notebook_line
from minitrain.runs.store import Progress, Run, Store
from minitrain.training import corpus
from minitrain.training.config import Config

SECONDS_TO_STOP = 10  # for a step, or a record, that is under way
SECONDS_BEFORE_GUESSING = 2  # how long the rest will take
SECONDS_BETWEEN_MESSAGES = 0.1  # whoever draws the bar takes its time from the cores that train


def run_all(
    wanted: Iterable[Config | Recipe], store: Store | None = None, watch: Watch | None = None
) -> list[Run]:
    """The runs of configs, or of recipes with a fault, in their order; those that the store lacks
    are trained in parallel.

    `watch` is told how far the training is; without it, a line in the reader's notebook says so,
    where there is one.

    An exception in a process that trains is raised here. It, one that `watch` raises, and Ctrl-C
    end those processes too; what is finished stays in the store, the rest resumes from its last
    checkpoint.
    """
    store = store or Store()
    recipes = [Recipe.of(one) for one in wanted]
    with _each_warning_once():
        # Equal recipes are one run.
        found = {recipe: store.find(recipe) for recipe in dict.fromkeys(recipes)}
        missing = [recipe for recipe, run in found.items() if run is None]
        if missing:
            with notebook_line() as line:
                _train(missing, store, watch or line)
        runs = {recipe: run or store.get(recipe) for recipe, run in found.items()}
    return [runs[recipe] for recipe in recipes]


def cost(config: Config) -> int:
    """About how long a run takes, in units of its own: for comparing configs, nothing else.

    The constants are fitted to measured times. The unit is a forward pass of one item, times the
    model's size: a step takes two for each item and five more, a record one for each item of two
    splits. A pass grows more slowly than the square of the width.
    """
    slower = 1.5 if config.arithmetic.autocast else 1.0
    steps = slower * config.steps * (2 * config.batch_size + 5)
    records = (config.steps // config.eval_interval + 2) * (corpus.N_TRAIN + corpus.N_VAL)
    width = config.model.d_model
    passes = (steps + records) * config.model.n_layer * width * (width + 128)
    return int(passes / 2 if config.arithmetic.dtype == "float32" else passes)


def _cost(recipe: Recipe) -> int:
    return cost(recipe.config)


def _train(recipes: Sequence[Recipe], store: Store, watch: Watch | None) -> None:
    progress = _Progress(recipes, watch)
    with progress.bar:
        if len(recipes) == 1:  # not worth the seconds that a new process takes to start
            store.get(recipes[0], lambda training: progress.reach(recipes[0], training.step))
            progress.finish(recipes[0])
        else:
            with _workers(min(len(recipes), _cores()), store) as workers:
                _share_out(recipes, workers, progress)


def _share_out(recipes: Sequence[Recipe], workers: "list[_Worker]", progress: "_Progress") -> None:
    """Keep every worker busy until all is trained."""
    # The longest first, so that no core waits for a long one at the end.
    queue = sorted(recipes, key=_cost)
    idle = list(workers)
    running: dict[Connection, tuple[_Worker, Recipe]] = {}
    while queue or running:
        while queue and idle:
            worker, recipe = idle.pop(), queue.pop()
            worker.train(recipe)
            running[worker.connection] = worker, recipe
        for connection in wait(list(running)):
            assert isinstance(connection, Connection)
            worker, recipe = running[connection]
            step = worker.step()
            if step is not None:
                progress.reach(recipe, step)
            else:
                progress.finish(recipe)
                del running[connection]
                idle.append(worker)


class _Worker:
    """A process that trains one config after the other. It ends when the connection does."""

    def __init__(self, store: Store):
        # "spawn": a forked child would inherit the state of PyTorch's thread pool.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, store), daemon=True)
        self.process.start()
        theirs.close()

    def train(self, recipe: Recipe) -> None:
        # A process that has died says so when it is asked for its first step.
        with suppress(OSError):
            self.connection.send(recipe)

    def step(self) -> int | None:
        """A step that it has made, or None if the run is in the store."""
        try:
            while isinstance(message := self.connection.recv(), str):
                store_module.log.warning("%s", message)
        except (EOFError, OSError):
            self.process.join()
            raise UserError(
                f"sweep: a process that trains died (exit status {self.process.exitcode});"
                " run again: it resumes"
            ) from None
        if isinstance(message, BaseException):
            raise message
        return message

    def stop(self) -> None:
        """End it between two steps; if it does not listen, now."""
        self.connection.close()
        self.process.join(SECONDS_TO_STOP)
        self.process.terminate()
        self.process.join()


def _work(connection: Connection, store: Store) -> None:
    # Without the process that asked, the next message fails, and with it the training.
    logging.basicConfig(handlers=[_Sending(connection)])
    with suppress(EOFError, OSError):
        while True:
            recipe = connection.recv()
            try:
                store.get(recipe, _messages(connection))
                connection.send(None)
            except Exception as error:
                connection.send(_sendable(error))


class _Sending(logging.Handler):
    """Sends what a process that trains has to say to the one that may print it."""

    def __init__(self, connection: Connection):
        super().__init__(logging.WARNING)
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self.connection.send(record.getMessage())


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """A damaged run is found when it is looked for, and again when it is asked for."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in said
        said.add(message)
        return new

    store_module.log.addFilter(is_new)
    try:
        yield
    finally:
        store_module.log.removeFilter(is_new)


def _messages(connection: Connection) -> Progress:
    """Sends the first step that a run makes, and then one now and again."""
    due = 0.0

    def send(training: Any) -> None:
        nonlocal due
        if time.monotonic() >= due:
            connection.send(training.step)
            due = time.monotonic() + SECONDS_BETWEEN_MESSAGES

    return send


def _sendable(error: Exception) -> Exception:
    """The exception with its traceback as a note, which would be lost on the way otherwise."""
    if isinstance(error, UserError):
        return error
    text = "".join(traceback.format_exception(error))
    error.add_note(text)
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error


@contextmanager
def _workers(count: int, store: Store) -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        with _children_ignore_interrupts():
            workers += (_Worker(store) for _ in range(count))
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
        for worker in workers:
            worker.stop()


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


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Progress:
    """How much of the estimated cost of all runs is behind us: a bar, on a terminal only, and
    whoever watches.

    What turns out not to be needed is taken off the total: the steps of a resumed run that were
    done before, those that a diverged run leaves out. So the time left is that of real work.
    """

    def __init__(self, recipes: Sequence[Recipe], watch: Watch | None = None):
        self.watch = watch
        self.left = {recipe: _cost(recipe) for recipe in recipes}
        self.total = sum(self.left.values())
        self.spent = 0
        self.began = time.monotonic()
        self.steps: dict[Recipe, int] = {}
        self.finished = 0
        self.bar: tqdm[Any] = tqdm(
            total=self.total,
            disable=None,
            leave=False,
            smoothing=0,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )
        self._show()

    def reach(self, recipe: Recipe, step: int) -> None:
        """A run has made update number `step`."""
        if not self.steps:  # the processes have started: from here on, time is training
            self.bar.reset(self.total)
            self.began = time.monotonic()
        if recipe not in self.steps:
            self._take_off(recipe, self._done(recipe, step - 1))
            self.steps[recipe] = step - 1
        done = self._done(recipe, step) - self._done(recipe, self.steps[recipe])
        self.steps[recipe] = step
        self.left[recipe] -= done
        self.spent += done
        self.bar.update(done)
        self._tell()

    def finish(self, recipe: Recipe) -> None:
        """A run is in the store."""
        self._take_off(recipe, self.left[recipe])
        self.finished += 1
        self._show()

    def _done(self, recipe: Recipe, step: int) -> int:
        return _cost(recipe) * step // recipe.config.steps

    def _take_off(self, recipe: Recipe, amount: int) -> None:
        self.left[recipe] -= amount
        self.total -= amount
        self.bar.total = self.total

    def _show(self) -> None:
        self.bar.set_postfix_str(f"{self.finished}/{len(self.left)} runs")
        self._tell()

    def _tell(self) -> None:
        if self.watch:
            self.watch(Standing(self.finished, len(self.left), self._seconds_left()))

    def _seconds_left(self) -> float | None:
        seconds = time.monotonic() - self.began
        if self.spent == 0 or seconds < SECONDS_BEFORE_GUESSING:
            return None
        return seconds * (self.total - self.spent) / self.spent

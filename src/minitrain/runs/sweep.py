"""Many runs at once through one store: on this machine's cores, or wherever an executor trains."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from minitrain.common.errors import UserError
from minitrain.runs import elsewhere
from minitrain.runs import store as store_module
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.elsewhere import Executor, Order, Parcel
from minitrain.runs.faults import Recipe
from minitrain.runs.local import Cores, cores
from minitrain.runs.notice import Watch, notebook_line
from minitrain.runs.store import Run, Store
from minitrain.runs.workload import Workload, cost
from minitrain.training.config import Config

News = SimpleQueue[Any]
"""What happens while others train: a future that is done, or a run's number and its step."""


def run_all(
    wanted: Iterable[Config | Recipe],
    store: Store | None = None,
    watch: Watch | None = None,
    executor: Executor | None = None,
) -> list[Run]:
    """The runs of configs, or of recipes with a fault, in their order; those that the store lacks
    are trained in parallel.

    executor: where, if not on this machine's cores: anything whose `submit` is that of
    `concurrent.futures.Executor`, such as `cluster.Cluster` or a Dask client's `get_executor()`.
    Its workers need no store that they share with us (see `elsewhere`). `watch` is told how far the
    training is; without it, a line in the reader's notebook says so, where there is one.

    An exception where a run is trained is raised here. It, one that `watch` raises, and Ctrl-C end
    the sweep: on this machine's cores the runs under way too, which resume from their last
    checkpoint; elsewhere they go on to their end, in the store there. What is finished stays here.
    """
    store = store or Store()
    recipes = [Recipe.of(one) for one in wanted]
    with _each_warning_once():
        # Equal recipes are one run.
        found = {recipe: store.find(recipe) for recipe in dict.fromkeys(recipes)}
        missing = [recipe for recipe, run in found.items() if run is None]
        if missing:
            with notebook_line() as line:
                _train(missing, store, watch or line, executor)
        runs = {recipe: run or store.get(recipe) for recipe, run in found.items()}
    return [runs[recipe] for recipe in recipes]


def _train(
    recipes: Sequence[Recipe], store: Store, watch: Watch | None, executor: Executor | None
) -> None:
    workload = Workload(recipes, watch)
    news: News = SimpleQueue()

    def heard(number: int, step: int) -> None:
        news.put((number, step))

    with workload.bar:
        if executor:
            listen = getattr(executor, "listen", None)
            tell = listen(heard) if listen else lambda _number: None

            def order(number: int, recipe: Recipe) -> "Future[Any]":
                return executor.submit(elsewhere.train, Order.of(recipe), tell(number))

            _follow(recipes, order, news, workload, store)
        elif len(recipes) == 1:  # not worth the seconds that a new process takes to start
            store.get(recipes[0], lambda training: workload.reach(recipes[0], training.step))
            workload.finish(recipes[0])
        else:
            with Cores(min(len(recipes), cores()), store, heard) as here:
                _follow(recipes, here.train, news, workload, store)


def _follow(
    recipes: Sequence[Recipe],
    train: "Callable[[int, Recipe], Future[Any]]",
    news: News,
    workload: Workload,
    store: Store,
) -> None:
    """Have all of them trained, and take in what comes back."""
    under_way: dict[Future[Any], int] = {}
    waiting = set(range(len(recipes)))
    try:
        # The longest first, so that nobody waits for a long one at the end.
        for number in sorted(range(len(recipes)), key=lambda n: -cost(recipes[n].config)):
            future = train(number, recipes[number])
            under_way[future] = number
            future.add_done_callback(news.put)
        while under_way:
            event = news.get()
            if isinstance(event, Future):
                number = under_way.pop(event)
                waiting.remove(number)
                _take_in(event.result(), recipes[number], store)
                workload.finish(recipes[number])
            elif event[0] in waiting:
                workload.reach(recipes[event[0]], event[1])
    finally:
        for future in under_way:
            future.cancel()


def _take_in(parcel: Parcel | None, recipe: Recipe, store: Store) -> None:
    """A run that came as bytes; one that was trained on this machine is in the store already."""
    if parcel is None:
        return
    try:
        store.accept(recipe, parcel.files, parcel.sender)
    except DamagedFile as damage:
        raise UserError(f"{parcel.sender} sent a run that is none: {damage}") from None


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

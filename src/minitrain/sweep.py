"""Many runs at once, one process for each core, through the shared store."""

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

from tqdm import tqdm

from minitrain.config import Config
from minitrain.store import Run, Store


def run_all(configs: Iterable[Config], store: Store | None = None) -> list[Run]:
    """The runs of `configs`, in their order; those that the store lacks are trained in parallel."""
    store = store or Store()
    wanted = list(configs)
    # Equal configs are one run.
    missing = [c for i, c in enumerate(wanted) if c not in wanted[:i] and store.find(c) is None]
    if missing:
        _train(missing, store)
    return [store.get(config) for config in wanted]


def _train(configs: list[Config], store: Store) -> None:
    workers = min(len(configs), os.cpu_count() or 1)
    # "spawn": a forked child would inherit the state of PyTorch's thread pool.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, context) as pool,
        tqdm(total=len(configs), unit="run", disable=None) as bar,
    ):
        # The longest first, so that no core waits for a long one at the end.
        for future in as_completed(
            pool.submit(_ensure, config, store)
            for config in sorted(configs, key=lambda c: -c.steps)
        ):
            future.result()
            bar.update()


def _ensure(config: Config, store: Store) -> None:
    store.get(config)

"""``python -m benchmarks.sweeps -o benchmarks/sweeps.json``: what a sweep costs beside training.

10, 100 and 1,000 short runs of a model smaller than the course's: on the cores of this machine, and
on a Dask cluster that is this machine too, one worker for each core, in turn. Then what one run of
the course's own model takes at each station of its way, and what it is in bytes.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

COUNTS = (10, 100, 1000)
SMALL = {"model.n_layer": 1, "model.n_head": 2, "model.d_model": 16}
SHORT = {"steps": 40, "eval_interval": 40, "schedule.warmup_steps": 2}
STATIONS = 30  # runs of which each station is timed


@contextmanager
def dask(folder: Path, workers: int) -> Iterator[tuple[str, int]]:
    """A scheduler and its workers, each with a store of its own: its address and process."""
    file = folder / "scheduler.json"
    command = [str(Path(sys.executable).with_name("dask"))]
    common = ["--no-dashboard", f"--scheduler-file={file}"]
    space = folder / "space"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            [*command, "scheduler", "--port=0", "--no-show", "--host=127.0.0.1", *common],
            **quiet,
        )
    ]
    while not (file.exists() and file.stat().st_size):
        time.sleep(0.1)
    for number in range(workers):
        environment = {**os.environ, "MINITRAIN_STORE": str(folder / f"worker-{number}")}
        started.append(
            subprocess.Popen(
                [*command, "worker", "--nthreads=1", f"--local-directory={space}", *common],
                env=environment,
                **quiet,
            )
        )
    try:
        yield json.loads(file.read_text())["address"], started[0].pid
    finally:
        for process in started:
            process.terminate()
            process.wait()


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    options = parser.parse_args()

    import psutil
    from distributed import Client

    from minitrain.runs.cluster import Cluster
    from minitrain.runs.local import cores
    from minitrain.runs.store import Store
    from minitrain.runs.sweep import run_all

    workers = cores()
    configs = short_configs(SMALL)
    rows = []
    with tempfile.TemporaryDirectory() as name, dask(Path(name), workers) as (address, pid):
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers)
        scheduler = psutil.Process(pid)
        with Cluster(address) as cluster:  # both begin warm: what imports PyTorch has imported it
            run_all(take(configs, 2 * workers), Store(Path(name) / "warm"), executor=cluster)
        for number in options.counts:
            for where in ("cores", "cluster"):
                store = Store(Path(name) / f"{where}-{number}")
                wanted = take(configs, number)
                cpu, memory = sum(scheduler.cpu_times()[:2]), scheduler.memory_info().rss
                began = time.perf_counter()
                if where == "cores":
                    runs = run_all(wanted, store)
                else:
                    with Cluster(address) as cluster:
                        runs = run_all(wanted, store, executor=cluster)
                seconds = time.perf_counter() - began
                rows.append(
                    {
                        "where": where,
                        "runs": number,
                        "seconds": seconds,
                        "trained": sum(run.seconds for run in runs),
                        "scheduler_cpu": sum(scheduler.cpu_times()[:2]) - cpu,
                        "scheduler_memory": scheduler.memory_info().rss - memory,
                    }
                )
                print(rows[-1], flush=True)
        found = stations(take(short_configs({}), STATIONS), Path(name))
    values = {"machine": machine(workers), "sweeps": rows, **found}
    options.output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def short_configs(model: dict[str, Any]) -> Iterator[Any]:
    """Runs that nobody has trained yet, one seed after the other."""
    from minitrain.training.config import Config, patched

    base = patched(Config(), {**SHORT, **model})
    return (patched(base, {"seed": seed}) for seed in count())


def take(configs: Iterator[Any], number: int) -> list[Any]:
    """The next `number` of them."""
    return [next(configs) for _ in range(number)]


def stations(configs: Sequence[Any], folder: Path) -> dict[str, Any]:
    """Milliseconds of one run at each station on its way, medians; and what it is in bytes."""
    import pickle

    from minitrain.runs import elsewhere, table
    from minitrain.runs.elsewhere import Order
    from minitrain.runs.faults import Recipe
    from minitrain.runs.store import Store

    os.environ["MINITRAIN_STORE"] = str(folder / "there")
    ours = Store(folder / "ours")
    orders, ordering = timed(lambda config: Order.of(Recipe(config)), configs)
    parcels, training = timed(elsewhere.train, orders)
    sizes = [sum(map(len, parcel.files.values())) for parcel in parcels]
    wires, packing = timed(pickle.dumps, parcels)
    _, unpacking = timed(pickle.loads, wires)
    taken = iter(parcels)
    _, accepting = timed(lambda config: ours.accept(config, next(taken).files, "there"), configs)
    runs, finding = timed(ours.find, configs)
    _, testing = timed(table.tested, runs)
    return {
        "milliseconds": {
            "order": ordering,
            "train": training,
            "pickle": packing + unpacking,
            "accept": accepting,
            "find": finding,
            "table": testing,
        },
        "bytes": median(sizes),
        "order_bytes": len(pickle.dumps(orders[0])),
        "run_bytes": len(pickle.dumps(runs[0])),
    }


def timed(function: Callable[[Any], Any], values: Sequence[Any]) -> tuple[list[Any], float]:
    """What it returns for each, and the median of its milliseconds."""
    results, took = [], []
    for value in values:
        began = time.perf_counter()
        results.append(function(value))
        took.append(1000 * (time.perf_counter() - began))
    return results, median(took)


def machine(workers: int) -> str:
    """What the figures depend on."""
    import distributed
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{datetime.date.today()}; {names[0] if names else platform.processor()},"
        f" {workers} cores, {platform.system()}; Python {platform.python_version()},"
        f" torch {torch.__version__}, distributed {distributed.__version__}"
    )


if __name__ == "__main__":
    main()

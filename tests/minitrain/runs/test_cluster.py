"""A sweep on a Dask cluster: a real scheduler, and workers under different settings that die."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from minitrain.common.errors import UserError
from minitrain.runs import cluster, experiments, patched
from minitrain.runs.cluster import Cluster
from minitrain.runs.code import SOURCES
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store
from minitrain.runs.sweep import run_all
from minitrain.training.config import Config
from minitrain.training.loop import start, train

MakeConfig = Callable[..., Config]
FAULT = "decay-by-name"
SECONDS = 120  # to wait for what has to come: a busy machine is no failure

# A worker as it is by default, where there is a compiler; and one without kernel and with fewer
# instructions.
SETTINGS = (
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2", "MINITRAIN_ENGINE": "pytorch", "ATEN_CPU_CAPABILITY": "avx2"},
)


def wait_for(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


class Dask:
    """A scheduler and its workers, each a process with a store of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self.start("scheduler", "--port=0", "--no-show", f"--scheduler-file={file}")
        wait_for(lambda: file.exists() and file.stat().st_size)
        self.address: str = json.loads(file.read_text())["address"]

    def worker(self, name: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Without a nanny, which would start it again. Returns once the scheduler knows it."""
        log = self.folder / f"{name}.log"
        process = self.start(
            "worker",
            self.address,
            "--nthreads=1",
            "--no-nanny",
            *options,
            f"--local-directory={self.folder / 'space'}",
            log=log,
            MINITRAIN_STORE=str(self.folder / name),
            **variables,
        )
        wait_for(lambda: b"Registered to" in log.read_bytes())
        return process

    def start(
        self, what: str, *arguments: str, log: Path | None = None, **variables: str
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        command += ["--host=127.0.0.1", "--no-dashboard"]
        with (log or self.folder / f"{what}.log").open("wb") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **variables}, stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    def runs(self, name: str) -> list[Path]:
        """What a worker has finished."""
        return sorted((self.folder / name).glob("[0-9a-f]*/SHA256SUMS"))

    def kill(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    """A scheduler without workers."""
    made = Dask(tmp_path)
    yield made
    made.kill()


class Once:
    """A watch that acts once, as soon as the worker whose store is `folder` has a checkpoint."""

    def __init__(self, act: Callable[[], object], folder: Path):
        self.act = act
        self.folder = folder
        self.done = False

    def __call__(self, _standing: object = None) -> None:
        if not self.done and list((self.folder / ".partial").glob("[0-9a-f]*")):
            self.done = True
            self.act()


def alone(configs: list[Config]) -> list[str]:
    return [train(start(config)).fingerprint() for config in configs]


def test_workers_of_different_kinds_give_one_result_and_one_that_is_killed_loses_only_time(
    dask: Dask, store: Store, small: MakeConfig
) -> None:
    """It is killed in the middle of a run, of which it has a checkpoint and nobody else has."""
    configs = [small(seed=seed, steps=400) for seed in range(6)]
    dear = small(seed=99, steps=4000)
    workers = [dask.worker(f"w{i}", **settings) for i, settings in enumerate(SETTINGS)]
    watches = [Once(process.kill, dask.folder / f"w{i}") for i, process in enumerate(workers)]

    def kill(_standing: object) -> None:
        for watch in watches:
            if not any(each.done for each in watches):
                watch()

    with Cluster(dask.address) as both:
        runs = run_all([*configs, dear], store, kill, both)
    assert any(watch.done for watch in watches)
    assert [run.config for run in runs] == [*configs, dear]
    assert [run.fingerprint for run in runs] == alone([*configs, dear])
    assert {run.path.parent for run in runs} == {store.root}


def test_kernel_and_pytorch_share_a_sweep(dask: Dask, store: Store, small: MakeConfig) -> None:
    for i, settings in enumerate(SETTINGS):
        dask.worker(f"w{i}", **settings)
    recipes = [Recipe(small(seed=seed), fault) for seed in (1, 2, 3) for fault in (None, FAULT)]
    with Cluster(dask.address, [FAULT]) as both:
        runs = run_all(recipes, store, executor=both)
    assert dask.runs("w0")
    assert dask.runs("w1")
    there = {path.parent.name for name in ("w0", "w1") for path in dask.runs(name)}
    assert there == {run.path.name for run in runs}
    others = Store(dask.folder / "others")
    assert [run.fingerprint for run in runs] == [
        others.get(recipe).fingerprint for recipe in recipes
    ]


def test_a_worker_with_other_training_code_is_refused_and_trains_nothing(
    dask: Dask, store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    name = "minitrain.training.schedule"
    other = {**SOURCES, name: SOURCES[name].replace("0.5 * (1", "0.4 * (1")}
    assert other != SOURCES
    tree = patched._copy(other, dask.folder)
    dask.worker("other", PYTHONPATH=str(tree))
    with pytest.raises(UserError, match="none of its workers may train"):
        Cluster(dask.address)
    (message,) = [record.getMessage() for record in caplog.records if "refused" in record.message]
    assert "training code: " in message
    assert "\n" not in message
    caplog.clear()

    dask.worker("bare", PYTHONPATH=str(broken_library(dask.folder)))
    dask.worker("w0")
    with Cluster(dask.address) as workers:
        runs = run_all([small(seed=seed) for seed in range(4)], store, executor=workers)
    messages = [record.getMessage() for record in caplog.records]
    assert len([text for text in messages if "is refused" in text]) == 2
    assert any("ImportError('not here')" in text for text in messages)
    assert len(dask.runs("w0")) == len(runs) == 4
    assert not dask.runs("other")
    assert not dask.runs("bare")


def broken_library(folder: Path) -> Path:
    """Where a `minitrain` lies that cannot be imported."""
    package = folder / "broken" / "minitrain"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')\n")
    return package.parent


def test_without_workers_it_waits_and_goes_on_with_the_next(
    dask: Dask, store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The only worker dies; the one that comes later is looked at, and gets what was pending."""
    first = dask.worker("w0", MINITRAIN_ENGINE="pytorch")
    configs = [small(seed=seed, steps=1000) for seed in range(3)]

    def replace() -> None:
        first.kill()
        first.wait()
        dask.worker("w1")

    watch = Once(replace, dask.folder / "w0")
    with Cluster(dask.address) as workers:
        runs = run_all(configs, store, watch, workers)
    assert watch.done
    assert [run.fingerprint for run in runs] == alone(configs)
    assert dask.runs("w1")
    assert any("no worker is left" in record.getMessage() for record in caplog.records)


SIX_RUNS = """
base:
  steps: 600
  batch_size: 4
  eval_interval: 1000
  model: {n_layer: 1, n_head: 2, d_model: 8}
  schedule: {warmup_steps: 2}
variants: {sweep: {}}
seeds: {sweep: [1, 2, 3, 4, 5, 6]}
"""


def test_a_worker_that_is_started_again_at_its_old_address_is_asked_again(
    dask: Dask, store: Store, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks: who was admitted is another process now, with nothing to show for it."""
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_LOOKS", 8)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = f"--worker-port={free.getsockname()[1]}"
    first = dask.worker("w0", port, MINITRAIN_ENGINE="pytorch")
    configs = [small(seed=seed, steps=1000) for seed in range(3)]

    def replace() -> None:
        first.kill()
        first.wait()
        dask.worker("w1", port)

    watch = Once(replace, dask.folder / "w0")
    with Cluster(dask.address) as workers:
        runs = run_all(configs, store, watch, workers)
    assert watch.done
    assert [run.fingerprint for run in runs] == alone(configs)
    assert dask.runs("w1")


def six_runs(place: Path) -> Path:
    """An experiment's folder."""
    folder = place / "99-grid"
    folder.mkdir()
    (folder / "config.yaml").write_text(SIX_RUNS)
    return folder


class Client:
    """`minitrain sweep --on` in a process of its own."""

    def __init__(self, dask: Dask, experiment: Path):
        self.store = dask.folder / "runs"
        command = [sys.executable, "-m", "minitrain", "sweep", str(experiment), "--json"]
        self.process = subprocess.Popen(
            [*command, "--on", dask.address],
            env={**os.environ, "MINITRAIN_STORE": str(self.store)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finished(self) -> dict[Path, int]:
        found = self.store.glob("[0-9a-f]*/SHA256SUMS")
        return {path: path.stat().st_mtime_ns for path in found}


def test_a_client_that_dies_finds_what_was_finished_when_it_asks_again(dask: Dask) -> None:
    """Killed, then interrupted, then let be; in the end all is there and nothing was replaced."""
    folder = six_runs(dask.folder)
    dask.worker("w0", MINITRAIN_ENGINE="pytorch")

    killed = Client(dask, folder)
    wait_for(killed.finished)
    killed.process.kill()
    killed.process.wait()
    first = killed.finished()
    assert len(first) < 6

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupted = Client(dask, folder)
    signal.signal(signal.SIGINT, before)
    wait_for(lambda: len(interrupted.finished()) > len(first) or interrupted.process.poll())
    interrupted.process.send_signal(signal.SIGINT)
    _, complaint = interrupted.process.communicate(timeout=SECONDS)
    assert interrupted.process.returncode == 130
    assert complaint == "minitrain: interrupted; run the same command again to resume\n"

    again = Client(dask, folder)
    printed, complaint = again.process.communicate(timeout=SECONDS)
    assert (again.process.returncode, complaint) == (0, "")
    others = Store(dask.folder / "others")
    points = experiments.load(folder).points()
    expected = [others.get(point.recipe).fingerprint for point in points]
    assert [row["fingerprint"] for row in json.loads(printed)["runs"]] == expected
    assert first.items() <= again.finished().items()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:1", "nobody answers there: Connection refused"),
        ("tcp://no.such.host.invalid:1", "nobody answers there: "),
        ("127.0.0.1", "expected an address, such as tcp://host:8786"),
        ("carrier-pigeon://7", "expected an address"),
        ("", "expected an address"),
    ],
)
def test_an_address_where_nobody_schedules_is_one_line(address: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        Cluster(address)
    assert f"--on {address}: " in str(caught.value)


def test_what_answers_and_is_no_scheduler_is_one_line(
    dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker; a web server; a socket that says nothing."""
    dask.worker("w0")
    log = (dask.folder / "w0.log").read_text()
    worker = re.findall(r"Start worker at: +(tcp://\S+)", log)[0]
    with pytest.raises(UserError, match="is no scheduler, but Worker"):
        Cluster(worker)
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 2)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match="is no scheduler, but nothing of Dask"):
            Cluster(f"tcp://127.0.0.1:{http.server_port}")
        http.shutdown()
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(UserError, match="is no scheduler, but nothing of Dask"),
    ):
        Cluster(f"tcp://127.0.0.1:{mute.getsockname()[1]}")


def test_a_sweep_waits_for_the_first_worker(
    dask: Dask, store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with Cluster(dask.address) as nobody:
        assert "no worker yet; waiting for one" in caplog.text
        dask.worker("w0")
        (run,) = run_all([small()], store, executor=nobody)
    assert [run.fingerprint] == alone([small()])


def test_a_scheduler_that_goes_is_one_line(dask: Dask) -> None:
    dask.worker("w0", MINITRAIN_ENGINE="pytorch")
    client = Client(dask, six_runs(dask.folder))
    wait_for(client.finished)
    dask.kill()
    printed, complaint = client.process.communicate(timeout=SECONDS)
    assert (client.process.returncode, printed) == (2, "")
    assert complaint == (
        f"minitrain: --on {dask.address}: the scheduler has gone;"
        " run again: what has arrived is kept\n"
    )


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="pip install distributed"):
        Cluster("tcp://127.0.0.1:1")

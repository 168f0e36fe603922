"""The same config gives the same bytes, whatever the processor does and however often it stops:
those that the lock file has, which were may have been made on another machine.

Everything is trained in fresh processes, at a peak learning rate of 1e-2, where training is
chaotic: one wrong bit anywhere and the fingerprints part.
"""

import json
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from minitrain.runs import fingerprints
from minitrain.runs.workload import cost
from minitrain.training import loop

pytestmark = pytest.mark.xdist_group("reproducibility")  # the runs below are made once

STEPS = 300
STEPS_WITHOUT_GRID = 30

# Trains with the grid, then a little without it, and says what the processor was really asked to
# do: MKL prints a line with its instruction set, then one with the threads of each product.
TRAIN = """
import json, sys
import torch
from minitrain.training import loop
from minitrain.training.config import Config, patched

def trained(steps, grid_bits):
    config = patched(Config(), {
        "steps": steps, "eval_interval": 10 * steps, "arithmetic.grid_bits": grid_bits,
        "batch_size": 8, "optimizer.learning_rate": 1e-2, "schedule.warmup_steps": 20,
    })
    return loop.train(loop.start(config))

steps, steps_without_grid = json.loads(sys.argv[1])
probe = loop.start(patched(Config(), {"optimizer.learning_rate": 1e-2}))
if torch.backends.mkl.is_available():
    with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):
        loop.advance(probe)
print()
print(json.dumps({
    "capability": torch.backends.cpu.get_cpu_capability(),
    "fingerprint": trained(steps, 20).fingerprint(),
    "without_grid": trained(steps_without_grid, None).fingerprint(),
}))
"""

# Trains through a store; killed without warning at `kill_at`.
TRAIN_IN_STORE = """
import json, os, signal, sys
from pathlib import Path
import torch
from minitrain.training.config import Config, patched
from minitrain.runs.store import Store

options = json.loads(sys.argv[1])
steps = options["steps"]
first = []

def progress(training):
    first.append(training.step)
    if training.step == options["kill_at"]:
        os.kill(os.getpid(), signal.SIGKILL)

config = patched(Config(), {
    "steps": steps, "eval_interval": 10 * steps,
    "batch_size": 8, "optimizer.learning_rate": 1e-2, "schedule.warmup_steps": 20,
})
run = Store(Path(options["root"])).get(config, progress)
print(json.dumps({
    "capability": torch.backends.cpu.get_cpu_capability(),
    "fingerprint": run.fingerprint,
    "first_step": first[0],
}))
"""


@dataclass(frozen=True)
class Outcome:
    """What a process trained, and what MKL said about its first step."""

    capability: str
    fingerprint: str
    without_grid: str
    mkl: str


def instruction_sets() -> list[str]:
    """The values of ATEN_CPU_CAPABILITY that this machine can carry out."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    sets = ["default"]
    if {"avx2", "fma"} <= flags:
        sets.append("avx2")
        if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
            sets.append("avx512")
    return sets


HAS_MKL = torch.backends.mkl.is_available() and platform.machine() in ("x86_64", "AMD64")
TWO_THREADS = {
    "OMP_NUM_THREADS": "2",
    "MKL_DYNAMIC": "FALSE",
    "OMP_WAIT_POLICY": "passive",  # idle threads sleep: another test wants the core
}
BY_CAPABILITY = {f"ATen {name}": {"ATEN_CPU_CAPABILITY": name} for name in instruction_sets()}
BY_MKL = {
    f"MKL {name}": {"MKL_ENABLE_INSTRUCTIONS": name} for name in ("SSE4_2", "AVX2") if HAS_MKL
}
EVERY_SETTING = {"as it comes": {}, "two threads": TWO_THREADS} | BY_CAPABILITY | BY_MKL
MKL_CALLS_ITSELF = {"SSE4_2": "(Intel(R) SSE4.2)", "AVX2": "(Intel(R) AVX2)"}


@pytest.fixture(scope="module")
def outcomes(run_python: Callable[..., Any]) -> dict[str, Outcome]:
    """One training for each setting, two processes at a time."""

    def train(setting: dict[str, str]) -> Outcome:
        out = run_python(TRAIN, [STEPS, STEPS_WITHOUT_GRID], **setting).stdout
        *mkl, last = out.strip().splitlines()
        return Outcome(**json.loads(last), mkl="\n".join(mkl))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(EVERY_SETTING, pool.map(train, EVERY_SETTING.values()), strict=True))


@pytest.mark.parametrize("setting", EVERY_SETTING)
def test_training_gives_the_same_bytes_under(setting: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[setting].fingerprint == outcomes["as it comes"].fingerprint


@pytest.mark.parametrize("setting", BY_CAPABILITY)
def test_pytorch_really_used(setting: str, outcomes: dict[str, Outcome]) -> None:
    wanted = BY_CAPABILITY[setting]["ATEN_CPU_CAPABILITY"]
    assert outcomes[setting].capability.lower() == wanted


@pytest.mark.parametrize("setting", BY_MKL)
def test_mkl_really_used(setting: str, outcomes: dict[str, Outcome]) -> None:
    wanted = BY_MKL[setting]["MKL_ENABLE_INSTRUCTIONS"]
    name = MKL_CALLS_ITSELF[wanted]
    if "Intel" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("MKL takes this instruction from Intel processors only")
    assert name in outcomes[setting].mkl.splitlines()[0]


@pytest.mark.skipif(not HAS_MKL, reason="only MKL says how many threads a product had")
def test_two_threads_really_shared_the_work(outcomes: dict[str, Outcome]) -> None:
    assert "NThr:2" not in outcomes["as it comes"].mkl
    assert "NThr:1" not in outcomes["two threads"].mkl
    assert "NThr:2" in outcomes["two threads"].mkl


@pytest.mark.skipif(len(instruction_sets()) < 2, reason="this machine has one instruction set")
def test_without_the_grid_the_same_settings_give_different_bytes(
    outcomes: dict[str, Outcome],
) -> None:
    by_instructions = {outcomes[setting].without_grid for setting in BY_CAPABILITY}
    assert len(by_instructions) > 1


@pytest.mark.parametrize("kill_at", [STEPS // 2 + 17])
def test_a_killed_run_resumed_with_other_instructions_gives_the_same_bytes(
    kill_at: int, outcomes: dict[str, Outcome], run_python: Callable[..., Any], tmp_path: Path
) -> None:
    options = {"root": str(tmp_path), "steps": STEPS, "kill_at": kill_at}
    first, last = instruction_sets()[-1], instruction_sets()[0]

    run_python(TRAIN_IN_STORE, options, status=-9, ATEN_CPU_CAPABILITY=first)
    resumed = run_python(
        TRAIN_IN_STORE, options | {"kill_at": None}, ATEN_CPU_CAPABILITY=last, **TWO_THREADS
    )

    outcome = json.loads(resumed.stdout)
    assert outcome["capability"].lower() == last
    assert 1 < outcome["first_step"] <= kill_at
    assert outcome["fingerprint"] == outcomes["as it comes"].fingerprint


def test_a_run_of_the_book_has_the_fingerprint_of_the_lock_file() -> None:
    """The cheapest; `minitrain verify --all` trains all of them."""
    cheapest = min(fingerprints.points(), key=lambda point: cost(point.config))
    expected = fingerprints.read().fingerprints[fingerprints.label(cheapest)]
    assert loop.train(loop.start(cheapest.config)).fingerprint() == expected

"""What the tests of the library share: small configs, stores of their own, fresh processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from minitrain.runs.store import Store
from minitrain.training.config import Config, patched

# A training step on a busy machine takes as long as it takes: no test here is about time.
hypothesis.settings.register_profile("minitrain", deadline=None)
hypothesis.settings.load_profile("minitrain")

# What decides which instructions and how many threads a process uses. A test that starts one
# says all of it, so that the settings of whoever runs the tests do not leak in.
SETTINGS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "MKL_VERBOSE",
    "OMP_NUM_THREADS",
)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """These models are too small to share between cores; two threads would only wait."""
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "runs")


@pytest.fixture(scope="session")
def small() -> Callable[..., Config]:
    """Make a config whose steps take a millisecond; keywords are sections or top-level keys."""

    def make(**changes: Any) -> Config:
        base = {
            "steps": 40,
            "batch_size": 4,
            "eval_interval": 1000,
            "model": {"n_layer": 1, "n_head": 2, "d_model": 8},
            "optimizer": {"learning_rate": 1e-2},
            "schedule": {"warmup_steps": 0},
        }
        return patched(patched(Config(), base), changes)

    return make


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a fresh interpreter: ``run_python(script, value, NAME="value")``.

    The script finds the JSON of `value` in ``sys.argv[1]``; keywords are environment variables.
    A script that fails fails the test, unless `status` says that this is meant.
    """

    def run(
        script: str, value: Any = None, *, status: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        environment |= {"OMP_NUM_THREADS": "1"} | variables
        finished = subprocess.run(
            [sys.executable, "-c", script, json.dumps(value)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,  # rather than wait for ever for a lock
        )
        assert finished.returncode == status, finished.stderr
        return finished

    return run

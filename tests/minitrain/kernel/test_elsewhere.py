"""The same C file gives the same fingerprints on other processors and as WebAssembly."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minitrain.kernel import binding, build
from minitrain.kernel.sandbox import Sandbox
from minitrain.runs import engines
from minitrain.training.config import Config, patched

# Dropout's stream and clipping among it: what another machine could do otherwise.
CONFIG = patched(
    Config(),
    {
        "steps": 30,
        "batch_size": 2,
        "eval_interval": 30,
        "model.dropout": 0.1,
        "optimizer.learning_rate": 7e-3,
        "optimizer.weight_decay": 1.0,
        "optimizer.gradient_clip": 1.0,
        "schedule.warmup_steps": 10,
    },
)


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """The fingerprints of the reference."""
    engine = engines.pytorch()
    return [record.fingerprint for record in engine.train(engine.start(CONFIG)).records]


def numbers() -> bytes:
    return np.array(binding.leaves(CONFIG), dtype="<f8").tobytes()


@pytest.mark.parametrize("processor", ["aarch64", "riscv64"])
def test_another_processor_emulated(processor: str, expected: list[str]) -> None:
    emulator = shutil.which(f"qemu-{processor}-static") or shutil.which(f"qemu-{processor}")
    if emulator is None:
        pytest.skip("needs the Debian package qemu-user-static")
    host = Path(__file__).with_name("host.c")
    flags = ["-target", f"{processor}-linux-musl", "-static"]
    flags += [f"-I{build.folder()}"]
    program = build.compiled(flags, f"host-{processor}", source=host)
    done = subprocess.run(
        [emulator, str(program)],
        input=numbers() + binding.items().astype("<i4").tobytes(),
        capture_output=True,
        check=True,
        timeout=1800,
    )
    assert done.stdout.decode().split() == expected[1:]


@pytest.mark.parametrize("simd", [True, False])
def test_web_assembly(simd: bool, expected: list[str]) -> None:
    """Under wasmtime, a runtime without a browser; browsers are the browser tests'."""
    sandbox = Sandbox(CONFIG, simd)
    found, status = [], sandbox.record()
    while True:
        if status & binding.RECORDED:
            found.append(sandbox.fingerprint())
        if sandbox.step == CONFIG.steps:
            break
        status = sandbox.advance()
    assert found == expected


def test_a_sandbox_grows_to_what_a_run_needs() -> None:
    wide = patched(CONFIG, {"model.d_model": 128, "model.n_layer": 3, "steps": 2000})
    native = binding.Memory(wide)
    sandbox = Sandbox(wide)
    for training in (native, sandbox):
        training.advance()
        training.record()
    assert sandbox.fingerprint() == native.fingerprint()
    assert sandbox.first_moment.shape == tuple(native.first_moment.shape)


def test_little_endian_numbers_are_what_the_hosts_hand_over() -> None:
    assert struct.unpack("<d", numbers()[8:16]) == (CONFIG.steps,)

"""The same C file gives the same fingerprints on other processors and as WebAssembly."""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

from minitrain.kernel import binding, build
from minitrain.runs import engines
from minitrain.training.config import Config, patched

# Dropout's stream and clipping among it: what another machine could do otherwise.
CONFIG = patched(
    Config(),
    {
        "steps": 40,
        "batch_size": 8,
        "eval_interval": 40,
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
    # Without vectors, the compiler says of a loop that it did not unroll it: slower, and no fault.
    flags = ["-target", f"{processor}-linux-musl", "-static", "-Wno-pass-failed"]
    flags += [f"-I{build.folder()}"]
    program = build.compiled(flags, f"host-{processor}", source=host)
    done = subprocess.run(
        [emulator, str(program)],
        input=numbers() + binding.items().astype("<i4").tobytes(),
        capture_output=True,
        check=True,
        timeout=1800,
    )
    assert done.stdout.decode().split() == expected


@pytest.mark.parametrize("simd", [True, False])
def test_web_assembly(simd: bool, expected: list[str]) -> None:
    """Under wasmtime, a runtime without a browser; browsers are the browser tests'."""
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, build.web_assembly(simd))
    assert not module.imports, "the kernel asks its host for nothing"
    exports: Any = wasmtime.Instance(store, module, []).exports(store)
    memory = exports["memory"]

    def call(name: str, *arguments: Any) -> Any:
        return exports[f"minitrain_{name}"](store, *arguments)

    config = (exports["__heap_base"].value(store) + 63) // 64 * 64
    items = config + 64 * 4
    training = (items + binding.items().nbytes + 63) // 64 * 64
    memory.grow(store, items // 65536 + 2)
    memory.write(store, numbers(), config)
    memory.write(store, binding.items().astype("<i4").tobytes(), items)
    memory.grow(store, int(call("bytes", config)) // 65536 + 2)
    at = call("start", training, config, items)
    found, status = [], call("record", at)
    while True:
        if status & binding.RECORDED:
            where = call("fingerprint", at)
            found.append(bytes(memory.read(store, where, where + 32)).hex())
        if call("step", at) == CONFIG.steps:
            break
        status = call("advance", at)
    assert found == expected


def test_little_endian_numbers_are_what_the_hosts_hand_over() -> None:
    assert struct.unpack("<d", numbers()[8:16]) == (CONFIG.steps,)

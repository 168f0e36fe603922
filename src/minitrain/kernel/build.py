"""Compiling the kernel, with the C compiler of the package `ziglang`: for the processor at hand,
for another one, or to WebAssembly. No compiler of the system is needed, and none is used.

What was compiled is kept in `_build/kernel`, under a hash of the sources, the flags and, if it is
for the processor at hand, that processor.
"""

import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from minitrain.common import paths
from minitrain.common.errors import UserError

FLAGS = (
    "-std=c11",
    "-O3",
    "-g0",
    "-fno-math-errno",
    # a * b + c may be one instruction. What may not be is -ffast-math: it takes the rounding in
    # `exponential` for an addition and a subtraction that cancel, and lets -0.0 stand for +0.0 in
    # the fingerprint. The chapter on four programs shows both.
    "-ffp-contract=fast",
    "-fno-sanitize=undefined",
    "-fvisibility=hidden",
)
# Warnings are for whoever works on the kernel: the tests compile it with these.
STRICT = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function")
# What looks like a call of memset or exp stays what it is.
_WITHOUT_LIBRARY = ("-ffreestanding", "-fno-builtin", "-nostdlib")
_LIBRARY = ("-shared", "-fPIC", "-mcpu=native")
_PAGE = (
    "-target",
    "wasm32-freestanding",
    "-Wl,--no-entry",
    "-Wl,--export-dynamic",
    "-Wl,--export=__heap_base",
    "-Wl,--strip-all",
)
# Vectors of 128 bits are in every browser since 2023. Relaxed SIMD is left out on purpose: it alone
# may give other bits on another machine.
_SIMD = "-mcpu=generic+simd128+bulk_memory"
_SCALAR = "-mcpu=generic"
SECONDS = 300  # the first compilation on a machine also compiles what the compiler brings along


class NoCompiler(UserError):
    """The kernel cannot be compiled here; says why."""


def folder() -> Path:
    """Where the sources lie: beside `src` in the course."""
    return Path(__file__).resolve().parents[3] / "kernel"


def sources() -> list[Path]:
    """The kernel's files, those that others include among them."""
    return sorted(folder().glob("*.[ch]"))


@cache
def kernel_code() -> str:
    """SHA-256 of the kernel's sources and of the flags that they are compiled with."""
    digest = hashlib.sha256(" ".join(FLAGS + _WITHOUT_LIBRARY).encode())
    for path in sources():
        digest.update(f"\0{path.name}\0{path.read_text(encoding='utf-8')}".encode())
    return digest.hexdigest()


def library(*more: str) -> Path:
    """The kernel as a shared library for this processor. Raises `NoCompiler`.

    more: flags that come after ours, for whoever wants to see what they do.
    """
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    return compiled((*_LIBRARY, *more), f"minitrain{suffix}", _processor())


def web_assembly(simd: bool = True, *more: str) -> bytes:
    """The kernel as a WebAssembly module, with vectors or without; `more` as for `library`."""
    flags = (*_PAGE, _SIMD if simd else _SCALAR, *more)
    return compiled(flags, "minitrain.wasm").read_bytes()


def compiled(flags: Sequence[str], name: str, extra: str = "", source: Path | None = None) -> Path:
    """The kernel compiled with `flags`, in a file called `name`: now, or already earlier.

    extra: what the result depends on besides sources and flags. source: a program of its own that
    includes the kernel, with a C library, instead of the kernel alone.
    """
    if not sources():
        raise NoCompiler(f"{folder()}: the sources of the kernel are not there")
    if importlib.util.find_spec("ziglang") is None:
        raise NoCompiler("the package ziglang, which compiles the kernel, is not installed")
    program = source.read_text(encoding="utf-8") if source else ""
    key = "\0".join([kernel_code(), version("ziglang"), *flags, extra, program])
    into = paths.course_root() / "_build" / "kernel" / hashlib.sha256(key.encode()).hexdigest()[:16]
    target = into / name
    if target.exists():
        return target
    try:
        into.mkdir(parents=True, exist_ok=True)
        # Of several processes that train, one compiles.
        with FileLock(into / ".lock"):
            if not target.exists():
                _compile(flags, target, source)
    except OSError as error:
        raise NoCompiler(f"{into}: {error.strerror or error}") from None
    return target


def _compile(flags: Sequence[str], target: Path, source: Path | None) -> None:
    unfinished = target.with_name(f"unfinished-{target.name}")
    alone = () if source else _WITHOUT_LIBRARY
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *alone, *flags]
    command += ["-o", str(unfinished), str(source or folder() / "minitrain.c")]
    # The compiler's own cache beside ours: the home folder may not be writable.
    caches = {
        name: str(target.parent.parent / "zig")
        for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env={**os.environ, **caches},
        )
    except subprocess.TimeoutExpired:
        raise NoCompiler(f"compiling the kernel took more than {SECONDS} seconds") from None
    if done.returncode:
        first = next(iter(done.stderr.strip().splitlines()), f"status {done.returncode}")
        raise NoCompiler(f"the kernel does not compile: {first}")
    unfinished.replace(target)


@cache
def _processor() -> str:
    """What tells one processor from another that has other instructions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    features = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return " ".join([platform.machine(), platform.processor(), *sorted(features)])

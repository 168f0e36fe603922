"""Training under other sources, in a process of its own: this one keeps the library as it is.

The process imports a copy of the library in which the training code is another: that of a fault, or
a reader's repair. It has PyTorch train, through the store; its address is that of the run there,
since an address holds the hash of the code that trains.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitrain.common import paths
from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.runs.code import hash_of
from minitrain.training.config import Config, plain
from minitrain.training.loop import Record

LIBRARY = Path(__file__).resolve().parents[1]
FOLDER = ".patched"  # in a store: copies of the library, by the hash of their training code


@dataclass
class Remote:
    """A run that another process trains, as far as it has said: what a `Progress` may look at."""

    config: Config
    step: int = 0
    records: list[Record] = field(default_factory=list)


def train(
    config: Config,
    sources: Mapping[str, str],
    root: Path,
    device: str = "cpu",
    progress: Any = None,
) -> None:
    """Have the run of `config` under `sources` trained into the store at `root`.

    sources: of every module in `code.SOURCES`, by name. progress: called after each step with a
    `Remote`. Raises `UserError` with the other process's last line if it fails.
    """
    remote = Remote(config)
    asked = {"config": plain(config), "root": str(root.resolve()), "device": device}
    for news in ask(f"{__package__}.patched_process", asked, sources, root):
        remote.step = news["step"]
        remote.records += [Record(**record) for record in news["records"]]
        if progress:
            progress(remote)


def ask(module: str, asked: Any, sources: Mapping[str, str], root: Path) -> Iterator[Any]:
    """Run a module of the library under other sources; yields what it answers.

    The module reads `asked` as JSON from standard input, and answers in lines of JSON. root: the
    store in which the copy of the library is kept. Raises `UserError` with the process's last other
    line if it fails.
    """
    tree = _copy(sources, root)
    command = [sys.executable, "-m", module]
    # Of this process's own path, the copy comes first.
    path = os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    last = ""
    with _process(command, environment) as process:
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
            else:
                last = line.strip() or last
    if process.returncode:
        reason = last or f"exit status {process.returncode}"
        raise UserError(f"under a patch: {reason}")


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[Any]:
    """A process that ends when we do. Ctrl-C is ours: it hears of it from us."""
    process: Any = subprocess.Popen(
        command,
        env=environment,
        cwd=paths.course_root(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield process
        process.wait()
    finally:
        # It saves as it goes: whoever asks again goes on from its last checkpoint.
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()


def _copy(sources: Mapping[str, str], root: Path) -> Path:
    """A folder with a copy of the library that has these sources; made now, or already earlier."""
    target = root / FOLDER / hash_of(sources)[:16]
    for path in sorted(LIBRARY.rglob("*.py")):
        name = ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
        content = sources[name].encode() if name in sources else path.read_bytes()
        copy = target / path.relative_to(LIBRARY.parent)
        if not copy.exists() or copy.read_bytes() != content:
            write_atomically(copy, content)
    return target

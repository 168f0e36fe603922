"""How long `jupyter-book build book/` takes in a fresh clone, and again when nothing changed."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def measure() -> tuple[float, float]:
    """Seconds of a cold and of a warm build of the last commit, in a clone that is then deleted."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "course"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        return _build(clone), _build(clone)


def _build(clone: Path) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "MINITRAIN_STORE"}
    environment["PYTHONPATH"] = str(clone / "src")
    began = time.perf_counter()
    built = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", "book/"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        sys.exit(f"the book does not build:\n{built.stdout[-3000:]}\n{built.stderr[-3000:]}")
    return time.perf_counter() - began

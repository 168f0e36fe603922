"""How long `jupyter-book build book/` takes in a fresh clone, and again when nothing changed.

Then what each page took in the cold build, and a build after one sentence was changed.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


PAGE = "book/en/phase-18/05-adamw-vs-adam-decoupling.md"
"""A long page, to which a sentence is added."""


@dataclass(frozen=True)
class Times:
    """Seconds of each build, and a table of the pages."""

    cold: float
    warm: float
    prose: float
    pages: str


def measure() -> Times:
    """Build the last commit in a clone that is then deleted."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "course"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        cold, warm = _build(clone), _build(clone)
        table = subprocess.run(
            [sys.executable, "tools/slowest.py"],
            cwd=clone,
            capture_output=True,
            text=True,
            check=True,
        )
        with (clone / PAGE).open("a", encoding="utf-8") as page:
            page.write("\nOne more sentence.\n")
        return Times(cold, warm, _build(clone), table.stdout)


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

"""Where the tests of JupyterLab work."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = Path("_build") / "jupyterlab-test"
LAB = "18-the-run-that-remembers"
CASE = "19-the-run-that-hardly-learns"

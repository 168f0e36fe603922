"""What the tests of the book share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "tools")]


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.fail(f"there is no built site at {folder}: run make book", pytrace=False)
    return folder

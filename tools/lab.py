"""Opens the course in JupyterLab, on copies that a reader may change.

    python tools/lab.py [options of JupyterLab...]

The server's root is the course; the copies lie in ``work/``, which git ignores, or in the folder of
the course that ``COURSE_WORK`` names. JupyterLab begins there, at a page that says where to start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from copies import ROOT, course_files, refresh

WORK = Path(os.environ.get("COURSE_WORK", "work"))  # from the course's root
SETTINGS = ROOT / "tools" / "jupyterlab"


def arguments(options: list[str]) -> list[str]:
    """How JupyterLab is called; what the caller adds comes last, and wins."""
    # In a container there is often nobody else.
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={ROOT}",
        f"--FileContentsManager.preferred_dir={ROOT / WORK}",
        f"--LabApp.default_url=/lab/tree/{WORK.as_posix()}/START.md",
        *as_root,
        *options,
    ]


def environment() -> dict[str, str]:
    """With the course's defaults for JupyterLab; the reader's own settings stay above them."""
    paths = [str(SETTINGS), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def main() -> None:
    """Bring the copies up to date and hand over to JupyterLab."""
    refresh(ROOT / WORK, course_files())
    call = arguments(sys.argv[1:])
    os.execve(call[0], call, environment())


if __name__ == "__main__":
    main()

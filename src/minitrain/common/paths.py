"""Where things lie: the root of the course, and the run store."""

import os
from pathlib import Path

STORE_VARIABLE = "MINITRAIN_STORE"


def course_root() -> Path:
    """The nearest folder, from here upwards, that holds `experiments/`.

    Notebooks run in their own folder, the command line anywhere; both find the same place. Away
    from any checkout it is the checkout that the library was installed from.
    """
    here = Path.cwd()
    installed_from = Path(__file__).resolve().parents[3]
    for folder in (here, *here.parents, installed_from):
        if (folder / "experiments").is_dir():
            return folder
    return here


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; not if the name is one that no file can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, or a null byte in it
        return False


def store_root() -> Path:
    """`$MINITRAIN_STORE`, or `_build/runs` in the course."""
    named = os.environ.get(STORE_VARIABLE)
    return Path(named) if named else course_root() / "_build" / "runs"

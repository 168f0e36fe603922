"""Writing files so that nobody ever reads half of one."""

import errno
import hashlib
import os
import stat
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, flush to disk, then rename: readers see the old file or the new one.

    A link is followed: its target is written, not the link replaced. A device or a pipe, such as
    /dev/null, is written through.
    """
    # Before it is resolved: the link /dev/stdout leads to no path if a pipe is behind it.
    if path.exists() and not (path.is_file() or path.is_dir()):
        path.write_bytes(content)
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        # "x": whatever somebody puts there in the meantime, a link say, is not written through.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes:
    """The content of a plain file. Raises `OSError` for anything else: a pipe would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "is not a file", str(path))
    return path.read_bytes()


def sha256(content: bytes) -> str:
    """SHA-256 of `content` as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()

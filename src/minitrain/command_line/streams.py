"""What is printed: one line for an error, no traceback for a stream that cannot be written."""

import errno
import logging
import os
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

from minitrain.common.errors import UserError

LONGEST = 1000  # characters of a message; a value of a megabyte is not to fill the screen
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
BROKEN_PIPE = 1  # the exit status if whoever read our output has gone


def prepare() -> None:
    """Make the streams bear any name, and the log look like our other messages."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(handlers=[handler])


def out(text: object) -> None:
    """Print to standard output, now."""
    try:
        print(_visible(str(text), keep="\n"), flush=True)
    except BrokenPipeError:
        _forget(sys.stdout)
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        _forget(sys.stdout)
        raise UserError(f"standard output: cannot be written: {error.strerror}") from None


def complain(message: object) -> None:
    """Print one line to standard error; if that cannot be written, the exit status must do."""
    try:
        print(line(message), file=sys.stderr, flush=True)
    except OSError:
        _forget(sys.stderr)


def line(message: object) -> str:
    """`message` as one line that a terminal shows as it is, and not longer than a screen."""
    text = _visible(str(message))
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return f"minitrain: {text}"


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return line(record.getMessage())


def _visible(text: str, keep: str = "") -> str:
    """Control characters, which a name may hold, as escapes."""
    if text.isprintable():
        return text
    hidden = {c for c in set(text) if unicodedata.category(c) in _HIDDEN} - set(keep)
    return "".join(c.encode("unicode_escape").decode() if c in hidden else c for c in text)


def _forget(stream: TextIO) -> None:
    """What is left in the buffer goes nowhere: Python would fail on it once more at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def out_of_memory(error: BaseException) -> bool:
    """PyTorch has no exception of its own for a CPU without memory."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return "can't allocate memory" in text or "out of memory" in text


def reason(error: OSError) -> str:
    """What the system says, and about which file."""
    said = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
    if error.errno == errno.ENAMETOOLONG or error.filename is None:
        return said
    return f"{os.fsdecode(error.filename)}: {said}"

"""The entry point of `minitrain` and of `python -m minitrain`."""

import os
import sys


def main() -> None:
    """Import the command line and run it.

    The import takes seconds, so it is here: Ctrl-C is caught, and a process that only trains,
    which imports this module again, does without.
    """
    _open_streams()
    try:
        from minitrain.command_line.main import main as command_line
    except KeyboardInterrupt:
        print("minitrain: interrupted", file=sys.stderr)
        sys.exit(130)
    command_line()


def _open_streams() -> None:
    """Whoever starts us may have closed a stream. Its number would go to the next file opened."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


if __name__ == "__main__":
    main()

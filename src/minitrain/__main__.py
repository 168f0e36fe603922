"""The entry point of `minitrain` and of `python -m minitrain`."""

import sys


def main() -> None:
    """Import the command line and run it.

    The import takes seconds, so it is here: Ctrl-C is caught, and a process that only trains,
    which imports this module again, does without.
    """
    try:
        from minitrain import cli
    except KeyboardInterrupt:
        print("minitrain: interrupted", file=sys.stderr)
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()

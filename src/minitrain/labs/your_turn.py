"""Where *Run All* stops: a lab's diagnosis is not to run before the reader has looked for it.

Jupyter runs no further cell once one has failed. So the panel's cell fails, in a way that shows
nothing: the kernel answers that it did not succeed, and no error is printed.
"""

from typing import Any, NoReturn

from IPython.core.interactiveshell import InteractiveShell


class YourTurn(Exception):
    """Not a fault: the cells below wait until the reader runs them."""


def stop_here(shell: InteractiveShell) -> NoReturn:
    """Let the running cell be the last of those that were asked for together."""
    shell.set_custom_exc((YourTurn,), _say_nothing)
    raise YourTurn


def _say_nothing(*_: Any, **__: Any) -> None:
    """Stand in for the traceback."""

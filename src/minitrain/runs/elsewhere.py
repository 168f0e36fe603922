"""Training on other machines: what is sent there, what comes back, and who is refused.

Nothing is shared but the code. An `Order` goes out; the run comes back as the bytes of its files,
and the store that asked reads and checks them as it does its own. The machine that trains keeps its
run in a store of its own: asked again, after the asker has died say, it has it at once, and a
training that was cut short goes on from its last checkpoint.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from minitrain.common.errors import UserError
from minitrain.runs import faults
from minitrain.runs.code import training_code
from minitrain.runs.faults import Recipe
from minitrain.runs.run import packed
from minitrain.runs.store import Store

_DIGITS = 12

Tell = Callable[[int], Any]
"""Called where a run is trained, with the step that it has made. It has to be picklable."""


class Executor(Protocol):
    """What a sweep asks of an executor of whatever make: `concurrent.futures.Executor.submit`."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Have ``function(*arguments)`` called somewhere."""


@dataclass(frozen=True)
class Identity:
    """What has to be the same on two machines: the versions of the library and of PyTorch, and the
    code of every fault asked for.

    code: SHA-256 of the training code, by the name of the fault in it; "" is without one.
    """

    version: str
    torch: str
    code: Mapping[str, str]

    def difference(self, theirs: "Identity") -> str | None:
        """Why `theirs` may not train what we ask for; None if it may."""
        if theirs.version != self.version:
            return f"minitrain {theirs.version} there, {self.version} here"
        if theirs.torch != self.torch:
            return f"PyTorch {theirs.torch} there, {self.torch} here"
        for fault, ours in self.code.items():
            if (found := theirs.code.get(fault)) != ours:
                what = f"training code under fault {fault}" if fault else "training code"
                there = found[:_DIGITS] if found else "none"
                return f"{what}: {there} there, {ours[:_DIGITS]} here"
        return None


def identity(wanted: Iterable[str]) -> Identity:
    """Of this machine, for some faults; those that it does not have are left out."""
    here = {name: faults.load(name).code for name in wanted if name in faults.names()}
    # Without the build: "2.13.0+cpu" and "2.13.0+cu130" round alike on a processor.
    torch = version("torch").partition("+")[0]
    return Identity(version("minitrain"), torch, {"": training_code(), **here})


@dataclass(frozen=True)
class Order:
    """One run that is wanted, by whom."""

    recipe: Recipe
    identity: Identity

    @classmethod
    def of(cls, recipe: Recipe) -> "Order":
        """An order from here."""
        return cls(recipe, identity(_faults(recipe)))


@dataclass(frozen=True)
class Parcel:
    """A run that was trained elsewhere: its files by name, and where that was."""

    files: Mapping[str, bytes]
    sender: str


class Refused(UserError):
    """A machine that has other code, another fault or another version."""


def train(order: Order, tell: Tell | None = None) -> Parcel:
    """Train here what somebody elsewhere wants. Raises `Refused` if it would be another run."""
    if reason := order.identity.difference(identity(_faults(order.recipe))):
        raise Refused(f"worker on {socket.gethostname()}: refused: {reason}")
    run = Store().get(order.recipe, _steps(tell) if tell else None)
    return Parcel(packed(run), socket.gethostname())


def _faults(recipe: Recipe) -> tuple[str, ...]:
    return (recipe.fault,) if recipe.fault else ()


def _steps(tell: Tell) -> Callable[[Any], None]:
    return lambda training: tell(training.step)

"""`loop.start` and `loop.train`, done by the kernel.

The `Training` is the one of PyTorch, but its parameters and moments lie in the kernel's memory: who
looks at the model sees the run as it stands, and a checkpoint of either engine is one of both.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from minitrain.kernel import binding
from minitrain.kernel.binding import Memory
from minitrain.training import loop
from minitrain.training.config import Config, patched
from minitrain.training.loop import Training
from minitrain.training.metrics import kind
from minitrain.training.optim import ParameterGroup


@dataclass
class KernelTraining(Training):
    """A run that the kernel trains."""

    memory: Any = None  # a `Memory`


def start(
    config: Config, changes: Mapping[str, Any] | None = None, faults: Collection[str] = ()
) -> KernelTraining:
    """A run before its first step, initialised by the kernel. Raises `NoCompiler`.

    A fault in the code is planted as `changes` (dotted keys) of the config that the kernel is
    given, or as some of `binding.FAULTS`; the run keeps its own `config`.
    """
    given = patched(config, changes) if changes else config
    memory = Memory(given, faults=faults)
    plain = loop.start(given)
    state = {field.name: getattr(plain, field.name) for field in fields(Training)}
    state["config"] = config
    training = KernelTraining(**state, memory=memory)
    begin = 0
    for group in training.optimizer.groups:
        stretch = slice(begin, begin + len(group.values))
        _move(
            group,
            memory.values[stretch],
            memory.first_moment[stretch],
            memory.second_moment[stretch],
        )
        begin = stretch.stop
    return training


def _move(
    group: ParameterGroup, values: Tensor, first_moment: Tensor, second_moment: Tensor
) -> None:
    """Make vectors of the kernel's memory those of a group, and its parameters views of them."""
    group.values, group.first_moment, group.second_moment = values, first_moment, second_moment
    for parameter, piece in zip(group.parameters, group.pieces(values), strict=True):
        parameter.data = piece.view_as(parameter)


def train(training: Training, on_step: Callable[[Training], None] | None = None) -> Training:
    """Run to the end from wherever `training` stands; `on_step` is called after each update."""
    assert isinstance(training, KernelTraining)
    memory: Memory = training.memory
    memory.resume(training.step, training.tokens)
    if training.step == 0 and not training.records:
        _note(training, memory.record())
    while not training.finished:
        _note(training, memory.advance())
        if on_step:
            on_step(training)
    return training


def _note(training: KernelTraining, status: int) -> None:
    """Bring the `Training` up to what the kernel has done."""
    memory: Memory = training.memory
    training.step = training.optimizer.steps = memory.step
    training.tokens = memory.tokens
    training.diverged = bool(status & binding.DIVERGED)
    if status & binding.RECORDED:
        kinds = {kind(name) for name, _ in training.model.named_parameters()}
        training.records.append(memory.last_record(kinds))

"""The training loop of a large run, from one CPU core to several GPUs.

Compare it with the course's `training.loop`: schedule, decay masks, clipping and Adam are the same
code. What is new is what size asks for: bfloat16, compilation, micro-batches, several processes.
"""

import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minitrain.common.errors import UserError
from minitrain.large.config import LargeConfig
from minitrain.large.model import GPT, SummedLoss, build_model, padded
from minitrain.large.processes import Processes
from minitrain.large.shards import Tokens, Windows, order
from minitrain.training.metrics import norms
from minitrain.training.optim import Adam, clip_gradients, gradient_norm, parameter_groups
from minitrain.training.schedule import learning_rate


@dataclass(frozen=True)
class Record:
    """What was measured after `step` updates. Losses are in nats per token.

    learning_rate and gradient_norm (before clipping) are those of the last update. train_loss is
    the mean over the batches since the last record, each before its update. tokens_per_second
    counts the time of these updates alone. These four are None at step 0. val_loss: on the first
    `eval_sequences` of the validation split. weight_norms: by kind of parameter (`metrics.KINDS`).
    """

    step: int
    learning_rate: float | None
    gradient_norm: float | None
    train_loss: float | None
    val_loss: float
    weight_norms: dict[str, float]
    tokens_per_second: float | None

    def plain(self) -> dict[str, Any]:
        """The record as JSON values; a loss that is not finite is null."""
        values = asdict(self)
        return values | {"val_loss": self.val_loss if math.isfinite(self.val_loss) else None}


@dataclass
class Training:
    """A run under way: everything that the next step depends on.

    loss: the module that is called, compiled or not, in one process or several. losses: the loss of
    each step since the last record. seconds: what all updates took; record_seconds: those since the
    last record.
    """

    config: LargeConfig
    tokens: Tokens
    processes: Processes
    gpt: GPT
    loss: nn.Module
    optimizer: Adam
    windows: dict[str, Windows]
    step: int = 0
    diverged: bool = False
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    record_seconds: float = 0.0
    records: list[Record] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.diverged or self.step == self.config.steps

    @property
    def tokens_per_step(self) -> int:
        return self.config.batch_size * self.config.context

    @property
    def micro_batch_size(self) -> int:
        return micro_batch_size(self.config, self.processes.world)

    @property
    def epochs(self) -> float:
        """How often each token of the training split has been seen, on average."""
        return self.step * self.config.batch_size / len(self.windows["train"])

    def tokens_per_second(self) -> float | None:
        """The median over the records: the first one's time includes the compilation."""
        rates = [r.tokens_per_second for r in self.records if r.tokens_per_second]
        return statistics.median(rates) if rates else None


def start(config: LargeConfig, tokens: Tokens, processes: Processes | None = None) -> Training:
    """A run before its first step. Raises `UserError` if config, tokens and processes do not fit.

    The initial parameters are drawn on the CPU, so they are the same on any device.
    """
    processes = processes or Processes()
    if config.batch_size < processes.world:
        raise UserError(
            f"batch_size={config.batch_size}: expected {processes.world} or more, one sequence for"
            " each process"
        )
    windows = {
        "train": tokens.windows("train", config.context, config.train_tokens),
        "val": tokens.windows("val", config.context),
        "test": tokens.windows("test", config.context),
    }
    gpt = build_model(config.model, config.seed, padded(tokens.vocabulary), config.context)
    gpt = gpt.to(processes.device)
    optimizer = Adam(
        parameter_groups(gpt, config.optimizer.weight_decay, config.optimizer.decay_mask),
        betas=config.optimizer.betas,
        eps=config.optimizer.eps,
        decay="decoupled" if config.optimizer.name == "adamw" else "l2",
    )
    compiled_size = micro_batch_size(config, processes.world) if config.compile else None
    loss: nn.Module = SummedLoss(gpt, compiled_size)
    if processes.world > 1:
        from torch.nn.parallel import DistributedDataParallel

        loss = DistributedDataParallel(loss)
    return Training(config, tokens, processes, gpt, loss, optimizer, windows)


def micro_batch_size(config: LargeConfig, world: int) -> int:
    """Sequences of a micro-batch: as few micro-batches as the config allows, of one size.

    48 sequences of a process, at most 32 at once, are 24 and 24: 32 and 16 would be two sizes, and
    only one is compiled.
    """
    share = math.ceil(config.batch_size / world)
    return math.ceil(share / math.ceil(share / config.micro_batch_size))


def train(training: Training, on_step: Callable[[Training], None] | None = None) -> Training:
    """Run to the end from wherever `training` stands; `on_step` is called after each update."""
    if training.step == 0 and not training.records:
        _record(training)
    while not training.finished:
        advance(training)
        if on_step:
            on_step(training)
    return training


def advance(training: Training) -> None:
    """One update, then a record when one is due.

    A loss or gradient that is not finite ends the run before the update.
    """
    config, optimizer, groups = training.config, training.optimizer, training.optimizer.groups
    began = time.perf_counter()
    rate = learning_rate(training.step, config.course())

    optimizer.zero_grad()
    loss = training.processes.sum(accumulate(training))
    norm = gradient_norm(groups)
    if not (math.isfinite(float(loss)) and math.isfinite(norm)):
        training.diverged = True
        return
    if config.optimizer.gradient_clip:
        clip_gradients(groups, norm, config.optimizer.gradient_clip)
    optimizer.step(rate)

    training.step += 1
    training.losses.append(float(loss))
    seconds = time.perf_counter() - began
    training.seconds += seconds
    training.record_seconds += seconds
    if training.step % config.eval_interval == 0 or training.step == config.steps:
        _record(training, rate, norm)


def accumulate(training: Training) -> Tensor:
    """Add the gradient of the step's mean loss to what is there; this process's share of the loss.

    Each micro-batch counts by its tokens, as part of the whole batch's. So the gradient does not
    depend on how the batch is cut into micro-batches, or divided among processes.
    """
    config, processes, windows = training.config, training.processes, training.windows["train"]
    rows = order(len(windows), config.seed, training.step, config.batch_size)
    mine = rows[processes.rank :: processes.world]
    total = torch.zeros((), device=processes.device)
    size = training.micro_batch_size
    for begin in range(0, len(mine), size):
        inputs, targets = windows.batch(mine[begin : begin + size], processes.device)
        last = begin + size >= len(mine)
        with _exchange(training.loss, last):
            with _autocast(training):
                loss = training.loss(inputs, targets)
            share = loss / training.tokens_per_step
            # DistributedDataParallel takes the mean over processes, where a sum is wanted.
            (share * processes.world).backward()
        total += share.detach()
    return total


def _exchange(loss: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Processes add up their gradients with the last micro-batch of a step, not with each."""
    no_sync: Callable[[], AbstractContextManager[None]] | None = getattr(loss, "no_sync", None)
    return nullcontext() if last or no_sync is None else no_sync()


def _autocast(training: Training) -> AbstractContextManager[None]:
    """Matrix products in bfloat16, everything else as it was, if the config says so."""
    enabled = training.config.precision == "bfloat16"
    return torch.autocast(training.processes.device.type, torch.bfloat16, enabled=enabled)


@torch.no_grad()
def evaluate(training: Training, split: str, sequences: int | None = None) -> float:
    """Mean cross-entropy in nats per token on the first `sequences` windows of a split, or all."""
    windows, processes = training.windows[split], training.processes
    count = len(windows) if sequences is None else min(sequences, len(windows))
    mine = np.arange(count)[processes.rank :: processes.world]
    # The module itself, not what exchanges gradients: processes may have unequal shares.
    loss = getattr(training.loss, "module", training.loss)
    total = torch.zeros((), device=processes.device, dtype=torch.float64)
    for begin in range(0, len(mine), training.micro_batch_size):
        some = mine[begin : begin + training.micro_batch_size]
        with _autocast(training):
            total += loss(*windows.batch(some, processes.device))
    return float(processes.sum(total)) / (count * training.config.context)


def _record(training: Training, rate: float | None = None, norm: float | None = None) -> None:
    losses, seconds = training.losses, training.record_seconds
    record = Record(
        step=training.step,
        learning_rate=rate,
        gradient_norm=norm,
        train_loss=math.fsum(losses) / len(losses) if losses else None,
        val_loss=evaluate(training, "val", training.config.eval_sequences),
        weight_norms=norms(dict(training.gpt.named_parameters())),
        tokens_per_second=len(losses) * training.tokens_per_step / seconds if losses else None,
    )
    training.records.append(record)
    training.losses, training.record_seconds = [], 0.0
    if not math.isfinite(record.val_loss):
        training.diverged = True

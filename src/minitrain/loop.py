"""The training loop: the same config gives the same parameters, to the last bit, on any machine."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from minitrain import corpus
from minitrain.config import Config
from minitrain.grid import fingerprint, round_to_grid
from minitrain.metrics import evaluate, weight_norms
from minitrain.model import GPT, build_model, language_model_loss
from minitrain.optim import Adam, clip_gradients, gradient_norm, parameter_groups
from minitrain.precision import autocast
from minitrain.schedule import learning_rate


@dataclass(frozen=True)
class Record:
    """What was measured after `step` updates, and the fingerprint of the parameters measured.

    learning_rate and gradient_norm (before clipping) are those of the last update; None at step 0.
    accuracy: by split ("train", "val"), then by slice.
    """

    step: int
    learning_rate: float | None
    gradient_norm: float | None
    train_loss: float
    val_loss: float
    weight_norms: dict[str, float]
    accuracy: dict[str, dict[str, float]]
    fingerprint: str

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


@dataclass
class Training:
    """A run under way: everything that the next step depends on."""

    config: Config
    model: GPT
    optimizer: Adam
    batches: Tensor
    step: int = 0
    tokens: int = 0
    diverged: bool = False
    records: list[Record] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.diverged or self.step == self.config.steps

    def fingerprint(self) -> str:
        return fingerprint(dict(self.model.named_parameters()))


def start(config: Config) -> Training:
    """A run before its first step: initialised, rounded to the grid, batches drawn."""
    model = build_model(config.model, config.seed, getattr(torch, config.arithmetic.dtype))
    optimizer = Adam(
        parameter_groups(model, config.optimizer.weight_decay, config.optimizer.decay_mask),
        betas=config.optimizer.betas,
        eps=config.optimizer.eps,
        decay="decoupled" if config.optimizer.name == "adamw" else "l2",
    )
    training = Training(config, model, optimizer, batch_indices(config))
    _snap(training)
    return training


def batch_indices(config: Config) -> Tensor:
    """Which training items each step sees: (steps, batch_size) int64, drawn with replacement.

    Drawn at once, so that step k sees the same items whether or not the run was interrupted; and
    from a stream of its own, not that of the initial weights.
    """
    generator = torch.Generator().manual_seed(_derived_seed(config.seed, "batches"))
    shape = (config.steps, config.batch_size)
    return torch.randint(corpus.N_TRAIN, shape, generator=generator)


def _derived_seed(seed: int, purpose: str) -> int:
    """A seed of 32 bits for one purpose: PyTorch's CPU generator looks at no more of it."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed}".encode()).digest()[:4], "little")


def train(training: Training, on_step: Callable[[Training], None] | None = None) -> Training:
    """Run to the end from wherever `training` stands; `on_step` is called after each update."""
    if training.step == 0 and not training.records:
        _record(training, None, None)
    while not training.finished:
        advance(training)
        if on_step:
            on_step(training)
    return training


def advance(training: Training) -> None:
    """One update: batch, loss, gradients, Adam, grid; then a record when one is due.

    A loss or gradient that is not finite ends the run before the update: that is a result too.
    """
    config, optimizer = training.config, training.optimizer
    batch = corpus.encoded("train")[training.batches[training.step]]

    optimizer.zero_grad()
    with autocast(config.arithmetic.autocast):
        logits = training.model(batch.inputs, _dropout_generator(training))
        loss = language_model_loss(logits, batch.targets)
    _backward(training, loss)
    norm = gradient_norm(optimizer.groups)
    if not (math.isfinite(loss.item()) and math.isfinite(norm)):
        training.diverged = True
        return
    if config.optimizer.gradient_clip:
        clip_gradients(optimizer.groups, norm, config.optimizer.gradient_clip)

    rate = learning_rate(training.step, config)
    optimizer.step(rate)
    _snap(training)

    training.step += 1
    training.tokens += int((batch.targets != corpus.PAD).sum())
    if training.step % config.eval_interval == 0 or training.step == config.steps:
        _record(training, rate, norm)


def _backward(training: Training, loss: Tensor) -> None:
    scale = training.config.arithmetic.loss_scale
    (loss * scale).backward()
    if scale != 1:
        for group in training.optimizer.groups:
            group.gradients.div_(scale)


def _dropout_generator(training: Training) -> torch.Generator | None:
    """Where this step's dropout draws from: the same stream whether or not the run was resumed."""
    config = training.config
    if config.model.dropout == 0:
        return None
    return torch.Generator().manual_seed(_derived_seed(config.seed, f"dropout {training.step}"))


def _snap(training: Training) -> None:
    bits = training.config.arithmetic.grid_bits
    if bits is not None:
        round_to_grid((group.values for group in training.optimizer.groups), bits)


def _record(training: Training, rate: float | None, norm: float | None) -> None:
    splits = {name: evaluate(training.model, name) for name in ("train", "val")}
    training.records.append(
        Record(
            step=training.step,
            learning_rate=rate,
            gradient_norm=norm,
            train_loss=splits["train"].loss,
            val_loss=splits["val"].loss,
            weight_norms=weight_norms(training.model),
            accuracy={name: evaluation.accuracy for name, evaluation in splits.items()},
            fingerprint=training.fingerprint(),
        )
    )

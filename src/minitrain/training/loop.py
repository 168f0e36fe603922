"""The training loop: the same config gives the same parameters, to the last bit, on any machine."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from minitrain.training import corpus
from minitrain.training.config import Config
from minitrain.training.grid import fingerprint, round_to_grid
from minitrain.training.metrics import evaluate, norms, root_mean_squares
from minitrain.training.model import GPT, build_model, language_model_loss
from minitrain.training.optim import Adam, clip_gradients, gradient_norm, parameter_groups
from minitrain.training.precision import autocast
from minitrain.training.schedule import learning_rate


@dataclass(frozen=True)
class Record:
    """What was measured after `step` updates, and the fingerprint of the parameters measured.

    learning_rate and gradient_norm (before clipping) are those of the last update; None at step 0.
    parts: the losses by split ("train", "val"), then by part ("prompt", "form"; see `Evaluation`).
    accuracy: by split, then by slice.
    By kind of parameter: weight_norms; update_norms, how far the last update moved them, decay and
    grid included; gradient_scales, the root of the mean second moment (bias-corrected), which is
    what Adam took the size of a gradient to be. The last two are empty at step 0.
    """

    step: int
    learning_rate: float | None
    gradient_norm: float | None
    train_loss: float
    val_loss: float
    parts: dict[str, dict[str, float]]
    weight_norms: dict[str, float]
    update_norms: dict[str, float]
    gradient_scales: dict[str, float]
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


def start(config: Config, device: str = "cpu") -> Training:
    """A run before its first step: initialised, rounded to the grid, batches drawn.

    device: where the arithmetic is done, "cpu" or "cuda". Every random number is drawn on the CPU,
    so the run is the same.
    """
    model = build_model(config.model, config.seed, getattr(torch, config.arithmetic.dtype))
    model = model.to(device)
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
        _record(training)
    while not training.finished:
        advance(training)
        if on_step:
            on_step(training)
    return training


def advance(training: Training) -> None:
    """One update: batch, loss, gradients, Adam, grid; then a record when one is due.

    A loss or gradient that is not finite ends the run before the update: that is a result too. So
    does a loss that is found not to be finite when it is recorded, after the update.
    """
    config, optimizer = training.config, training.optimizer
    batch = corpus.encoded("train")[training.batches[training.step]].to(training.model.device)

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

    training.step += 1
    due = training.step % config.eval_interval == 0 or training.step == config.steps
    before = _copies(training) if due else {}

    rate = learning_rate(training.step - 1, config)
    optimizer.step(rate)
    _snap(training)

    training.tokens += int((batch.targets != corpus.PAD).sum())
    if due:
        _record(training, rate, norm, before)


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


def _copies(training: Training) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def _record(
    training: Training,
    rate: float | None = None,
    norm: float | None = None,
    before: Mapping[str, Tensor] | None = None,
) -> None:
    """Measure and keep; `before` is the parameters before the last update, if there was one."""
    splits = {name: evaluate(training.model, name) for name in ("train", "val")}
    after = dict(training.model.named_parameters())
    record = Record(
        step=training.step,
        learning_rate=rate,
        gradient_norm=norm,
        train_loss=splits["train"].loss,
        val_loss=splits["val"].loss,
        parts={name: evaluation.parts for name, evaluation in splits.items()},
        weight_norms=norms(after),
        update_norms=norms({name: after[name].detach() - p for name, p in (before or {}).items()}),
        gradient_scales=root_mean_squares(_gradient_scales(training)),
        accuracy={name: evaluation.accuracy for name, evaluation in splits.items()},
        fingerprint=training.fingerprint(),
    )
    training.records.append(record)
    if not (math.isfinite(record.train_loss) and math.isfinite(record.val_loss)):
        training.diverged = True


def _gradient_scales(training: Training) -> dict[str, Tensor]:
    """The root of each parameter's second moment, as Adam divides by it; nothing before step 1."""
    optimizer = training.optimizer
    if optimizer.steps == 0:
        return {}
    correction = 1 - optimizer.betas[1] ** optimizer.steps
    names = {id(p): name for name, p in training.model.named_parameters()}
    return {
        names[id(p)]: (v / correction).sqrt()
        for group in optimizer.groups
        for p, v in zip(group.parameters, group.pieces(group.second_moment), strict=True)
    }

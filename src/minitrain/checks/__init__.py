"""Ten checks for anybody's training code; each is short enough to copy.

Each returns a `Verdict`, true if it passed: ``assert checks.causality(logits_of, tokens)``. What
they cannot judge they refuse with `CannotJudge`. They need PyTorch and nothing else.
"""

from minitrain.checks.data import overlap, repeats
from minitrain.checks.forward import causality, initial_loss, padding, repeatable
from minitrain.checks.gradients import pieces, split_gradient
from minitrain.checks.optimizers import (
    learning_rate_trace,
    learning_rates,
    parameter_groups,
    updated_parameters,
    vectors,
    zero_gradient,
)
from minitrain.checks.resuming import resume
from minitrain.checks.verdict import CannotJudge, Verdict

__all__ = [
    "CannotJudge",
    "Verdict",
    "causality",
    "initial_loss",
    "learning_rate_trace",
    "learning_rates",
    "overlap",
    "padding",
    "parameter_groups",
    "pieces",
    "repeatable",
    "repeats",
    "resume",
    "split_gradient",
    "updated_parameters",
    "vectors",
    "zero_gradient",
]

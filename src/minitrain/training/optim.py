"""Adam with weight decay, decoupled or as an L2 penalty: they differ in one line each."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import nn

Decay = Literal["decoupled", "l2"]
Mask = Literal["matrices", "no_embedding", "all"]


class ParameterGroup:
    """Parameters that share a weight decay, packed into one flat vector.

    Each parameter becomes a view of `values`, and its `.grad` a view of `gradients`: an update is
    then a handful of vector operations instead of a handful for every tensor.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], weight_decay: float):
        self.parameters = tuple(parameters)
        self.weight_decay = weight_decay
        self.values = torch.cat([p.detach().flatten() for p in parameters])
        self.gradients = torch.zeros_like(self.values)
        self.first_moment = torch.zeros_like(self.values)
        self.second_moment = torch.zeros_like(self.values)
        for p, values, gradients in zip(
            parameters, self.pieces(self.values), self.pieces(self.gradients), strict=True
        ):
            p.data = values.view_as(p)
            p.grad = gradients.view_as(p)

    def pieces(self, vector: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The stretch of a flat `vector`, say a moment, that belongs to each parameter."""
        return vector.split([p.numel() for p in self.parameters])


class Adam:
    r"""Adam (Kingma & Ba, 2015, algorithm 1) with weight decay.

    ``decay="l2"`` adds :math:`\lambda\theta` to the gradient, before the moments see it;
    ``decay="decoupled"`` shrinks the parameter by :math:`1 - \eta\lambda` and leaves the gradient
    alone (Loshchilov & Hutter, 2019, algorithm 2).
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        decay: Decay = "decoupled",
    ):
        self.groups = groups
        self.betas = betas
        self.eps = eps
        self.decay = decay
        self.steps = 0

    def step(self, learning_rate: float) -> None:
        """One update of every parameter from its gradient."""
        self.steps += 1
        beta1, beta2 = self.betas
        correction1, correction2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for group in self.groups:
            theta, g = group.values, group.gradients
            m, v = group.first_moment, group.second_moment
            if self.decay == "l2":
                g = g + group.weight_decay * theta
            else:
                theta.mul_(1 - learning_rate * group.weight_decay)
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            denominator = v.sqrt().mul_(correction2**-0.5).add_(self.eps)
            theta.addcdiv_(m, denominator, value=-learning_rate / correction1)

    def zero_grad(self) -> None:
        """Set every gradient to zero; `backward` adds to what is there."""
        for group in self.groups:
            group.gradients.zero_()


def parameter_groups(
    model: nn.Module, weight_decay: float, mask: Mask = "matrices"
) -> list[ParameterGroup]:
    """The parameters that decay, then those that do not, if there are any.

    "matrices" decays all but biases and norm scales (1-D); "no_embedding" spares the embeddings
    too; "all" spares none.
    """
    named = list(model.named_parameters())
    decayed = [p for name, p in named if decays(name, p, mask)]
    spared = [p for name, p in named if not decays(name, p, mask)]
    groups = [ParameterGroup(decayed, weight_decay)]
    return [*groups, ParameterGroup(spared, 0.0)] if spared else groups


def decays(name: str, parameter: nn.Parameter, mask: Mask) -> bool:
    """Whether weight decay applies to a parameter."""
    if mask == "all":
        return True
    return parameter.ndim >= 2 and not (mask == "no_embedding" and "embedding" in name)


def gradient_norm(groups: Iterable[ParameterGroup]) -> float:
    """Euclidean norm of all gradients taken as one vector."""
    norms = [torch.linalg.vector_norm(group.gradients) for group in groups]
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def clip_gradients(groups: Iterable[ParameterGroup], norm: float, largest: float) -> None:
    """Scale all gradients in place so that their global `norm` is at most `largest`.

    The small constant is the one of `torch.nn.utils.clip_grad_norm_`.
    """
    factor = min(1.0, largest / (norm + 1e-6))
    for group in groups:
        group.gradients.mul_(factor)

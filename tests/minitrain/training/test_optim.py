"""Our Adam, fed the same gradients, is PyTorch's."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from minitrain.training.config import Config, ModelConfig, patched
from minitrain.training.model import build_model
from minitrain.training.optim import (
    Adam,
    Decay,
    Mask,
    ParameterGroup,
    clip_gradients,
    decays,
    gradient_norm,
    parameter_groups,
)
from minitrain.training.schedule import learning_rate

STEPS = 200
TOLERANCE = 1e-13
SHAPES = ((5, 3), (7,), (2, 3, 4), (1,))
REFERENCE = {"decoupled": torch.optim.AdamW, "l2": torch.optim.Adam}

kinds_of_decay = st.sampled_from(["decoupled", "l2"])
learning_rates = st.floats(1e-6, 1e-1)
betas = st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999))
epsilons = st.floats(1e-12, 1e-2)
weight_decays = st.floats(0, 1)


@dataclass
class Pair:
    """The same parameters twice: ours, and PyTorch's with its optimizer."""

    ours: list[nn.Parameter]
    theirs: list[nn.Parameter]
    adam: Adam
    reference: torch.optim.Optimizer

    @torch.no_grad()
    def difference(self) -> float:
        """The largest difference between two parameters, relative to the largest parameter."""
        worst, largest = 0.0, 0.0
        for a, b in zip(self.ours, self.theirs, strict=True):
            worst = max(worst, float((a - b).abs().max()))
            largest = max(largest, float(b.abs().max()))
        return worst / largest


def pair(
    decay: Decay,
    weight_decays: list[float],
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
) -> Pair:
    """One group for each weight decay; the parameters are dealt out between them in turn."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
    ours = [nn.Parameter(v.clone()) for v in values]
    theirs = [nn.Parameter(v.clone()) for v in values]
    n = len(weight_decays)
    adam = Adam(
        [ParameterGroup(ours[i::n], weight_decay) for i, weight_decay in enumerate(weight_decays)],
        betas=betas,
        eps=eps,
        decay=decay,
    )
    reference = REFERENCE[decay](
        [
            {"params": theirs[i::n], "weight_decay": weight_decay}
            for i, weight_decay in enumerate(weight_decays)
        ],
        betas=betas,
        eps=eps,
    )
    return Pair(ours, theirs, adam, reference)


def run(pair: Pair, rate: Callable[[int], float], clip: float | None = None) -> None:
    """Feed both the same 200 gradients, whose sizes vary over four orders of magnitude."""
    generator = torch.Generator().manual_seed(1)

    def draw(shape: torch.Size) -> Tensor:
        size = 10.0 ** (4 * torch.rand((), generator=generator, dtype=torch.float64) - 3)
        return size * torch.randn(shape, generator=generator, dtype=torch.float64)

    for step in range(STEPS):
        for a, b in zip(pair.ours, pair.theirs, strict=True):
            assert a.grad is not None
            b.grad = draw(b.shape)
            a.grad.copy_(b.grad)
        if clip is not None:
            expected = torch.nn.utils.clip_grad_norm_(pair.theirs, clip)
            norm = gradient_norm(pair.adam.groups)
            assert norm == pytest.approx(float(expected), rel=TOLERANCE)
            clip_gradients(pair.adam.groups, norm, clip)
        for group in pair.reference.param_groups:
            group["lr"] = rate(step)
        pair.reference.step()
        pair.adam.step(rate(step))
        pair.reference.zero_grad()
        pair.adam.zero_grad()


@settings(max_examples=25)
@given(
    decay=kinds_of_decay, rate=learning_rates, betas=betas, eps=epsilons, weight_decay=weight_decays
)
def test_adam_equals_pytorch_over_200_steps(
    decay: Decay, rate: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> None:
    both = pair(decay, [weight_decay], betas, eps)
    run(both, lambda step: rate)
    assert both.difference() <= TOLERANCE


@settings(max_examples=15)
@given(
    decay=kinds_of_decay,
    rate=learning_rates,
    group_decays=st.lists(weight_decays, min_size=2, max_size=len(SHAPES)),
)
def test_every_group_has_its_own_weight_decay_as_in_pytorch(
    decay: Decay, rate: float, group_decays: list[float]
) -> None:
    both = pair(decay, group_decays)
    run(both, lambda step: rate)
    assert both.difference() <= TOLERANCE


@settings(max_examples=15)
@given(
    decay=kinds_of_decay,
    peak=learning_rates,
    warmup=st.integers(0, STEPS - 1),
    final=st.floats(0, 1),
    clip=st.one_of(st.none(), st.floats(1e-3, 10)),
)
def test_with_a_schedule_and_clipping_adam_equals_pytorch(
    decay: Decay, peak: float, warmup: int, final: float, clip: float | None
) -> None:
    config = patched(
        Config(),
        {
            "steps": STEPS,
            "optimizer.learning_rate": peak,
            "schedule": {"warmup_steps": warmup, "final_fraction": final},
        },
    )
    both = pair(decay, [0.1, 0.0])
    run(both, lambda step: learning_rate(step, config), clip)
    assert both.difference() <= TOLERANCE


def test_the_two_decays_are_not_the_same() -> None:
    decoupled, l2 = pair("decoupled", [0.1]), pair("l2", [0.1])
    run(decoupled, lambda step: 1e-2)
    run(l2, lambda step: 1e-2)
    decoupled.theirs = l2.ours
    assert decoupled.difference() > 1e-3


def test_decoupled_decay_of_a_parameter_without_gradient_is_a_product() -> None:
    both = pair("decoupled", [0.5])
    start = [p.detach().clone() for p in both.ours]
    for _ in range(10):
        both.adam.step(0.1)
    for p, before in zip(both.ours, start, strict=True):
        torch.testing.assert_close(p.detach(), before * (1 - 0.1 * 0.5) ** 10)


def test_a_gradient_within_the_limit_is_not_clipped() -> None:
    both = pair("decoupled", [0.0])
    for p in both.ours:
        assert p.grad is not None
        p.grad.fill_(0.25)
    norm = gradient_norm(both.adam.groups)
    clip_gradients(both.adam.groups, norm, largest=2 * norm)
    assert gradient_norm(both.adam.groups) == norm


def test_packing_keeps_values_shapes_and_gradients_of_every_parameter() -> None:
    model = build_model(ModelConfig(), seed=3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    groups = parameter_groups(model, 0.1)
    assert sum(g.values.numel() for g in groups) == sum(p.numel() for p in before.values())

    model(torch.arange(6).view(2, 3)).sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is not None
        storage = {g.gradients.untyped_storage().data_ptr() for g in groups}
        assert parameter.grad.untyped_storage().data_ptr() in storage


def test_matrices_are_decayed_and_vectors_are_not() -> None:
    model = build_model(ModelConfig(), seed=0)
    decayed, spared = parameter_groups(model, 0.3)
    assert (decayed.weight_decay, spared.weight_decay) == (0.3, 0.0)
    assert decayed.values.numel() == sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert spared.values.numel() == sum(p.numel() for p in model.parameters() if p.ndim == 1)


VECTORS = ("bias", "ln_1.weight", "ln_2.weight", "ln_f.weight")
SPARED: dict[Mask, Callable[[str], bool]] = {
    "matrices": lambda name: name.endswith(VECTORS),
    "no_embedding": lambda name: name.endswith(VECTORS) or "embedding" in name,
    "all": lambda name: False,
}


@pytest.mark.parametrize("mask", SPARED)
@pytest.mark.parametrize("tied", [True, False])
def test_the_mask_decides_by_name_what_decays(mask: Mask, tied: bool) -> None:
    """A step without gradients shrinks what decays and leaves the rest as it is."""
    model = build_model(ModelConfig(tied_embedding=tied), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    adam = Adam(parameter_groups(model, 0.5, mask))
    adam.step(0.1)
    spared = {name for name, p in model.named_parameters() if torch.equal(p, torch.ones_like(p))}
    assert spared == {name for name, _ in model.named_parameters() if SPARED[mask](name)}
    for name, parameter in model.named_parameters():
        if name not in spared:
            assert torch.equal(parameter, torch.full_like(parameter, 1 - 0.1 * 0.5)), name


def test_with_all_decayed_there_is_one_group() -> None:
    model = build_model(ModelConfig(), seed=0)
    (group,) = parameter_groups(model, 0.3, "all")
    assert group.weight_decay == 0.3
    assert group.values.numel() == sum(p.numel() for p in model.parameters())


def test_an_untied_output_layer_is_no_embedding() -> None:
    model = build_model(ModelConfig(tied_embedding=False), seed=0)
    assert decays("head.weight", model.head.weight, "no_embedding")
    assert not decays("token_embedding.weight", model.token_embedding.weight, "no_embedding")

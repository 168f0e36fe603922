"""The points are as described, networks do not see each other, and the optimizers are PyTorch's."""

import math

import pytest
import torch

from minitrain.pages import toy
from minitrain.training.optim import Adam, ParameterGroup

SEEDS = (0, 1, 2)


def trained(
    optimizer: str = "decoupled",
    *,
    width: int = 4,
    weight_decay: float = 0.03,
    momentum: float = 0.0,
    seeds: tuple[int, ...] = SEEDS,
    grid_bits: int | None = 20,
    steps: int = 60,
) -> toy.Networks:
    """Networks after a short training; `optimizer` is a way to decay, or "torch"."""
    networks = toy.Networks(width, seeds)
    groups = networks.groups(weight_decay)
    descent: toy.Optimizer = (
        _PyTorch(groups, momentum)
        if optimizer == "torch"
        else toy.GradientDescent(groups, optimizer, momentum)  # type: ignore[arg-type]
    )
    return toy.fit(networks, toy.points(40, seeds), descent, 0.3, steps, grid_bits)


class _PyTorch:
    """`torch.optim.SGD` on the same groups."""

    def __init__(self, groups: list[ParameterGroup], momentum: float):
        self.groups = groups
        options = []
        for group in groups:
            parameter = torch.nn.Parameter(group.values)
            parameter.grad = group.gradients
            options.append({"params": [parameter], "weight_decay": group.weight_decay})
        self.sgd = torch.optim.SGD(options, lr=1.0, momentum=momentum)

    def step(self, learning_rate: float) -> None:
        for options in self.sgd.param_groups:
            options["lr"] = learning_rate
        self.sgd.step()


def test_points_lie_in_the_square_and_nine_in_ten_on_their_side_of_the_curve() -> None:
    data = toy.points(20_000, [5])
    x, labels = data.inputs[0], data.labels[0]
    assert x.abs().max() <= toy.SIDE
    above = x[:, 1] > toy.curve(x[:, 0])
    assert (above == (labels > 0)).double().mean().item() == pytest.approx(0.9, abs=0.01)


def test_points_depend_on_nothing_but_their_seed_and_purpose() -> None:
    torch.manual_seed(1)
    alone = toy.points(10, [1])
    torch.manual_seed(2)
    among = toy.points(10, [0, 1])
    assert torch.equal(alone.inputs[0], among.inputs[1])
    assert torch.equal(alone.labels[0], among.labels[1])
    assert not torch.equal(alone.inputs, toy.points(10, [1], "val").inputs)


@pytest.mark.parametrize("width", [0, 4])
def test_a_network_trained_among_others_is_the_one_trained_alone(width: int) -> None:
    together, alone = trained(width=width), trained(width=width, seeds=(1,))
    for a, b in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a[1], b[0])


@pytest.mark.parametrize("width", [0, 4])
def test_a_network_has_the_parameters_that_it_should(width: int) -> None:
    networks = toy.Networks(width, [0])
    expected = 4 * width + 1 if width else 3
    assert sum(p.numel() for p in networks.parameters()) == expected
    assert networks(torch.zeros(1, 7, 2, dtype=torch.float64)).shape == (1, 7)


def test_losses_and_accuracies_are_those_of_the_definition() -> None:
    data, networks = toy.points(30, [3]), toy.Networks(4, [3])
    logits = networks(data.inputs)[0].tolist()
    labels = data.labels[0].tolist()
    by_hand = [math.log1p(math.exp(-z if y else z)) for z, y in zip(logits, labels, strict=True)]
    assert toy.losses(networks, data).item() == pytest.approx(sum(by_hand) / 30, rel=1e-12)
    right = [(z > 0) == (y == 1) for z, y in zip(logits, labels, strict=True)]
    assert toy.accuracies(networks, data).item() == sum(right) / 30


def test_training_lowers_the_loss() -> None:
    data = toy.points(40, SEEDS)
    before, after = toy.Networks(4, SEEDS), trained(weight_decay=0.0)
    assert (toy.losses(after, data) < toy.losses(before, data)).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_l2_descent_is_the_one_of_pytorch(momentum: float) -> None:
    ours = trained("l2", momentum=momentum)
    assert ours.fingerprint() == trained("torch", momentum=momentum).fingerprint()


def test_without_momentum_decay_and_l2_are_one_on_the_grid_and_part_off_it() -> None:
    assert trained("decoupled").fingerprint() == trained("l2").fingerprint()
    off = [trained(decay, grid_bits=None).fingerprint() for decay in ("decoupled", "l2")]
    assert off[0] != off[1]


def test_with_momentum_decay_and_l2_are_two() -> None:
    runs = [trained(decay, momentum=0.9).fingerprint() for decay in ("decoupled", "l2")]
    assert runs[0] != runs[1]


def test_a_penalty_in_the_loss_is_l2_in_the_optimizer() -> None:
    networks = toy.Networks(4, SEEDS)
    toy.fit(
        networks,
        toy.points(40, SEEDS),
        toy.GradientDescent(networks.groups(0.0)),
        0.3,
        60,
        penalty=lambda n: 0.03 / 2 * sum(w.square().sum() for w in n.weights),
    )
    assert networks.fingerprint() == trained("l2").fingerprint()


def test_biases_decay_only_if_asked_to() -> None:
    decays = [group.weight_decay for group in toy.Networks(2, [0]).groups(0.5)]
    assert decays == [0.5, 0.0]
    decays = [group.weight_decay for group in toy.Networks(2, [0]).groups(0.5, biases=True)]
    assert decays == [0.5, 0.5]


def test_adam_of_the_course_fits_too() -> None:
    networks = toy.Networks(4, SEEDS)
    data = toy.points(40, SEEDS)
    before = toy.losses(networks, data).detach()
    toy.fit(networks, data, Adam(networks.groups(0.0)), 0.01, 60)
    assert (toy.losses(networks, data) < before).all()

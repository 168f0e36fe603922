"""Simulated mixed precision rounds as the formats do, where autocast does, and nowhere else."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from minitrain.training import corpus, loop
from minitrain.training.config import Config, ModelConfig, patched
from minitrain.training.model import Attention, build_model, language_model_loss
from minitrain.training.precision import autocast, round_to

FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
formats = st.sampled_from(list(FORMATS))
seeds = st.integers(0, 2**32 - 1)
numbers = st.one_of(
    st.floats(width=32, allow_nan=False),
    st.floats(-1, 1, width=32),
    st.floats(-(2.0**-10), 2.0**-10, width=32),
)


@cache
def representable(name: str) -> Tensor:
    """Every finite number of a format of 16 bits that is not negative, in order of its bits."""
    patterns = torch.arange(2**15, dtype=torch.int32).to(torch.int16)
    values = patterns.view(FORMATS[name]).double()
    return values[values.isfinite()]


def nearest(x: float, name: str) -> float:
    """The nearest number of the format; of two as near, the one whose last bit is 0."""
    values = representable(name)
    above = int(torch.searchsorted(values, abs(x)))
    if above == len(values):
        # One more step of the last spacing would be the next number, if the format had one.
        half_step = float(values[-1] - values[-2]) / 2
        size = float(values[-1]) if abs(x) < float(values[-1]) + half_step else float("inf")
    else:
        below = max(above - 1, 0)
        down, up = abs(x) - float(values[below]), float(values[above]) - abs(x)
        even = below if below % 2 == 0 else above
        size = float(values[below if down < up else above if up < down else even])
    return size if x >= 0 else -size


@settings(max_examples=300)
@given(name=formats, x=numbers)
def test_rounding_gives_the_nearest_number_of_the_format(name: str, x: float) -> None:
    rounded = round_to(torch.tensor([x], dtype=torch.float64), FORMATS[name])
    assert rounded.dtype == torch.float64
    assert rounded.item() == nearest(x, name)


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_of_the_format_and_their_midpoints(name: str) -> None:
    """All of them: the numbers stay, and a midpoint goes to the even neighbour."""
    values = representable(name)
    assert torch.equal(round_to(values, FORMATS[name]), values)
    middles = (values[:-1] + values[1:]) / 2
    even = torch.where(torch.arange(len(middles)) % 2 == 0, values[:-1], values[1:])
    assert torch.equal(round_to(middles, FORMATS[name]), even)


@given(name=formats, x=st.floats(allow_nan=False), dtype=st.sampled_from(["float64", "float32"]))
def test_rounding_is_pytorchs_cast_and_keeps_the_type(name: str, x: float, dtype: str) -> None:
    tensor = torch.tensor([x], dtype=getattr(torch, dtype))
    rounded = round_to(tensor, FORMATS[name])
    assert rounded.dtype == tensor.dtype
    assert torch.equal(rounded, tensor.to(FORMATS[name]).to(tensor.dtype))


def test_too_small_is_zero_and_too_large_infinite() -> None:
    tiny, huge = torch.tensor([2.0**-26, -(2.0**-26)]), torch.tensor([65520.0, -65520.0])
    assert round_to(tiny, torch.float16).tolist() == [0.0, 0.0]
    assert round_to(huge, torch.float16).tolist() == [float("inf"), -float("inf")]
    assert round_to(tiny, torch.bfloat16).tolist() == tiny.tolist()
    assert round_to(huge, torch.bfloat16).isfinite().all()


def tensors(seed: int, *shapes: tuple[int, ...]) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for shape in shapes:
        yield torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@settings(max_examples=25)
@given(name=formats, seed=seeds, bias=st.booleans())
def test_a_linear_layer_rounds_what_it_takes_and_gives_forwards_and_backwards(
    name: str, seed: int, bias: bool
) -> None:
    x, w, b, g = tensors(seed, (5, 7), (3, 7), (3,), (5, 3))
    with autocast(name):
        y = F.linear(x, w, b) if bias else F.linear(x, w)
    (y * g).sum().backward()

    with torch.no_grad():
        x_, w_, b_, g_ = (round_to(tensor, FORMATS[name]) for tensor in (x, w, b, g))
        product = F.linear(x_, w_, b_) if bias else F.linear(x_, w_)
        assert torch.equal(y, round_to(product, FORMATS[name]))
        close(x.grad, g_ @ w_, name)
        close(w.grad, g_.T @ x_, name)
        if bias:
            close(b.grad, g_.sum(dim=0), name)


def close(gradient: Tensor | None, exact: Tensor, name: str) -> None:
    """On the grid of the format, and where the exact value rounds to."""
    assert gradient is not None
    assert torch.equal(round_to(gradient, FORMATS[name]), gradient)
    torch.testing.assert_close(gradient, round_to(exact, FORMATS[name]), rtol=1e-15, atol=0)


@settings(max_examples=10)
@given(name=formats, seed=seeds)
def test_attention_rounds_what_it_takes_and_gives_forwards_and_backwards(
    name: str, seed: int
) -> None:
    shape = (2, 2, 5, 4)
    q, k, v, g = tensors(seed, shape, shape, shape, shape)
    with autocast(name):
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    (y * g).sum().backward()

    rounded = [round_to(t.detach(), FORMATS[name]).requires_grad_() for t in (q, k, v)]
    expected = F.scaled_dot_product_attention(*rounded, is_causal=True)
    expected.backward(round_to(g.detach(), FORMATS[name]))
    assert torch.equal(y, round_to(expected.detach(), FORMATS[name]))
    for tensor, reference in zip((q, k, v), rounded, strict=True):
        assert reference.grad is not None
        close(tensor.grad, reference.grad, name)


ELSEWHERE: dict[str, Callable[[Tensor], Tensor]] = {
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "silu": F.silu,
    "softmax": lambda x: x.softmax(dim=-1),
    "log softmax": lambda x: x.log_softmax(dim=-1),
    "cross-entropy": lambda x: F.cross_entropy(x, torch.arange(len(x)) % x.shape[1]),
    "sum": lambda x: x + 1 / 3,
    "product": lambda x: x * (1 / 3),
    "embedding": lambda x: F.embedding(torch.tensor([1, 0, 1]), x),
}


@pytest.mark.parametrize("operation", ELSEWHERE.values(), ids=ELSEWHERE.keys())
@pytest.mark.parametrize("name", FORMATS)
def test_nothing_else_is_rounded(name: str, operation: Callable[[Tensor], Tensor]) -> None:
    (x,) = tensors(0, (4, 6))
    plain = operation(x)
    plain.sum().backward()
    gradient, x.grad = x.grad, None
    with autocast(name):
        simulated = operation(x)
    simulated.sum().backward()
    assert torch.equal(simulated, plain)
    assert x.grad is not None
    assert gradient is not None
    assert torch.equal(x.grad, gradient)


@pytest.mark.parametrize("name", FORMATS)
def test_in_a_model_the_products_are_rounded_and_the_residual_stream_is_not(name: str) -> None:
    model = build_model(ModelConfig(), seed=1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    on_grid: dict[str, bool] = {}

    def look(module_name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            on_grid[module_name] = torch.equal(round_to(output, FORMATS[name]), output)

        return hook

    for module_name, module in model.named_modules():
        module.register_forward_hook(look(module_name))
    batch = corpus.encoded("val")[torch.arange(8)]
    with autocast(name):
        loss = language_model_loss(model(batch.inputs), batch.targets)
    loss.backward()

    products = {
        module_name
        for module_name, module in model.named_modules()
        if isinstance(module, nn.Linear | Attention) or module_name.endswith("mlp")
    }
    assert {module_name for module_name, rounded in on_grid.items() if rounded} == products | {""}
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None
        in_product = parameter.ndim == 2 and "embedding" not in key
        if in_product:
            assert torch.equal(round_to(parameter.grad, FORMATS[name]), parameter.grad), key


def test_without_a_format_nothing_happens() -> None:
    x, w = tensors(0, (4, 6), (3, 6))
    with autocast(None):
        inside = F.linear(x, w)
    assert torch.equal(inside, F.linear(x, w))


def test_it_ends_with_its_block_even_if_that_fails() -> None:
    x, w = tensors(0, (4, 6), (3, 6))
    with pytest.raises(ZeroDivisionError), autocast("bfloat16"):
        1 / 0  # noqa: B018
    assert torch.equal(F.linear(x, w), x @ w.T)


@settings(max_examples=10, deadline=None)
@given(power=st.integers(-30, 60), seed=st.integers(0, 100))
def test_a_power_of_two_as_loss_scale_changes_no_bit_in_full_precision(
    small: Callable[..., Config], power: int, seed: int
) -> None:
    plain = small(steps=15, seed=seed, eval_interval=5)
    scaled = patched(plain, {"arithmetic.loss_scale": 2.0**power})
    a, b = (loop.train(loop.start(config)) for config in (plain, scaled))
    assert a.records == b.records


def test_in_half_precision_the_loss_scale_decides_what_is_left_of_a_gradient(
    small: Callable[..., Config],
) -> None:
    """Too small a scale and the gradients underflow; too large, and the first step diverges."""

    def share_of_zeros(scale: float) -> float:
        config = small(steps=1, arithmetic={"autocast": "float16", "loss_scale": scale})
        training = loop.start(config)
        loop.advance(training)
        assert not training.diverged
        gradients = training.model.get_parameter("blocks.0.attention.qkv.weight").grad
        assert gradients is not None
        return float((gradients == 0).double().mean())

    lost = [share_of_zeros(2.0**power) for power in (-20, -8, -4, 10)]
    assert lost == sorted(lost, reverse=True)
    assert (lost[0], lost[-1]) == (1, 0)
    config = small(steps=1, arithmetic={"autocast": "float16", "loss_scale": 2.0**40})
    assert loop.train(loop.start(config)).diverged


# Trains with every switch whose bits could depend on the processor.
TRAIN = """
import json, sys
import torch
from minitrain.training import generate, loop
from minitrain.training.config import Config, patched

print(torch.backends.cpu.get_cpu_capability(), file=sys.stderr)
for changes in json.loads(sys.argv[1]):
    training = loop.train(loop.start(patched(Config(), changes)))
    sample = generate.complete(
        training.model, "go every day she ", 1.0, torch.Generator().manual_seed(1)
    )
    print(json.dumps([training.fingerprint(), sample]))
"""


def test_the_switches_give_the_same_bits_under_any_instructions_and_with_two_threads(
    run_python: Callable[..., Any],
) -> None:
    base = {
        "steps": 25,
        "eval_interval": 1000,
        "model.d_model": 32,
        "optimizer.learning_rate": 1e-2,
        "schedule.warmup_steps": 5,
    }
    switches: list[dict[str, Any]] = [
        {"arithmetic.autocast": "bfloat16"},
        {"arithmetic": {"autocast": "float16", "loss_scale": 1024.0}, "model.dropout": 0.1},
        {
            "model": {"dropout": 0.3, "qkv_bias": False, "tied_embedding": False},
            "optimizer.decay_mask": "all",
        },
    ]
    settings = [
        {"ATEN_CPU_CAPABILITY": "default"},
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"OMP_NUM_THREADS": "2", "MKL_DYNAMIC": "FALSE", "OMP_WAIT_POLICY": "passive"},
    ]
    configs = [base | switch for switch in switches]
    done = [run_python(TRAIN, configs, **setting) for setting in settings]
    assert done[0].stdout == done[1].stdout == done[2].stdout
    assert len({json.loads(line)[0] for line in done[0].stdout.splitlines()}) == len(switches)
    assert done[0].stderr.splitlines()[0].lower() == "default"

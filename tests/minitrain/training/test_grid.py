"""Rounding is exact, and the fingerprint sees what it should and nothing else."""

import hashlib
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain.training.grid import GRID_BITS, fingerprint, round_to_grid, short

numbers = st.floats(-1e6, 1e6)
vectors = st.lists(numbers, min_size=1, max_size=20)
on_grid = st.integers(-(2**40), 2**40).map(lambda n: n / 2**GRID_BITS)
names = st.text(min_size=1, max_size=12)
parameter_sets = st.dictionaries(names, st.lists(on_grid, max_size=6), min_size=1, max_size=4)


def tensor(values: list[float]) -> torch.Tensor:
    """A float64 vector."""
    return torch.tensor(values, dtype=torch.float64)


def rounded(values: list[float], bits: int = GRID_BITS) -> torch.Tensor:
    """What `round_to_grid` makes of them."""
    result = tensor(values)
    round_to_grid([result], bits)
    return result


def independent_fingerprint(parameters: dict[str, list[float]]) -> str:
    """The definition of the fingerprint, without a tensor."""
    message = b""
    for name, values in sorted(parameters.items()):
        message += name.encode("utf-8") + bytes([0])
        for value in values:
            message += struct.pack("<d", 0.0 if value == 0 else value)
    return hashlib.sha256(message).hexdigest()


@given(vectors, st.integers(1, 30))
def test_rounding_twice_is_rounding_once(values: list[float], bits: int) -> None:
    once = rounded(values, bits)
    assert torch.equal(rounded(once.tolist(), bits), once)


@given(vectors, st.integers(1, 30))
def test_every_value_becomes_the_nearest_multiple(values: list[float], bits: int) -> None:
    for before, after in zip(values, rounded(values, bits).tolist(), strict=True):
        assert (after * 2**bits).is_integer()
        assert abs(after - before) <= 2.0 ** -(bits + 1)


def test_a_tie_goes_to_the_even_multiple() -> None:
    step = 2.0**-GRID_BITS
    ties = [0.5 * step, 1.5 * step, 2.5 * step, -0.5 * step, -1.5 * step]
    assert rounded(ties).tolist() == [0, 2 * step, 2 * step, 0, -2 * step]


@given(st.lists(on_grid, min_size=1, max_size=20), st.floats(-1e-12, 1e-12))
def test_noise_is_erased(values: list[float], noise: float) -> None:
    assert rounded([value + noise for value in values]).tolist() == values


def test_rounding_works_in_place_on_all_of_the_tensors() -> None:
    tensors = [tensor([0.3]), tensor([0.7, 1.3])]
    round_to_grid(tensors, bits=1)
    assert [t.tolist() for t in tensors] == [[0.5], [0.5, 1.5]]


@given(parameter_sets)
def test_the_fingerprint_is_the_one_that_the_course_defines(
    parameters: dict[str, list[float]],
) -> None:
    ours = fingerprint({name: tensor(values) for name, values in parameters.items()})
    assert ours == independent_fingerprint(parameters)


def test_the_fingerprint_of_a_known_set_never_changes() -> None:
    parameters = {"b": tensor([1.0, -2.0]), "a.weight": tensor([[0.5, 0.25], [-0.0, 3.0]])}
    assert (
        fingerprint(parameters)
        == "a88e2c080b7ec0d2369178a8e5a62b209d3f7152ac7e1d1b6105d36e8340164e"
    )


@given(parameter_sets, st.randoms(use_true_random=False))
def test_the_order_of_the_names_does_not_matter(parameters, random) -> None:  # type: ignore[no-untyped-def]
    tensors = {name: tensor(values) for name, values in parameters.items()}
    shuffled = list(tensors)
    random.shuffle(shuffled)
    assert fingerprint({name: tensors[name] for name in shuffled}) == fingerprint(tensors)


def test_negative_zero_is_zero() -> None:
    assert fingerprint({"p": tensor([-0.0, 1.0])}) == fingerprint({"p": tensor([0.0, 1.0])})


def test_the_memory_layout_does_not_matter() -> None:
    matrix = torch.arange(12, dtype=torch.float64).view(3, 4)
    turned = matrix.T.contiguous().T
    assert turned.stride() != matrix.stride()
    assert fingerprint({"p": turned}) == fingerprint({"p": matrix})


@given(st.lists(on_grid, min_size=1, max_size=20), st.data())
def test_one_grid_step_in_one_parameter_changes_the_fingerprint(
    values: list[float], data: st.DataObject
) -> None:
    where = data.draw(st.integers(0, len(values) - 1))
    moved = list(values)
    moved[where] += 2.0**-GRID_BITS
    assert fingerprint({"p": tensor(moved)}) != fingerprint({"p": tensor(values)})


def test_the_names_and_the_order_of_the_values_are_part_of_it() -> None:
    different = [
        {"p": tensor([1.0, 2.0])},
        {"p": tensor([2.0, 1.0])},
        {"q": tensor([1.0, 2.0])},
        {"p": tensor([1.0]), "q": tensor([2.0])},
    ]
    assert len({fingerprint(parameters) for parameters in different}) == len(different)


def test_float32_values_have_the_fingerprint_of_the_same_numbers() -> None:
    narrow = torch.tensor([0.5, -1.25])
    assert fingerprint({"p": narrow}) == fingerprint({"p": narrow.double()})


def test_a_fingerprint_is_64_hex_digits_and_short_is_the_first_twelve() -> None:
    whole = fingerprint({"p": tensor([1.0])})
    assert len(bytes.fromhex(whole)) == 32
    assert short(whole) == whole[:12]


@pytest.mark.parametrize("bits", [1, 20, 48])
def test_a_parameter_that_is_not_a_number_stays_so(bits: int) -> None:
    assert rounded([float("nan"), float("inf")], bits).isnan().tolist() == [True, False]

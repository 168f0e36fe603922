"""What Python and C have to agree on is the same on both sides."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from minitrain.kernel import binding, build
from minitrain.training import corpus
from minitrain.training.config import Config, flat, patched
from minitrain.training.metrics import KINDS, SLICES


@pytest.mark.parametrize(
    "compile_it",
    [build.library, partial(build.web_assembly, True), partial(build.web_assembly, False)],
)
def test_the_compiler_has_nothing_to_say(compile_it: Callable[..., object]) -> None:
    compile_it(*build.STRICT)


def header(name: str) -> str:
    return (build.folder() / name).read_text(encoding="utf-8")


def test_the_sizes_of_the_corpus() -> None:
    found = dict(re.findall(r"(\w+) = (\d+)", header("corpus.h")))
    assert int(found["VOCABULARY"]) == len(corpus.vocabulary())
    assert int(found["CONTEXT"]) == corpus.CONTEXT
    assert int(found["N_TRAIN"]) == corpus.N_TRAIN
    assert int(found["N_VAL"]) == corpus.N_VAL
    assert int(found["SLICES"]) == len(SLICES)


def test_the_kinds_of_parameters_are_in_the_same_order() -> None:
    (names,) = re.findall(r"enum \{ (TOKEN_EMBEDDING[^}]*), KINDS \}", header("model.h"))
    assert tuple(names.lower().split(", ")) == KINDS


def test_the_leaves_of_a_config_are_in_the_same_order() -> None:
    body = header("config.h").partition("typedef struct {")[2].partition("} Config;")[0]
    in_c: list[str] = []
    for statement in re.findall(r"struct \{(.*?)\} (\w+);|double ([^;]+);", body, re.DOTALL):
        inner, section, outer = statement
        if section:
            (names,) = re.findall(r"double ([^;]+);", inner)
            in_c += [f"{section}.{name}" for name in names.split(", ")]
        else:
            in_c += outer.split(", ")
    in_python = [
        name
        for leaf in flat(Config())
        for name in (
            [leaf] if leaf != "optimizer.betas" else ["optimizer.beta1", "optimizer.beta2"]
        )
    ]
    assert in_c == [*in_python, "faults"]
    assert len(binding.leaves(Config())) == len(in_c)


def test_the_faults_have_the_same_bits() -> None:
    (names,) = re.findall(r"enum \{ (WIDE_EMBEDDING[^}]*) \};", header("config.h"))
    in_c = {name.lower(): int(bit) for name, bit in re.findall(r"(\w+) = (\d+)", names)}
    assert in_c == {name: 1 << i for i, name in enumerate(binding.FAULTS)}
    for name, bit in in_c.items():
        assert binding.leaves(Config(), [name]) == [*binding.leaves(Config())[:-1], bit]


@pytest.mark.parametrize(
    ("changes", "place", "number"),
    [
        ({"optimizer.name": "adam"}, "optimizer.name", 1),
        ({"optimizer.decay_mask": "no_embedding"}, "optimizer.decay_mask", 1),
        ({"optimizer.decay_mask": "all"}, "optimizer.decay_mask", 2),
        ({"arithmetic.dtype": "float32"}, "arithmetic.dtype", 1),
        ({"arithmetic.grid_bits": None}, "arithmetic.grid_bits", 0),
        ({"arithmetic.autocast": "bfloat16"}, "arithmetic.autocast", 1),
        ({"optimizer.gradient_clip": 2.5}, "optimizer.gradient_clip", 2.5),
        ({"model.qkv_bias": False}, "model.qkv_bias", 0),
    ],
)
def test_a_leaf_that_is_no_number_becomes_one(
    changes: dict[str, Any], place: str, number: float
) -> None:
    leaves = list(flat(Config()))
    index = leaves.index(place) + (leaves.index(place) > leaves.index("optimizer.betas"))
    before, after = binding.leaves(Config()), binding.leaves(patched(Config(), changes))
    assert after[index] == number
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [index]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"arithmetic.autocast": "float16"},
        {"arithmetic.dtype": "float32"},
        {"arithmetic.grid_bits": None},
    ],
)
def test_both_sides_say_the_same_of_what_is_covered(changes: dict[str, Any]) -> None:
    config = patched(Config(), changes)
    numbers = np.array(binding.leaves(config), dtype=np.float64)
    binding.load()
    in_c = binding._library().minitrain_covers(numbers.ctypes.data)
    assert bool(in_c) == binding.covers(config)


def test_the_items_are_those_of_the_two_splits() -> None:
    rows = binding.items()
    members = [*corpus.split("train"), *corpus.split("val")]
    assert rows.shape == (len(members), 3 + corpus.CONTEXT)
    for row, item in zip(rows.tolist(), members, strict=True):
        length, form_start, marks = row[:3]
        assert corpus.decode(row[3 : 3 + length]) == item.text
        assert item.text[form_start + 1 :] == f"{item.form}."
        assert bin(marks).count("1") == 4

"""A config is checked once, says in one line what is wrong with it, and never changes."""

import os
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from minitrain.common import messages, strict_yaml
from minitrain.common.errors import UserError
from minitrain.training import config as config_module
from minitrain.training.config import (
    Config,
    assignment,
    differing,
    flat,
    from_yaml,
    full_key,
    memory,
    parse,
    patched,
    plain,
    read_yaml,
    to_yaml,
)

VALID: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**32 - 1),
    "steps": st.integers(101, 10_000),
    "batch_size": st.integers(1, 64),
    "eval_interval": st.integers(1, 1000),
    "model.n_layer": st.integers(1, 4),
    "model.n_head": st.sampled_from([1, 2, 4]),
    "model.d_model": st.sampled_from([8, 32, 64]),
    "model.dropout": st.floats(0, 0.9),
    "model.qkv_bias": st.booleans(),
    "model.tied_embedding": st.booleans(),
    "optimizer.name": st.sampled_from(["adamw", "adam"]),
    "optimizer.learning_rate": st.floats(1e-6, 1),
    "optimizer.betas": st.lists(st.floats(0, 0.999), min_size=2, max_size=2),
    "optimizer.eps": st.floats(1e-12, 1e-2),
    "optimizer.weight_decay": st.floats(0, 10),
    "optimizer.decay_mask": st.sampled_from(["matrices", "no_embedding", "all"]),
    "optimizer.gradient_clip": st.one_of(st.none(), st.floats(1e-3, 10)),
    "schedule.warmup_steps": st.integers(0, 100),
    "schedule.final_fraction": st.floats(0, 1),
    "arithmetic.dtype": st.sampled_from(["float64", "float32"]),
    "arithmetic.grid_bits": st.one_of(st.none(), st.integers(1, 48)),
    "arithmetic.autocast": st.sampled_from([None, "bfloat16", "float16"]),
    "arithmetic.loss_scale": st.floats(1e-3, 2.0**64),
}
patches = st.fixed_dictionaries({}, optional=VALID)
configs = patches.map(lambda patch: patched(Config(), patch))


def one_line(call: Callable[[], object]) -> str:
    """The single line of the `UserError` that `call` raises."""
    with pytest.raises(UserError) as error:
        call()
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def complaint(call: Callable[[], Config]) -> str | None:
    """None if `call` gives a config, or else the single line of its `UserError`."""
    try:
        result = call()
    except UserError as error:
        message = str(error)
    else:
        assert isinstance(result, Config)
        return None
    assert len(message.splitlines()) == 1
    return message


def nested(dotted: dict[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    result: dict[str, Any] = {}
    for key, value in dotted.items():
        *sections, leaf = key.split(".")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
        target[leaf] = value
    return result


def test_every_leaf_is_tried_below() -> None:
    assert set(VALID) == set(flat(Config()))


@given(configs)
def test_a_config_survives_plain_values_and_yaml(config: Config) -> None:
    assert parse(plain(config), "test") == config
    assert from_yaml(to_yaml(config)) == config
    assert hash(parse(plain(config), "test")) == hash(config)


@given(configs, patches)
def test_a_patch_changes_what_it_names_and_nothing_else(
    config: Config, patch: dict[str, Any]
) -> None:
    changed = patched(config, patch)
    assert patched(config, nested(patch)) == changed
    expected = flat(config) | patch
    assert flat(changed) == expected


@given(configs, configs)
def test_what_differs_is_what_it_takes_to_get_from_one_to_the_other(a: Config, b: Config) -> None:
    difference = differing(a, b)
    assert patched(a, {key: right for key, (_, right) in difference.items()}) == b
    assert patched(b, {key: left for key, (left, _) in difference.items()}) == a
    assert all(left != right for left, right in difference.values())
    assert differing(a, a) == {}


def test_patching_does_not_touch_the_original() -> None:
    original = Config()
    patched(original, {"optimizer.betas": [0.1, 0.2], "seed": 1})
    assert original == Config()


@pytest.mark.parametrize("key", [key for key in VALID if "." not in key])
def test_a_config_cannot_be_changed(key: str) -> None:
    with pytest.raises(ValidationError):
        setattr(Config(), key, 1)


@pytest.mark.parametrize("key", [key for key in VALID if "." in key])
def test_a_section_cannot_be_changed(key: str) -> None:
    section, leaf = key.split(".")
    with pytest.raises(ValidationError):
        setattr(getattr(Config(), section), leaf, 1)


def test_a_config_is_hashable_and_equal_to_its_like() -> None:
    assert len({Config(), Config(), patched(Config(), {"seed": 1})}) == 2


WRONG: list[tuple[str, Any]] = [
    ("seed", -1),
    ("seed", 2**32),
    ("seed", 1.5),
    ("seed", "42"),
    ("seed", True),
    ("seed", None),
    ("steps", 0),
    ("steps", "many"),
    ("batch_size", 0),
    ("batch_size", 4097),
    ("eval_interval", 0),
    ("model.n_layer", 0),
    ("model.n_head", -4),
    ("model.d_model", 64.5),
    ("optimizer.name", "sgd"),
    ("optimizer.name", 3),
    ("optimizer.learning_rate", 0),
    ("optimizer.learning_rate", -1e-3),
    ("optimizer.learning_rate", float("nan")),
    ("optimizer.learning_rate", float("inf")),
    ("optimizer.learning_rate", "0.001"),
    ("optimizer.learning_rate", [0.001]),
    ("optimizer.betas", [0.9]),
    ("optimizer.betas", [0.9, 0.95, 0.99]),
    ("optimizer.betas", [0.9, 1.0]),
    ("optimizer.betas", [-0.1, 0.9]),
    ("optimizer.betas", 0.9),
    ("optimizer.betas", ["0.9", 0.95]),
    ("optimizer.eps", 0),
    ("optimizer.weight_decay", -0.1),
    ("optimizer.weight_decay", "a lot"),
    ("optimizer.weight_decay", 1e7),
    ("optimizer.learning_rate", 1e200),
    ("steps", 10**12),
    ("model.d_model", 10**6),
    ("optimizer.gradient_clip", 0),
    ("schedule.warmup_steps", -1),
    ("schedule.final_fraction", 1.5),
    ("arithmetic.dtype", "float16"),
    ("arithmetic.grid_bits", 0),
    ("arithmetic.grid_bits", 49),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_named_with_its_field(key: str, value: Any) -> None:
    for message in (
        one_line(lambda: parse(nested({key: value}), "there.yaml")),
        one_line(lambda: patched(Config(), {key: value}, "there.yaml")),
    ):
        assert message.startswith(f"there.yaml: {key}")
        shown = [repr(value)]
        if isinstance(value, list):
            shown += [repr(element) for element in value]
        assert any(f"(got {text})" in message for text in shown), message


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"optimiser": {}}, "optimiser"),
        ({"optimizer": {"lr": 1}}, "optimizer.lr"),
        ({"model": {"d_modle": 64}}, "model.d_modle"),
    ],
)
def test_an_unknown_key_is_named(values: dict[Any, Any], field: str) -> None:
    message = one_line(lambda: parse(values, "there.yaml"))
    assert message.startswith(f"there.yaml: {field}: unknown key (got ")


def test_a_key_that_is_no_name_is_named() -> None:
    message = one_line(lambda: parse({3: 4}, "there.yaml"))
    assert message == "there.yaml: 3: expected a name as the key (got 3)"


@pytest.mark.parametrize("key", ["optimiser.lr", "optimizer.lr", "sede", "seed.more", "a.b.c"])
def test_a_patch_with_an_unknown_key_is_named(key: str) -> None:
    message = one_line(lambda: patched(Config(), {key: 1}, "--set"))
    assert message.startswith(f"--set: {key}: unknown key (got 1)")


@pytest.mark.parametrize("section", ["model", "optimizer", "schedule", "arithmetic"])
def test_a_section_is_not_a_value(section: str) -> None:
    message = one_line(lambda: patched(Config(), {section: 3}, "--set"))
    assert message == f"--set: {section}: is a section, not a value (got 3)"
    assert f"there.yaml: {section}: " in one_line(lambda: parse({section: 3}, "there.yaml"))


def test_heads_must_divide_the_width() -> None:
    message = one_line(lambda: patched(Config(), {"model.n_head": 5}, "--set"))
    assert message == "--set: model: n_head=5 does not divide d_model=64"


def test_a_warm_up_must_leave_some_steps() -> None:
    message = one_line(lambda: patched(Config(), {"steps": 100}, "--set"))
    assert "schedule.warmup_steps=100" in message
    assert "steps=100" in message


@pytest.mark.parametrize("values", [None, 3, "seed: 42", ["seed"]])
def test_a_config_is_keys_and_values(values: object) -> None:
    assert repr(values) in one_line(lambda: parse(values, "there.yaml"))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8), st.lists))
def test_whatever_stands_in_a_field_it_is_a_config_or_one_line(value: Any) -> None:
    for key in VALID:
        message = complaint(lambda key=key: patched(Config(), {key: value}))
        assert message is None or key.split(".")[0] in message or "warmup" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer.learning_rate=1e-3", ("optimizer.learning_rate", 1e-3)),
        ("optimizer.eps=1E-8", ("optimizer.eps", 1e-8)),
        ("optimizer.learning_rate=.5", ("optimizer.learning_rate", 0.5)),
        ("optimizer.weight_decay=0.1", ("optimizer.weight_decay", 0.1)),
        ("optimizer.name=adam", ("optimizer.name", "adam")),
        ("optimizer.betas=[0.9, 0.95]", ("optimizer.betas", [0.9, 0.95])),
        ("optimizer.gradient_clip=null", ("optimizer.gradient_clip", None)),
        ("seed=42", ("seed", 42)),
    ],
)
def test_an_assignment_is_a_key_and_a_value(text: str, expected: tuple[str, Any]) -> None:
    key, value = assignment(text)
    assert (key, value) == expected
    assert type(value) is type(expected[1])
    patched(Config(), {key: value})


@given(st.floats(1e-300, 1e300))
def test_every_way_of_writing_a_number_is_that_number(number: float) -> None:
    for text in (repr(number), f"{number:.17e}", f"{number:.17g}"):
        assert assignment(f"optimizer.eps={text}") == ("optimizer.eps", number)


@pytest.mark.parametrize("text", ["seed", "=3", "", "seed=[", "seed={a: b: c}", "seed='"])
def test_what_is_no_assignment_is_said_in_one_line(text: str) -> None:
    message = one_line(lambda: assignment(text))
    assert message.startswith("--set ")
    assert repr(text.partition("=")[2]) in message or repr(text) in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert one_line(lambda: read_yaml(path)) == f"{path}: no such file"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert one_line(lambda: read_yaml(tmp_path)) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize(
    "content", [b"seed: [1", b"\xff\xfe\x00", b"a: b: c", b"\t- x", b"a: \x00"]
)
def test_a_file_that_is_not_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    assert one_line(lambda: read_yaml(path)).startswith(f"{path}: not YAML: ")


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("!!python/object/apply:os.getcwd []\n")
    assert one_line(lambda: read_yaml(path)).startswith(f"{path}: not YAML: ")


@given(st.text(max_size=40))
def test_whatever_is_typed_as_yaml_is_a_config_or_one_line(text: str) -> None:
    complaint(lambda: from_yaml(text))


words = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=6)


@given(st.dictionaries(words, st.integers(), min_size=1, max_size=2))
def test_whatever_the_unknown_key_is_it_takes_one_line(values: dict[str, int]) -> None:
    assume(not set(values) & set(plain(Config())))
    message = one_line(lambda: parse(values, "there.yaml"))
    assert "unknown key" in message


def test_numbers_may_be_written_1e_3_in_a_file_too() -> None:
    assert from_yaml("optimizer: {learning_rate: 1e-3}").optimizer.learning_rate == 1e-3


def test_the_defaults_are_the_yaml_that_a_reader_may_edit() -> None:
    assert yaml.safe_load(config_module.to_yaml(Config())) == plain(Config())


HOSTILE = [
    "010",
    "1:20",
    "0x_",
    "0b_",
    "0o17",
    "2024-13-45",
    "2024-01-01T25:61:61Z",
    "!!int ''",
    "!!float x",
    "!!bool maybe",
    "!!timestamp x",
    "!!set {0.95, 0.9}",
    "!!python/object/apply:os.getcwd []",
    "9" * 5000,
    "0x" + "f" * 5000,
    "[" * 500,
    "{a: " * 500,
    "&a {b: *a}",
    "[&a [1], *a]",
    "{}",
    "{seed: {}}",
    "{a: 1, a: 2}",
    "{<<: {a: 1}}",
    "x" * 90_000,
    "x" * 200_000,
    "'",
    '"\\UFFFFFFFF"',
    "\x1b]0;title\a",
    "---\n1\n---\n2",
    "yes",
    ".nan",
    "1e999",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:20]))
def test_a_hostile_value_in_any_field_is_one_short_line_in_both_languages(value: str) -> None:
    for key in VALID:
        with pytest.raises(UserError) as caught:
            patched(Config(), dict([assignment(f"{key}={value}")]), "--set")
        for line in (str(caught.value), caught.value.text("es")):
            assert line.isprintable()
            assert len(line) < 400
        assert key in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("'010'", "010"),
        ("yes", "yes"),
        ("~", None),
        ("", None),
        ("true", True),
        ("{1: [a, null]}", {"1": ["a", None]}),
    ],
)
def test_what_a_scalar_means(text: str, value: Any) -> None:
    parsed = strict_yaml.parse(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("fifo", "zero"):
        path = tmp_path / name
        assert one_line(lambda path=path: read_yaml(path)).startswith(f"{path}: is not a file")
    assert "File name too long" in one_line(lambda: read_yaml(tmp_path / ("x" * 300)))


@pytest.mark.parametrize(
    "changes",
    [
        {"model.d_model": 1024, "model.n_layer": 100},
        {"steps": 10**7, "batch_size": 4096},
        {"model.d_model": 512, "batch_size": 4096},
    ],
)
def test_a_run_that_would_not_fit_into_memory_is_one_line(changes: dict[str, Any]) -> None:
    message = one_line(lambda: patched(Config(), changes, "--set"))
    assert "GiB of memory" in message
    assert all(f"{key}={value}" in message for key, value in changes.items())


def test_the_books_runs_are_far_from_the_memory_bound() -> None:
    assert memory(Config()) < 2**26


def test_a_misspelt_key_gets_a_suggestion() -> None:
    for key in ("optimizer.weigth_decay", "weight_decay", "model.weight_decay"):
        message = one_line(lambda key=key: patched(Config(), {key: 1}, "--set"))
        assert message.endswith("did you mean optimizer.weight_decay?")
    assert full_key("weight_decay") == "optimizer.weight_decay"
    assert full_key("nothing") == "nothing"


def test_a_patch_may_not_name_a_key_twice() -> None:
    twice = {"model": {"n_layer": 1}, "model.n_layer": 2}
    assert "is there twice" in one_line(lambda: patched(Config(), twice))


def test_both_languages_have_every_message_with_the_same_values() -> None:
    english, spanish = messages.MESSAGES["en"], messages.MESSAGES["es"]
    assert english.keys() == spanish.keys()
    for key, text in english.items():
        fields = {name for _, name, _, _ in Formatter().parse(text) if name}
        others = {name for _, name, _, _ in Formatter().parse(spanish[key]) if name}
        # PyYAML's and pydantic's own sentences are English: the Spanish ones do without.
        assert fields - {"detail"} == others - {"detail"}, key

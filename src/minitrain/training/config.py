"""The configuration of a run: one validated, immutable object, loaded from YAML."""

import difflib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from minitrain.common import strict_yaml
from minitrain.common.errors import UserError
from minitrain.common.messages import LONGEST_VALUE, Message, got, no_number, say, shortened, shown
from minitrain.training.corpus import CONTEXT, vocabulary

# The upper bounds lie far beyond any use: they turn a slip of the finger into a line of text
# where PyTorch would run out of memory or overflow.
Steps = Annotated[int, Field(ge=1, le=10**7)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# What a run may need by `memory`: the bounds of single fields do not bound their product. A
# constant, not the memory of this machine, so that a config is valid everywhere or nowhere.
MOST_MEMORY = 8 * 2**30


class _Section(BaseModel):
    # strict: "5" is not 5; forbid: a misspelt key is an error; no inf or nan anywhere.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelConfig(_Section):
    """Shape of the GPT.

    dropout: the share of activations that training sets to zero (see `model.GPT`).
    qkv_bias: whether queries, keys and values have a bias.
    tied_embedding: whether the output layer is the token embedding, transposed.
    """

    n_layer: Annotated[int, Field(ge=1, le=100)] = 2
    n_head: Annotated[int, Field(ge=1, le=1024)] = 4
    d_model: Annotated[int, Field(ge=1, le=1024)] = 64
    dropout: Fraction = 0.0
    qkv_bias: bool = True
    tied_embedding: bool = True

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "ModelConfig":
        if self.d_model % self.n_head:
            raise _custom("heads", n_head=self.n_head, d_model=self.d_model)
        return self


class OptimizerConfig(_Section):
    """Which Adam, and how hard it pulls.

    name: "adamw" decays decoupled from the gradient; "adam" adds the L2 term to the gradient.
    decay_mask: which parameters decay: "matrices" (not biases and norm scales), "no_embedding"
    (matrices, but neither embedding) or "all".
    gradient_clip: the largest global gradient norm, or null for no clipping.
    """

    name: Literal["adamw", "adam"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    # YAML has lists, not tuples, so this field alone is not strict about the container.
    betas: Annotated[tuple[Fraction, Fraction], Field(strict=False)] = (0.9, 0.95)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    decay_mask: Literal["matrices", "no_embedding", "all"] = "matrices"
    gradient_clip: Annotated[float, Field(gt=0)] | None = None


class ScheduleConfig(_Section):
    """Linear warm-up, then cosine to `final_fraction` of the peak learning rate."""

    warmup_steps: Annotated[int, Field(ge=0)] = 100
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1


class ArithmeticConfig(_Section):
    """What the numbers are made of.

    grid_bits: null turns the parameter grid off.
    autocast: simulate mixed precision: matrix products in this format (see `precision`).
    loss_scale: what the loss is multiplied by before the backward pass, the gradients divided by
    after it; it matters only where a format can underflow.
    """

    dtype: Literal["float64", "float32"] = "float64"
    grid_bits: Annotated[int, Field(ge=1, le=48)] | None = 20
    autocast: Literal["bfloat16", "float16"] | None = None
    loss_scale: Annotated[float, Field(gt=0, le=2.0**64)] = 1.0


class Config(_Section):
    """Everything that decides a run. Two equal configs give the same fingerprint.

    steps: optimizer updates. batch_size: items per update. eval_interval: steps between records.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    steps: Steps = 2000
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    eval_interval: Steps = 100
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    arithmetic: ArithmeticConfig = ArithmeticConfig()

    @model_validator(mode="after")
    def _warmup_fits(self) -> "Config":
        if self.schedule.warmup_steps >= self.steps:
            raise _custom("warmup", warmup_steps=self.schedule.warmup_steps, steps=self.steps)
        return self

    @model_validator(mode="after")
    def _fits_into_memory(self) -> "Config":
        if (need := memory(self)) > MOST_MEMORY:
            raise _custom(
                "memory",
                need=math.ceil(need / 2**30),
                most=MOST_MEMORY // 2**30,
                n_layer=self.model.n_layer,
                d_model=self.model.d_model,
                n_head=self.model.n_head,
                batch_size=self.batch_size,
                steps=self.steps,
            )
        return self


def memory(config: Config) -> int:
    """About how many bytes a training needs at its peak: to the factor of two that matters here.

    Of each parameter there are six copies: value, gradient, two moments, and two that come and go.
    What a block keeps for the backward pass is some 18 vectors a token and two matrices of
    attention a head; the logits are kept three times. The items of every batch are drawn at once.
    """
    shape = config.model
    number = 8 if config.arithmetic.dtype == "float64" else 4
    embeddings = (1 if shape.tied_embedding else 2) * len(vocabulary()) + CONTEXT
    parameters = shape.n_layer * (12 * shape.d_model + 13) * shape.d_model
    parameters += embeddings * shape.d_model
    kept = shape.n_layer * (18 * shape.d_model + 2 * shape.n_head * CONTEXT) + 3 * len(vocabulary())
    activations = config.batch_size * CONTEXT * kept
    return number * (6 * parameters + activations) + 8 * config.steps * config.batch_size


def _custom(key: str, **values: Any) -> PydanticCustomError:
    """An error of our own: `_reason` finds the message again under its key."""
    return PydanticCustomError("minitrain", "{key}", {"key": key, "values": values})


def parse(values: object, source: str) -> Config:
    """A `Config` from plain values; `UserError` with one line naming the field and the value."""
    if not isinstance(values, Mapping):
        raise UserError(say("at", source=source, reason=got(say("no_section"), values)))
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    except RecursionError:
        raise UserError(say("at", source=source, reason=say("not_valid", detail="depth"))) from None
    field = ".".join(map(str, first["loc"]))
    reason = _reason(first)
    if first["type"] == "extra_forbidden":
        raise _unknown(field, first["input"], source)
    if first["type"] != "minitrain":
        reason = got(reason, first["input"])
    raise UserError(_at(source, field or "config", reason))


# What pydantic calls an error, what we say, and the value of its context that we mention.
_REASONS = {
    "int_type": ("whole_number", ""),
    "int_from_float": ("whole_number", ""),
    "float_type": ("number", ""),
    "bool_type": ("truth", ""),
    "string_type": ("text", ""),
    "literal_error": ("one_of", "expected"),
    "finite_number": ("finite", ""),
    "greater_than_equal": ("at_least", "ge"),
    "greater_than": ("more_than", "gt"),
    "less_than_equal": ("at_most", "le"),
    "less_than": ("less_than", "lt"),
    "tuple_type": ("list", ""),
    "missing": ("too_few", ""),
    "too_short": ("too_few", "min_length"),
    "too_long": ("too_many", "max_length"),
    "model_type": ("no_section", ""),
    "invalid_key": ("key_is_no_name", ""),
}


def _reason(error: ErrorDetails) -> Message:
    context = error.get("ctx", {})
    if error["type"] == "minitrain":
        return say(context["key"], **context["values"])
    if error["type"] not in _REASONS:
        return say("not_valid", detail=error["msg"])
    key, mentioned = _REASONS[error["type"]]
    if key == "number":
        return no_number(error["input"])
    if key == "one_of":  # 'a', 'b' or 'c'
        return say(key, expected=context[mentioned].replace(" or ", ", ").replace(", ", " | "))
    # The only list of a fixed length has two values; "missing" does not say how many there are.
    limit = context.get(mentioned, 2)
    return say(key, limit=f"{limit:g}" if isinstance(limit, float) else limit)


def _at(source: str, field: object, reason: Message) -> Message:
    return say("field", source=source, field=shortened(str(field)), reason=reason)


def _unknown(key: str, value: object, source: str) -> UserError:
    """The error for a key that there is not, with the one that may have been meant."""
    reason = got(say("unknown_key"), value)
    names = {name.rpartition(".")[2]: name for name in _keys()}
    last = key.rpartition(".")[2][:LONGEST_VALUE]
    close = difflib.get_close_matches(last, names, n=1, cutoff=0.7)
    found = names[close[0]] if close else None
    if found:
        reason = say("did_you_mean", reason=reason, name=found)
    return UserError(_at(source, key, reason))


@cache
def _keys() -> tuple[str, ...]:
    """Every dotted key of a config."""
    return tuple(flat(Config()))


def full_key(key: str) -> str:
    """The dotted key that `key` means: itself, unless it is the last part of only one."""
    keys = _keys()
    ends = [name for name in keys if name.endswith(f".{key}")]
    return ends[0] if key not in keys and len(ends) == 1 else key


def check_leaf(key: str, value: object, source: str) -> None:
    """Raise `UserError` unless the dotted `key` names one value of a config."""
    keys = _keys()
    if key in keys:
        return
    if any(name.startswith(f"{key}.") for name in keys):
        raise UserError(_at(source, key, got(say("section"), value)))
    raise _unknown(key, value, source)


def plain(config: Config) -> dict[str, Any]:
    """The config as nested dicts of JSON values; `parse` takes it back."""
    return config.model_dump(mode="json")


def to_yaml(config: Config) -> str:
    """The config as YAML, as it would stand in an experiment's `base`."""
    text: str = yaml.safe_dump(plain(config), sort_keys=False, default_flow_style=None)
    return text.rstrip()


def from_yaml(text: str, source: str = "config") -> Config:
    """The config that somebody typed. Raises `UserError` with one line saying what is wrong."""
    return parse(strict_yaml.parse(text, source), source)


def flat(config: Config) -> dict[str, Any]:
    """The config as one dict with dotted keys: ``{"optimizer.weight_decay": 0.1, ...}``."""

    def walk(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
        leaves: dict[str, Any] = {}
        for key, value in values.items():
            leaves |= (
                walk(f"{prefix}{key}.", value)
                if isinstance(value, Mapping)
                else {f"{prefix}{key}": value}
            )
        return leaves

    return walk("", plain(config))


def differing(a: Config, b: Config) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, with both values."""
    left, right = flat(a), flat(b)
    return {key: (left[key], right[key]) for key in left if left[key] != right[key]}


def patched(config: Config, patch: Mapping[str, Any], source: str = "patch") -> Config:
    """`config` with some keys replaced. `patch` is nested, or has dotted keys, or both."""
    values = plain(config)
    seen: set[str] = set()
    for key, value in _leaves(patch, source):
        if key in seen:
            raise UserError(_at(source, key, got(say("twice"), value)))
        seen.add(key)
        *sections, leaf = key.split(".")
        target = values
        for section in sections:
            target = target[section]
        target[leaf] = value
    return parse(values, source)


def _leaves(patch: Mapping[str, Any], source: str, prefix: str = "") -> list[tuple[str, Any]]:
    """The dotted keys of a patch with their values: of keys that a config has, and no others."""
    leaves: list[tuple[str, Any]] = []
    keys = _keys()
    for key, value in patch.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name in keys:
            raise UserError(_at(source, name, got(say("no_value"), value)))
        if isinstance(value, Mapping) and value and name in _SECTIONS:
            leaves += _leaves(value, source, f"{name}.")
        else:
            check_leaf(name, value, source)
            leaves.append((name, value))
    return leaves


_SECTIONS = {name.partition(".")[0] for name in _keys() if "." in name}


def assignment(text: str, option: str = "--set") -> tuple[str, Any]:
    """``"optimizer.weight_decay=0.1"`` as a key and a YAML value; `option` is who asks."""
    source = f"{option} {shown(text)}"
    if not isinstance(text, str):
        raise UserError(say("at", source=source, reason=say("no_text")))
    before, equals, value = text.partition("=")
    key = before.strip()
    if not equals or not key:
        raise UserError(say("at", source=source, reason=say("key_value")))
    return key, strict_yaml.parse(value, source)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; `UserError` if it is missing, unreadable or not YAML."""
    return strict_yaml.read(path)

"""The configuration of a run: one validated, immutable object, loaded from YAML."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minitrain.common.errors import UserError

# The upper bounds lie far beyond any use: they turn a slip of the finger into a line of text
# where PyTorch would run out of memory or overflow.
Steps = Annotated[int, Field(ge=1, le=10**7)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


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
            raise ValueError(f"n_head={self.n_head} does not divide d_model={self.d_model}")
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
            raise ValueError(
                f"schedule.warmup_steps={self.schedule.warmup_steps} leaves nothing of"
                f" steps={self.steps}"
            )
        return self


def parse(values: object, source: str) -> Config:
    """A `Config` from plain values; `UserError` with one line naming the field and the value."""
    if not isinstance(values, Mapping):
        raise UserError(f"{source}: expected keys and values, got {values!r}")
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "config"
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            reason = "unknown key"
        shown = "" if first["type"] == "value_error" else f" (got {first['input']!r})"
        raise UserError(f"{source}: {field}: {reason}{shown}") from None


def plain(config: Config) -> dict[str, Any]:
    """The config as nested dicts of JSON values; `parse` takes it back."""
    return config.model_dump(mode="json")


def to_yaml(config: Config) -> str:
    """The config as YAML, as it would stand in an experiment's `base`."""
    text: str = yaml.safe_dump(plain(config), sort_keys=False, default_flow_style=None)
    return text.rstrip()


def from_yaml(text: str, source: str = "config") -> Config:
    """The config that somebody typed. Raises `UserError` with one line saying what is wrong."""
    return parse(_parse_yaml(text, source), source)


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
    for key, value in _leaves(patch):
        *sections, leaf = key.split(".")
        target = values
        for section in sections:
            inner = target.get(section)
            if not isinstance(inner, dict):
                raise UserError(f"{source}: {key}: unknown key (got {value!r})")
            target = inner
        if isinstance(target.get(leaf), dict):
            raise UserError(f"{source}: {key}: is a section, not a value (got {value!r})")
        target[leaf] = value
    return parse(values, source)


def _leaves(patch: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in patch.items():
        name = f"{prefix}{key}"
        leaves += _leaves(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return leaves


def assignment(text: str, option: str = "--set") -> tuple[str, Any]:
    """``"optimizer.weight_decay=0.1"`` as a key and a YAML value; `option` is who asks."""
    before, equals, value = text.partition("=")
    key = before.strip()
    if not equals or not key:
        raise UserError(f"{option} {text!r}: expected KEY=VALUE")
    return key, _parse_yaml(value, f"{option} {text!r}")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; `UserError` if it is missing, unreadable or not YAML."""
    try:
        return _parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number. To YAML 1.1 it is a string: it wants 1.0e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not YAML: {' '.join(str(error).split())}") from None

"""The configuration of a large run: the course's keys, and a few that only a large run needs."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from minitrain.common import strict_yaml
from minitrain.common.errors import UserError
from minitrain.common.messages import got, say

# Two of these are private to their module. What a bad value is told is decided there, once.
from minitrain.training.config import (
    Config,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    Steps,
    _reason,
    _Section,
)


class LargeModelConfig(ModelConfig):
    """The course's keys for the shape of a model; by default it is GPT-2 small."""

    n_layer: Annotated[int, Field(ge=1, le=100)] = 12
    n_head: Annotated[int, Field(ge=1, le=1024)] = 12
    d_model: Annotated[int, Field(ge=1, le=8192)] = 768


class LargeConfig(_Section):
    """Everything that decides a large run, but for its tokens.

    seed, steps, batch_size, eval_interval, model, optimizer, schedule: as in the course's `Config`.
    batch_size counts sequences per update, over all processes. The vocabulary is that of the
    tokens.

    context: tokens of a sequence.
    micro_batch_size: sequences that one process handles at once, at most; it decides memory and
    speed, not the gradient.
    precision: "bfloat16" is autocast, with master weights in float32; "float32" does without.
    compile: whether `torch.compile` compiles the model and its loss.
    eval_sequences: sequences of the validation split that each record is measured on.
    checkpoint_interval: steps between checkpoints; a killed run loses at most these.
    train_tokens: how many tokens of the training split to use, or null for all: with fewer, the
    same are seen more often.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    steps: Steps = 2000
    batch_size: Annotated[int, Field(ge=1, le=2**16)] = 96
    eval_interval: Steps = 100
    model: LargeModelConfig = LargeModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    context: Annotated[int, Field(ge=1, le=2**16)] = 1024
    micro_batch_size: Annotated[int, Field(ge=1, le=2**16)] = 16
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    compile: bool = True
    eval_sequences: Annotated[int, Field(ge=1)] = 256
    checkpoint_interval: Steps = 500
    train_tokens: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "LargeConfig":
        self.course()
        if self.micro_batch_size > self.batch_size:
            raise _refused(
                f"micro_batch_size={self.micro_batch_size} is more than"
                f" batch_size={self.batch_size}"
            )
        if self.model.dropout:
            raise _refused(
                f"model.dropout={self.model.dropout}: expected 0; the course draws its masks on"
                " the CPU, which would wait for every one of them at this size"
            )
        return self

    def course(self) -> Config:
        """What the course's schedule reads of this config, as its own `Config`."""
        return Config(steps=self.steps, optimizer=self.optimizer, schedule=self.schedule)


def _refused(reason: str) -> PydanticCustomError:
    return PydanticCustomError("large", "{reason}", {"reason": reason})


def load(path: Path, changes: Mapping[str, Any] | None = None) -> LargeConfig:
    """The config in a YAML file, with `changes` by dotted key (``{"optimizer.eps": 1e-9}``).

    Raises `UserError` with one line that names the file, the field and the value.
    """
    values = strict_yaml.read(path)
    return parse(patched({} if values is None else values, changes or {}), str(path))


def parse(values: object, source: str) -> LargeConfig:
    """A `LargeConfig` from plain values; `UserError` with one line naming the field and value."""
    if not isinstance(values, Mapping):
        raise UserError(say("at", source=source, reason=got(say("no_section"), values)))
    try:
        return LargeConfig.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "config"
    if first["type"] == "large":
        raise UserError(f"{source}: {first['msg']}")
    if first["type"] == "extra_forbidden":
        reason = got(say("unknown_key"), first["input"])
        names = {name.rpartition(".")[2]: name for name in keys()}
        close = difflib.get_close_matches(field.rpartition(".")[2], names, n=1, cutoff=0.7)
        if close:
            reason = say("did_you_mean", reason=reason, name=names[close[0]])
    elif first["type"] == "minitrain":
        reason = _reason(first)
    else:
        reason = got(_reason(first), first["input"])
    raise UserError(say("field", source=source, field=field, reason=reason))


def patched(values: object, changes: Mapping[str, Any]) -> object:
    """Plain `values` with some replaced, by dotted key; whether they are valid, `parse` says."""
    if not isinstance(values, Mapping):
        return values
    changed = dict(values)
    for key, value in changes.items():
        section, dot, leaf = key.partition(".")
        inner = changed.get(section)
        inner = inner if isinstance(inner, Mapping) else {}
        changed[section] = patched(inner, {leaf: value}) if dot else value
    return changed


def plain(config: LargeConfig) -> dict[str, Any]:
    """The config as nested dicts of JSON values; `parse` takes it back."""
    return config.model_dump(mode="json")


def keys() -> list[str]:
    """Every dotted key."""
    return list(flat(plain(LargeConfig())))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return leaves

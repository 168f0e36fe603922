"""A finished run as a folder: what is written, and how every byte of it is checked when read::

<address>/run.json                 config, result and records
<address>/parameters.safetensors   the final parameters
<address>/SHA256SUMS               of the other two; `sha256sum -c` reads it
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal, get_type_hints

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from torch import Tensor

from minitrain.common.errors import UserError
from minitrain.common.files import read_file, sha256
from minitrain.runs.checkpoint import DamagedFile
from minitrain.training import corpus
from minitrain.training.config import Config, ModelConfig, parse, plain
from minitrain.training.grid import fingerprint, short
from minitrain.training.loop import Record, Training
from minitrain.training.metrics import kind, slices
from minitrain.training.model import GPT, build_model

NAMES = _RUN, _PARAMETERS, _SUMS = "run.json", "parameters.safetensors", "SHA256SUMS"

# What a record holds that may not be finite: JSON has no NaN and no infinity, so it is null there.
_LOSSES = ("train_loss", "val_loss")
_MAY_OVERFLOW = ("parts", "weight_norms", "update_norms", "gradient_scales")


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run, as read from disk.

    code: the hash of the code that trained it (`code.training_code`, or that of a fault). engine:
    what trained it, one of `engines.NAMES`, or "both". seconds: the time that its training
    took, all told. checksum: SHA-256 of the file of its parameters, or None if only the `run.json`
    is here, as a page of the book hands it out.
    """

    path: Path
    config: Config
    code: str
    fingerprint: str
    diverged: bool
    steps: int
    tokens: int
    seconds: float
    engine: str
    records: tuple[Record, ...]
    checksum: str | None

    def __repr__(self) -> str:
        last = self.last
        ended = ", diverged" if self.diverged else ""
        return (
            f"<Run {short(self.fingerprint)}: {self.steps} steps{ended},"
            f" train_loss {last.train_loss:.4f}, val_loss {last.val_loss:.4f}>"
        )

    @property
    def last(self) -> Record:
        """What was measured after the last step."""
        return self.records[-1]

    def model(self) -> GPT:
        """The trained model. Raises `DamagedFile` if its parameters are no longer those read."""
        content = _read(self.path / _PARAMETERS)
        if sha256(content) != self.checksum:
            raise DamagedFile(self.path / _PARAMETERS, "has changed since the run was read")
        dtype = getattr(torch, self.config.arithmetic.dtype)
        model = build_model(self.config.model, self.config.seed, dtype)
        model.load_state_dict(safetensors.torch.load(content))
        return model


def files_of(training: Training, code: str, seconds: float, engine: str) -> dict[str, bytes]:
    """The files of a finished run by name, the one with the checksums last.

    code: the hash of the code that trained it.
    """
    values = {
        "config": plain(training.config),
        "code": code,
        "fingerprint": training.fingerprint(),
        "diverged": training.diverged,
        "steps": training.step,
        "tokens": training.tokens,
        "seconds": seconds,
        "engine": engine,
        "records": [_finite(record.plain()) for record in training.records],
    }
    files = {
        _RUN: json.dumps(values, indent=1, allow_nan=False).encode(),
        _PARAMETERS: safetensors.torch.save(dict(training.model.state_dict())),
    }
    return files | {_SUMS: _checksums(files)}


def read_run(path: Path) -> Run:
    """The run in the folder `path`. Raises `DamagedFile` if any byte of it is not as written, and
    if it was written by something else than this library.
    """
    content = _checked(path)
    values = _values(path / _RUN, content[_RUN])
    run = _run(path, path / _RUN, values, sha256(content[_PARAMETERS]))
    parameters = _tensors(path / _PARAMETERS, content[_PARAMETERS])
    _check_tensors(path, parameters, run.config)
    if fingerprint(parameters) != values.fingerprint:
        raise DamagedFile(path / _PARAMETERS, f"fingerprint is not that of {_RUN}")
    return run


def packed(run: Run) -> dict[str, bytes]:
    """The files of a run by name, as they may travel. Raises `DamagedFile` like `read_run`."""
    return _checked(run.path)


def read_result(file: Path) -> Run:
    """What a lone `run.json` says: a run without its parameters, which nothing can check it by.

    Raises `DamagedFile` if it is not such a file.
    """
    return _run(file.parent, file, _values(file, _read(file)), None)


def _run(path: Path, file: Path, values: "_Values", checksum: str | None) -> Run:
    """The run that `values`, read from `file`, describe, if they go together."""
    try:
        config = parse(values.config, "config")
    except UserError as error:
        raise DamagedFile(file, str(error)) from None
    records = tuple(Record(**_with_nan(record.model_dump())) for record in values.records)
    _check_numbers(file, values, config, records)
    return Run(
        path=path,
        config=config,
        code=values.code,
        fingerprint=values.fingerprint,
        diverged=values.diverged,
        steps=values.steps,
        tokens=values.tokens,
        seconds=values.seconds,
        engine=values.engine,
        records=records,
        checksum=checksum,
    )


# ---------------------------------------------------------------------------------- bytes and files


def _checked(path: Path) -> dict[str, bytes]:
    """The files of a run by name, if their checksums hold."""
    content = {name: _read(path / name) for name in (_SUMS, _RUN, _PARAMETERS)}
    for name in (_RUN, _PARAMETERS):
        if sha256(content[name]).encode() not in content[_SUMS]:
            raise DamagedFile(path / name, f"checksum is not the one in {path / _SUMS}")
    if content[_SUMS] != _checksums(content):
        raise DamagedFile(path / _SUMS, "is not what was written")
    return content


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise DamagedFile(path, error.strerror or str(error)) from None


def _checksums(content: dict[str, bytes]) -> bytes:
    """The lines that `sha256sum` writes for the two files of a run."""
    return "".join(f"{sha256(content[name])}  {name}\n" for name in (_RUN, _PARAMETERS)).encode()


# --------------------------------------------------------------------------------------- parameters


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # whatever safetensors makes of these bytes
        raise DamagedFile(path, f"not parameters: {error}") from None


def _check_tensors(path: Path, tensors: dict[str, Tensor], config: Config) -> None:
    """That these are parameters of the model of `config`, and all of them."""
    expected = _shapes(config.model)
    dtype = getattr(torch, config.arithmetic.dtype)
    for name in sorted(expected.keys() | tensors.keys()):
        tensor = tensors.get(name)
        if tensor is None or (tensor.shape, tensor.dtype) != (expected.get(name), dtype):
            raise DamagedFile(path / _PARAMETERS, f"{name} is not that of the config")


@cache
def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in GPT(config).state_dict().items()}


# ------------------------------------------------------------------------------- result and records


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


_Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]


def _in_json(name: str, hint: Any) -> Any:
    """The type of a record's field, as it is in JSON."""
    if name == "fingerprint":
        return _Digest
    if name not in _LOSSES + _MAY_OVERFLOW:
        return hint
    if hint is float:
        return float | None
    return GenericAlias(dict, (str, _in_json(name, hint.__args__[1])))


_fields: Any = {name: (_in_json(name, hint), ...) for name, hint in get_type_hints(Record).items()}
_Record: Any = create_model("_Record", __base__=_Strict, **_fields)


class _Values(_Strict):
    """The content of `run.json`."""

    config: dict[str, Any]
    code: _Digest
    fingerprint: _Digest
    diverged: bool
    steps: Annotated[int, Field(ge=0)]
    tokens: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(gt=0)]
    engine: Literal["pytorch", "kernel", "both"]
    records: Annotated[list[_Record], Field(min_length=1)]


def _values(path: Path, content: bytes) -> _Values:
    try:
        return _Values.model_validate(json.loads(content, parse_constant=_refuse))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "run"
        raise DamagedFile(path, f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"not JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _check_numbers(
    path: Path, values: _Values, config: Config, records: tuple[Record, ...]
) -> None:
    """That the counters fit the config, and that the records are about what there is."""
    if values.steps > config.steps or not (values.diverged or values.steps == config.steps):
        raise DamagedFile(path, f"steps: {values.steps} of {config.steps}")
    if values.tokens > values.steps * config.batch_size * corpus.CONTEXT:
        raise DamagedFile(path, f"tokens: {values.tokens} in {values.steps} steps")
    steps = [record.step for record in records]
    if steps != sorted(set(steps)) or not 0 <= steps[0] <= steps[-1] <= values.steps:
        raise DamagedFile(path, "records: are not in the order of their steps")
    kinds = {kind(name) for name in _shapes(config.model)}
    for record in records:
        for field in ("weight_norms", "update_norms", "gradient_scales"):
            names = set(getattr(record, field))
            if names != kinds and (names or field == "weight_norms" or record.step > 0):
                raise DamagedFile(path, f"records: {field} is not of the kinds of parameters")
        if {name: set(parts) for name, parts in record.parts.items()} != _PARTS:
            raise DamagedFile(path, "records: parts is not of the parts of train and val")
        if {name: set(of) for name, of in record.accuracy.items()} != _slices():
            raise DamagedFile(path, "records: accuracy is not of the slices of train and val")


_PARTS = {name: {"prompt", "form"} for name in ("train", "val")}


@cache
def _slices() -> dict[str, set[str]]:
    return {
        name: {slice for item in corpus.split(name) for slice in slices(item)}
        for name in ("train", "val")
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(record: dict[str, Any]) -> dict[str, Any]:
    """A record of Python numbers, with NaN for null."""
    return record | {name: _floats(record[name]) for name in _LOSSES + _MAY_OVERFLOW}


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _floats(inner) for name, inner in value.items()}
    return math.nan if value is None else value

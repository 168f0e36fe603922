"""Faults in code: a pull request as a patch against the training code, kept in ``faults/``.

``<id>.patch`` is what the pull request changes; ``repairs/<id>.patch``, on top of it, mends what is
wrong with it, and is missing where nothing is. ``<id>.yaml`` has its `title` and its `description`
as their author wrote them, in each language; under `cleared` what speaks for lines that readers
suspect; and under `kernel` how the kernel does the same: as `changes` of the config that it is
given, or as `faults` of its own (`binding.FAULTS`).

The library stays as it is. What a run under a fault is trained with are the sources as the patch
leaves them; their hash is in its address, as the code of any run is.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from minitrain.common.errors import UserError
from minitrain.common.messages import MESSAGES
from minitrain.kernel import binding
from minitrain.runs.code import MODULES, SOURCES, hash_of, training_code
from minitrain.training.config import Config, read_yaml

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_PREFIX = "src/"


@dataclass(frozen=True)
class Recipe:
    """What decides a run: its config, and the fault in the code that trains it, if there is one."""

    config: Config
    fault: str | None = None

    @classmethod
    def of(cls, wanted: "Config | Recipe") -> "Recipe":
        """A config alone is a recipe without a fault."""
        return wanted if isinstance(wanted, Recipe) else cls(wanted)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InKernel(_Section):
    """How the kernel plants a fault."""

    changes: dict[str, Any] = {}
    faults: list[str] = []


class PullRequest(_Section):
    """What ``<id>.yaml`` holds, its texts by language.

    cleared: by place, ``optim.py:68``, what speaks for a line of the pull request that readers
    suspect. kernel: None where only PyTorch trains under this fault.
    """

    title: dict[str, Annotated[str, Field(min_length=1)]]
    description: dict[str, Annotated[str, Field(min_length=1)]]
    cleared: dict[str, dict[str, Annotated[str, Field(min_length=1)]]] = {}
    kernel: InKernel | None = None


@dataclass(frozen=True)
class Fault:
    """One pull request, and the training's sources as it leaves them.

    patch: its diff, by file. sources: of every module in `code.SOURCES`, by name. repair: what
    mends it, on top of these sources; None if nothing is wrong with it.
    """

    id: str
    request: PullRequest
    patch: PatchSet = field(repr=False)
    sources: Mapping[str, str] = field(repr=False)
    repair: PatchSet | None = field(repr=False)

    @property
    def code(self) -> str:
        """What `code.training_code` is under this fault."""
        return hash_of(self.sources)

    @property
    def wrong(self) -> frozenset[tuple[str, int]]:
        """The lines that the repair replaces, by file name and number: ``("optim.py", 67)``."""
        return frozenset(
            (Path(file.path).name, line.source_line_no or 0)
            for file in self.repair or ()
            for hunk in file
            for line in hunk
            if line.is_removed
        )

    def repaired(self) -> Mapping[str, str]:
        """The sources with the repair on top. Raises `UserError` if it does not fit."""
        path = _repair(self.id)
        return _patched(self.repair, path, self.sources) if self.repair else self.sources


def folder() -> Path:
    """Where the faults lie: beside `src` in the course."""
    return Path(__file__).resolve().parents[3] / "faults"


def names() -> list[str]:
    """Every fault that there is."""
    return sorted(path.stem for path in folder().glob("*.patch"))


@cache
def load(name: str) -> Fault:
    """The fault of that name. Raises `UserError` naming the file and what is wrong with it."""
    if not _NAME.fullmatch(name) or name not in names():
        raise UserError(f"fault {name!r}: is not one of {', '.join(names())}")
    path, mended = folder() / f"{name}.patch", _repair(name)
    patch = _parsed(path)
    return Fault(
        name,
        _request(path.with_suffix(".yaml")),
        patch,
        _patched(patch, path, SOURCES),
        _parsed(mended) if mended.exists() else None,
    )


def _repair(name: str) -> Path:
    return folder() / "repairs" / f"{name}.patch"


def code_of(recipe: Recipe) -> str:
    """The hash of the code that trains a recipe."""
    return load(recipe.fault).code if recipe.fault else training_code()


def all_code() -> str:
    """SHA-256 over all faults: the sources that each patch makes, and how the kernel plants it."""
    digest = hashlib.sha256()
    for fault in map(load, names()):
        how = fault.request.kernel.model_dump_json() if fault.request.kernel else ""
        digest.update(f"{fault.id}\0{fault.code}\0{how}\0".encode())
    return digest.hexdigest()


def _parsed(path: Path) -> PatchSet:
    try:
        return PatchSet(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, UnidiffParseError) as error:
        raise UserError(f"{path}: not a patch: {error}") from None


def _request(path: Path) -> PullRequest:
    values = read_yaml(path)
    try:
        request = PullRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "pull request"
        raise UserError(f"{path}: {where}: {first['msg']}") from None
    for name, texts in (("title", request.title), ("description", request.description)):
        if set(texts) != set(MESSAGES):
            raise UserError(f"{path}: {name}: expected one text each in {', '.join(MESSAGES)}")
    for fault in request.kernel.faults if request.kernel else ():
        if fault not in binding.FAULTS:
            known = ", ".join(binding.FAULTS)
            raise UserError(f"{path}: kernel.faults: {fault!r} is not one of {known}")
    return request


def _patched(patch: PatchSet, path: Path, before: Mapping[str, str]) -> dict[str, str]:
    """The sources as the patch leaves them. It has to fit to the letter: no line is looked for."""
    files = {str(Path(*name.split(".")).with_suffix(".py")): name for name in SOURCES}
    sources = dict(before)
    for file in patch:
        name = files.get(file.path.removeprefix(_PREFIX))
        if name is None or file.is_rename or file.is_removed_file:
            known = ", ".join(module.__name__.rpartition(".")[2] for module in MODULES)
            raise UserError(f"{path}: {file.path}: a fault changes no code but {known}")
        lines = sources[name].splitlines(keepends=True)
        # From the last on, so that the line numbers of those before stay what they are.
        for hunk in reversed(file):
            begin = hunk.source_start - 1
            end = begin + hunk.source_length
            if lines[begin:end] != _lines(hunk, "is_added"):
                where = f"{file.path}, line {hunk.source_start}"
                raise UserError(f"{path}: no longer applies: {where}: the code there is another")
            lines[begin:end] = _lines(hunk, "is_removed")
        sources[name] = "".join(lines)
    return sources


def _lines(hunk: Hunk, left_out: str) -> list[str]:
    return [line.value for line in hunk if not getattr(line, left_out)]

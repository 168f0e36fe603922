"""Experiments: a healthy config and its variants, each a patch, in one YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitrain import paths
from minitrain.config import Config, differing, parse, patched, read_yaml
from minitrain.errors import UserError

_KEYS = ("base", "variants", "seeds", "breaks")


@dataclass(frozen=True)
class Experiment:
    """A healthy config, `base`, and the patch that makes each variant of it.

    seeds: the seeds of each variant that the book shows.
    breaks: for each variant that carries a fault, the healthy variant it is one leaf away from.
    """

    id: str
    path: Path
    base: Config
    patches: Mapping[str, Mapping[str, Any]]
    seeds: Mapping[str, tuple[int, ...]]
    breaks: Mapping[str, str]

    def config(self, variant: str, changes: Mapping[str, Any] | None = None) -> Config:
        """The config of a variant, with further `changes` (dotted keys) on top.

        Raises `UserError` for an unknown variant and for changes that make no valid config.
        """
        if variant not in self.patches:
            known = ", ".join(self.patches)
            raise UserError(f"{self.path}: no variant {variant!r}; it has {known}")
        config = patched(self.base, self.patches[variant], f"{self.path}: variants.{variant}")
        return patched(config, changes, "--set") if changes else config

    def shown(self) -> dict[tuple[str, int], Config]:
        """The config of every run that the book shows, by variant and seed."""
        return {
            (variant, seed): self.config(variant, {"seed": seed})
            for variant, seeds in self.seeds.items()
            for seed in seeds
        }

    def variants(self) -> dict[str, Config]:
        """Every variant's config, in the order of the file."""
        return {name: self.config(name) for name in self.patches}


def load(experiment: str | Path) -> Experiment:
    """The experiment in a folder, or of that name under `experiments/`.

    Raises `UserError` naming the file and the field for anything that is wrong with it.
    """
    folder = Path(experiment)
    if not folder.is_dir() and (named := paths.course_root() / "experiments" / folder).is_dir():
        folder = named
    path = folder / "config.yaml"
    values = read_yaml(path)
    if not isinstance(values, Mapping):
        raise UserError(f"{path}: expected the keys {', '.join(_KEYS)}, got {values!r}")
    for key in values:
        if key not in _KEYS:
            raise UserError(f"{path}: {key}: unknown key (got {values[key]!r})")
    patches = values.get("variants")
    if not isinstance(patches, Mapping) or not patches:
        raise UserError(f"{path}: variants: expected at least one variant (got {patches!r})")
    for name, patch in patches.items():
        if patch is not None and not isinstance(patch, Mapping):
            raise UserError(f"{path}: variants.{name}: expected keys and values (got {patch!r})")
    loaded = Experiment(
        id=folder.resolve().name,
        path=path,
        base=parse(values.get("base"), f"{path}: base"),
        patches={str(name): patch or {} for name, patch in patches.items()},
        seeds=_seeds(path, values.get("seeds") or {}),
        breaks=_names(path, values.get("breaks") or {}),
    )
    _check(loaded)
    return loaded


def _seeds(path: Path, seeds: object) -> dict[str, tuple[int, ...]]:
    if not isinstance(seeds, Mapping) or not all(isinstance(s, list) for s in seeds.values()):
        raise UserError(f"{path}: seeds: expected a list for each variant (got {seeds!r})")
    return {str(variant): tuple(each) for variant, each in seeds.items()}


def _names(path: Path, breaks: object) -> dict[str, str]:
    if not isinstance(breaks, Mapping):
        raise UserError(f"{path}: breaks: expected names of variants (got {breaks!r})")
    return {str(broken): str(healthy) for broken, healthy in breaks.items()}


def _check(experiment: Experiment) -> None:
    """Find an impossible variant now, not when somebody asks for it."""
    experiment.variants()
    experiment.shown()
    for broken, healthy in experiment.breaks.items():
        leaves = differing(experiment.config(healthy), experiment.config(broken))
        if len(leaves) != 1:
            raise UserError(
                f"{experiment.path}: breaks.{broken}: must differ from {healthy} in one leaf"
                f" (got {', '.join(leaves) or 'none'})"
            )

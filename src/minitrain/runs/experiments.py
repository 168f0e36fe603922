"""Experiments: a healthy config, its variants, a grid of values and the seeds, in one YAML file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from minitrain.common import paths
from minitrain.common.errors import UserError
from minitrain.training.config import Config, differing, flat, parse, patched, read_yaml

_KEYS = ("base", "variants", "grid", "seeds", "breaks")

Grid = Mapping[str, Sequence[Any]]
"""The values that each key, dotted, is to take; the points are all their combinations."""


@dataclass(frozen=True)
class Point:
    """One run of an experiment: where it stands, and its config.

    coordinates: what the grid sets, by dotted key; empty if there is no grid.
    """

    experiment: str
    variant: str
    coordinates: Mapping[str, Any]
    seed: int
    config: Config


@dataclass(frozen=True)
class Experiment:
    """A healthy config, `base`, and the patch that makes each variant of it.

    grid: values that every variant takes in turn, in every combination.
    seeds: the seeds of each variant that the book shows.
    breaks: for each variant that carries a fault, the healthy variant it is one leaf away from.
    """

    id: str
    path: Path
    base: Config
    patches: Mapping[str, Mapping[str, Any]]
    grid: Grid
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

    def points(
        self,
        variants: Sequence[str] = (),
        *,
        seeds: Sequence[int] = (),
        grid: Grid | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> list[Point]:
        """Every run: variant by variant, every combination of the grid, every seed.

        Without arguments, the runs that the book shows. `variants` and `seeds` replace those of
        the file, `grid` its keys of the same name; `changes` (dotted keys) apply to every config.
        A variant for which the file lists no seeds has that of its own config. Raises `UserError`
        for whatever makes no valid config.
        """
        if seeds:
            _check_distinct(seeds, "--seeds")
        axes = {**self.grid, **_axes(grid or {}, "--grid")}
        grid_source = "--grid" if grid else f"{self.path}: grid"
        for key in changes or {}:
            if key in axes or key == "seed":
                option = "--seeds" if key == "seed" else "--grid"
                raise UserError(f"--set: {key}: the sweep sets it; give its values with {option}")
        found = []
        for variant in variants or self.seeds or self.patches:
            config = self.config(variant, changes)
            seed_source = "--seeds" if seeds else f"{self.path}: seeds.{variant}"
            for values in product(*axes.values()):
                at = patched(config, dict(zip(axes, values, strict=True)), grid_source)
                leaves = flat(at)
                coordinates = {key: leaves[key] for key in axes}
                for seed in seeds or self.seeds.get(variant, (config.seed,)):
                    seeded = patched(at, {"seed": seed}, seed_source)
                    found.append(Point(self.id, variant, coordinates, seed, seeded))
        return found

    def shown(self) -> dict[tuple[str, int], Config]:
        """The config of every run that the book shows, by variant and seed: if there is no grid."""
        if self.grid:
            raise UserError(f"{self.path}: grid: a variant and a seed do not name one run")
        return {(point.variant, point.seed): point.config for point in self.points()}

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
    patches = _patches(path, values.get("variants"))
    base = parse(values.get("base"), f"{path}: base")
    loaded = Experiment(
        id=folder.resolve().name,
        path=path,
        base=base,
        patches=patches,
        grid=_axes(values.get("grid") or {}, f"{path}: grid"),
        seeds=_seeds(path, values.get("seeds") or {}, patches),
        breaks=_names(path, values.get("breaks") or {}),
    )
    _check(loaded)
    return loaded


def _patches(path: Path, patches: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(patches, Mapping) or not patches:
        raise UserError(f"{path}: variants: expected at least one variant (got {patches!r})")
    for name, patch in patches.items():
        if patch is not None and not isinstance(patch, Mapping):
            raise UserError(f"{path}: variants.{name}: expected keys and values (got {patch!r})")
    return {str(name): patch or {} for name, patch in patches.items()}


def _axes(grid: object, source: str) -> dict[str, tuple[Any, ...]]:
    """The grid as tuples, none of them empty or with a value twice."""
    if not isinstance(grid, Mapping):
        raise UserError(f"{source}: expected a list of values for each key (got {grid!r})")
    for key, values in grid.items():
        if key == "seed":
            raise UserError(f"{source}: seed: seeds have a list of their own (got {values!r})")
        _check_distinct(values, f"{source}: {key}")
    return {str(key): tuple(values) for key, values in grid.items()}


def _seeds(path: Path, seeds: object, variants: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The seeds of each variant; one list is for all of them."""
    by_variant = dict.fromkeys(variants, seeds) if isinstance(seeds, list) else seeds
    if not isinstance(by_variant, Mapping):
        raise UserError(f"{path}: seeds: expected a list for each variant (got {seeds!r})")
    for variant, each in by_variant.items():
        _check_distinct(each, f"{path}: seeds.{variant}")
    return {str(variant): tuple(each) for variant, each in by_variant.items()}


def _check_distinct(values: object, source: str) -> None:
    if not isinstance(values, list | tuple) or not values:
        raise UserError(f"{source}: expected a list of values (got {values!r})")
    for i, value in enumerate(values):
        if value in values[:i]:
            raise UserError(f"{source}: is there twice (got {value!r})")


def _names(path: Path, breaks: object) -> dict[str, str]:
    if not isinstance(breaks, Mapping):
        raise UserError(f"{path}: breaks: expected names of variants (got {breaks!r})")
    return {str(broken): str(healthy) for broken, healthy in breaks.items()}


def _check(experiment: Experiment) -> None:
    """Find an impossible run now, not when somebody asks for it."""
    for variant, config in experiment.variants().items():
        for key in differing(experiment.base, config):
            if key in experiment.grid:
                raise UserError(f"{experiment.path}: grid: {key}: variants.{variant} sets it too")
    experiment.points()
    for broken, healthy in experiment.breaks.items():
        leaves = differing(experiment.config(healthy), experiment.config(broken))
        if len(leaves) != 1:
            raise UserError(
                f"{experiment.path}: breaks.{broken}: must differ from {healthy} in one leaf"
                f" (got {', '.join(leaves) or 'none'})"
            )

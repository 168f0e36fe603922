"""Experiments: a healthy config, its variants, a grid of values and the seeds, in one YAML file."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from minitrain.common import paths
from minitrain.common.errors import UserError
from minitrain.common.messages import Message, got, say, shortened, shown
from minitrain.runs import faults
from minitrain.runs.faults import Recipe
from minitrain.training.config import (
    Config,
    check_leaf,
    differing,
    flat,
    parse,
    patched,
    read_yaml,
)

# What an experiment or a variant may be called: a name that stands as it is in a table, a page, a
# path and a terminal.
LONGEST_NAME = 80
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}")
MOST_RUNS = 10_000  # of one experiment: far more than anybody would train

_KEYS = ("base", "variants", "grid", "seeds", "breaks", "faults")

Grid = Mapping[str, Sequence[Any]]
"""The values that each key, dotted, is to take; the points are all their combinations."""


@dataclass(frozen=True)
class Point:
    """One run of an experiment: where it stands, its config, and the fault in its code.

    coordinates: what the grid sets, by dotted key; empty if there is no grid.
    """

    experiment: str
    variant: str
    coordinates: Mapping[str, Any]
    seed: int
    config: Config
    fault: str | None = None

    @property
    def recipe(self) -> Recipe:
        """What a store is asked for."""
        return Recipe(self.config, self.fault)


@dataclass(frozen=True)
class Experiment:
    """A healthy config, `base`, and the patch that makes each variant of it.

    grid: values that every variant takes in turn, in every combination.
    seeds: the seeds of each variant that the book shows.
    breaks: for each variant that carries a fault, the healthy variant that it is one leaf or one
    pull request away from. faults: the pull request (see `faults`) that is in a variant's code.
    """

    id: str
    path: Path
    base: Config
    patches: Mapping[str, Mapping[str, Any]]
    grid: Grid
    seeds: Mapping[str, tuple[int, ...]]
    breaks: Mapping[str, str]
    faults: Mapping[str, str]

    def config(self, variant: str, changes: Mapping[str, Any] | None = None) -> Config:
        """The config of a variant, with further `changes` (dotted keys) on top.

        Raises `UserError` for an unknown variant and for changes that make no valid config.
        """
        if not isinstance(variant, str) or variant not in self.patches:
            known = ", ".join(self.patches)
            raise _wrong(self.path, say("no_variant", name=shown(variant), known=known))
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
                reason = say("sweep_sets_it", option=option)
                raise UserError(say("field", source="--set", field=key, reason=reason))
        for key, values in axes.items():
            check_leaf(key, values[0], grid_source)
        chosen = list(variants or self.seeds or self.patches)
        combinations = math.prod(len(values) for values in axes.values())
        number = sum(
            combinations * (len(seeds) or len(self.seeds.get(variant, (0,)))) for variant in chosen
        )
        if number > MOST_RUNS:
            reason = say("too_many_runs", number=number, limit=MOST_RUNS)
            raise UserError(say("at", source=grid_source, reason=reason))
        found = []
        for variant in chosen:
            config = self.config(variant, changes)
            seed_source = "--seeds" if seeds else f"{self.path}: seeds.{variant}"
            for values in product(*axes.values()):
                at = patched(config, dict(zip(axes, values, strict=True)), grid_source)
                leaves = flat(at)
                coordinates = {key: leaves[key] for key in axes}
                for seed in seeds or self.seeds.get(variant, (config.seed,)):
                    seeded = patched(at, {"seed": seed}, seed_source)
                    fault = self.faults.get(variant)
                    found.append(Point(self.id, variant, coordinates, seed, seeded, fault))
        return found

    def shown(self) -> dict[tuple[str, int], Config]:
        """The config of every run that the book shows, by variant and seed: if there is no grid."""
        if self.grid:
            raise _wrong(f"{self.path}: grid", say("not_one_run"))
        return {(point.variant, point.seed): point.config for point in self.points()}

    def variants(self) -> dict[str, Config]:
        """Every variant's config, in the order of the file."""
        return {name: self.config(name) for name in self.patches}


def load(experiment: str | Path) -> Experiment:
    """The experiment in a folder, or of that name under `experiments/`.

    Raises `UserError` naming the file and the field for anything that is wrong with it.
    """
    if not isinstance(experiment, str | Path):
        raise _wrong(shown(experiment), _bad_name("experiment_name"))
    folder = Path(experiment)
    named = paths.course_root() / "experiments" / folder
    if not paths.is_folder(folder) and paths.is_folder(named):
        folder = named
    path = folder / "config.yaml"
    values = read_yaml(path)
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise _wrong(shown(name), _bad_name("experiment_name"))
    if not isinstance(values, Mapping):
        raise _wrong(path, say("experiment_keys", keys=", ".join(_KEYS), value=shown(values)))
    for key in values:
        if key not in _KEYS:
            raise _wrong(f"{path}: {shortened(key)}", got(say("unknown_key"), values[key]))
    patches = _patches(path, values.get("variants"))
    base = parse(values.get("base"), f"{path}: base")
    loaded = Experiment(
        id=name,
        path=path,
        base=base,
        patches=patches,
        grid=_axes(_or_none(values.get("grid")), f"{path}: grid"),
        seeds=_seeds(path, _or_none(values.get("seeds")), patches),
        breaks=_names(path, "breaks", _or_none(values.get("breaks"))),
        faults=_names(path, "faults", _or_none(values.get("faults"))),
    )
    _check(loaded)
    return loaded


def _or_none(value: object) -> object:
    """A key without a value is one that is not there; any other value has to be right."""
    return {} if value is None else value


def _wrong(source: object, reason: Message) -> UserError:
    return UserError(say("at", source=source, reason=reason))


def _bad_name(key: str) -> Message:
    return say(key, limit=LONGEST_NAME)


def _patches(path: Path, patches: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(patches, Mapping) or not patches:
        raise _wrong(f"{path}: variants", got(say("one_variant"), patches))
    for name, patch in patches.items():
        if not _NAME.fullmatch(name):
            raise _wrong(f"{path}: variants: {shown(name)}", _bad_name("variant_name"))
        if patch is not None and not isinstance(patch, Mapping):
            raise _wrong(f"{path}: variants.{name}", got(say("no_section"), patch))
    return {name: patch or {} for name, patch in patches.items()}


def _axes(grid: object, source: str) -> dict[str, tuple[Any, ...]]:
    """The grid as tuples, none of them empty or with a value twice."""
    if not isinstance(grid, Mapping):
        raise _wrong(source, got(say("grid_lists"), grid))
    for key, values in grid.items():
        if key == "seed":
            raise _wrong(source, got(say("seeds_own_list"), values))
        _check_distinct(values, f"{source}: {shortened(key)}")
    return {key: tuple(values) for key, values in grid.items()}


def _seeds(path: Path, seeds: object, variants: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The seeds of each variant; one list is for all of them."""
    if isinstance(seeds, list):
        _check_distinct(seeds, f"{path}: seeds")
        return dict.fromkeys(variants, tuple(seeds))
    if not isinstance(seeds, Mapping):
        raise _wrong(f"{path}: seeds", got(say("seed_lists"), seeds))
    for variant, each in seeds.items():
        _check_distinct(each, f"{path}: seeds.{shortened(variant)}")
    return {variant: tuple(each) for variant, each in seeds.items()}


def _check_distinct(values: object, source: str) -> None:
    if not isinstance(values, list | tuple) or not values:
        raise _wrong(source, got(say("list_of_values"), values))
    if len(values) > MOST_RUNS:
        raise _wrong(source, say("too_many_runs", number=len(values), limit=MOST_RUNS))
    for i, value in enumerate(values):
        if value in values[:i]:
            raise _wrong(source, got(say("twice"), value))


def _names(path: Path, key: str, names: object) -> dict[str, str]:
    """What `breaks` or `faults` says: for variants, a name each."""
    message = "names_of_variants" if key == "breaks" else "names_of_faults"
    if not isinstance(names, Mapping):
        raise _wrong(f"{path}: {key}", got(say(message), names))
    for variant, name in names.items():
        if not isinstance(name, str):
            raise _wrong(f"{path}: {key}.{shortened(variant)}", got(say(message), name))
    return dict(names)


def _check(experiment: Experiment) -> None:
    """Find an impossible run now, not when somebody asks for it."""
    for variant, config in experiment.variants().items():
        for key in differing(experiment.base, config):
            if key in experiment.grid:
                reason = say("variant_sets_it", variant=f"variants.{variant}")
                raise _wrong(f"{experiment.path}: grid: {key}", reason)
    for variant, fault in experiment.faults.items():
        experiment.config(variant)
        faults.load(fault)
    experiment.points()
    for broken, healthy in experiment.breaks.items():
        apart = list(differing(experiment.config(healthy), experiment.config(broken)))
        if experiment.faults.get(healthy) != experiment.faults.get(broken):
            apart.append("code")
        if len(apart) != 1:
            reason = say("one_leaf", healthy=healthy)
            found = say("got", reason=reason, value=", ".join(apart) or "none")
            raise _wrong(f"{experiment.path}: breaks.{broken}", found)

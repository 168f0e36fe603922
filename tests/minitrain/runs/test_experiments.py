"""An experiment is a healthy config and patches; a break is a patch of one leaf."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from minitrain.common.errors import UserError
from minitrain.common.paths import course_root
from minitrain.runs import experiments
from minitrain.runs.experiments import Experiment, load
from minitrain.runs.faults import Recipe
from minitrain.training.config import Config, differing, flat

ROOT = Path(__file__).resolve().parents[3] / "experiments"
FOUND = sorted(path.parent.name for path in ROOT.glob("*/config.yaml"))

GOOD = """
base:
  seed: 1
  optimizer: {learning_rate: 0.01, weight_decay: 0.5}
variants:
  control: {}
  break: {optimizer: {weight_decay: 0.0}}
  empty:
breaks:
  break: control
"""

GRID = """
base: {seed: 5, optimizer: {learning_rate: 0.01, weight_decay: 0.5}}
variants: {one: {}, two: {model: {n_layer: 1}}}
grid:
  optimizer.weight_decay: [0, 1e-1]
  batch_size: [4, 8, 16]
"""

TWO = "base: {}\nvariants: {a: {}, b: {seed: 1, model: {n_layer: 1}}}\n"

LABS = [name for name in FOUND if "-break-" in name]
BREAKS = [(name, broken) for name in FOUND for broken in load(ROOT / name).breaks]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good experiment in it."""
    (tmp_path / "config.yaml").write_text(GOOD)
    return tmp_path


def wrong(folder: Path, content: str) -> str:
    """The one line that says what is wrong with this content."""
    (folder / "config.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        load(folder)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(folder / "config.yaml"))
    return message.removeprefix(f"{folder / 'config.yaml'}: ")


def test_the_course_has_experiments() -> None:
    assert FOUND
    assert course_root() / "experiments" == ROOT


@pytest.mark.parametrize("name", FOUND)
def test_every_experiment_shows_runs_and_none_of_them_twice(name: str) -> None:
    experiment = load(name)
    points = experiment.points()
    assert experiment.id == name
    assert points
    assert all(isinstance(config, Config) for config in experiment.variants().values())
    assert len({point.recipe for point in points}) == len(points)


@pytest.mark.parametrize("name", LABS)
def test_a_lab_has_a_break_and_its_control(name: str) -> None:
    experiment = load(name)
    assert experiment.breaks["break"] == "control"


@pytest.mark.parametrize(("name", "broken"), BREAKS)
def test_a_break_is_a_patch_of_one_leaf_or_of_the_code(name: str, broken: str) -> None:
    experiment = load(name)
    healthy = experiment.breaks[broken]
    a, b = flat(experiment.config(healthy)), flat(experiment.config(broken))
    leaves = len([key for key in a if a[key] != b[key]])
    assert leaves + (experiment.faults.get(healthy) != experiment.faults.get(broken)) == 1


@pytest.mark.parametrize("name", LABS)
def test_the_control_is_the_base(name: str) -> None:
    experiment = load(name)
    assert experiment.config("control") == experiment.base


@pytest.mark.parametrize("name", FOUND)
def test_the_base_writes_out_what_a_reader_will_want_to_change(name: str) -> None:
    written = yaml.safe_load((ROOT / name / "config.yaml").read_text())["base"]
    keys = {
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in written.items()
        for inner in (value if isinstance(value, dict) else [None])
    }
    assert keys <= set(flat(Config()))
    assert {"seed", "steps", "optimizer.learning_rate", "optimizer.weight_decay"} <= keys


@pytest.mark.parametrize("name", FOUND)
def test_no_two_variants_are_the_same_run(name: str) -> None:
    experiment = load(name)
    variants = experiment.variants()
    recipes = {Recipe(config, experiment.faults.get(v)) for v, config in variants.items()}
    assert len(recipes) == len(variants)


def test_variants_are_patches_on_the_base(folder: Path) -> None:
    experiment = load(folder)
    assert isinstance(experiment, Experiment)
    assert list(experiment.variants()) == ["control", "break", "empty"]
    assert experiment.config("control") == experiment.config("empty") == experiment.base
    assert differing(experiment.base, experiment.config("break")) == {
        "optimizer.weight_decay": (0.5, 0.0)
    }


def test_changes_come_on_top_of_a_variant(folder: Path) -> None:
    experiment = load(folder)
    config = experiment.config("break", {"seed": 7, "optimizer.weight_decay": 0.25})
    assert (config.seed, config.optimizer.weight_decay) == (7, 0.25)
    with pytest.raises(UserError, match=r"^--set: optimizer.lr: unknown key \(got 1\)"):
        experiment.config("break", {"optimizer.lr": 1})


def test_every_combination_of_a_grid_is_a_point_of_every_variant(folder: Path) -> None:
    (folder / "config.yaml").write_text(GRID + "seeds: [1, 2]\n")
    points = load(folder).points()
    expected = [
        (variant, weight_decay, batch_size, seed)
        for variant in ("one", "two")
        for weight_decay in (0.0, 0.1)
        for batch_size in (4, 8, 16)
        for seed in (1, 2)
    ]
    assert [(p.variant, *p.coordinates.values(), p.seed) for p in points] == expected
    for point in points:
        leaves = flat(point.config)
        assert set(point.coordinates) == {"optimizer.weight_decay", "batch_size"}
        assert {key: leaves[key] for key in point.coordinates} == point.coordinates
        assert (leaves["seed"], point.experiment) == (point.seed, folder.name)
        assert leaves["model.n_layer"] == {"one": 2, "two": 1}[point.variant]


def test_without_seeds_every_variant_has_that_of_its_config(folder: Path) -> None:
    (folder / "config.yaml").write_text("base: {seed: 3}\nvariants: {a: {}, b: {seed: 4}}\n")
    assert [(p.variant, p.seed, dict(p.coordinates)) for p in load(folder).points()] == [
        ("a", 3, {}),
        ("b", 4, {}),
    ]


def test_a_variant_that_the_file_gives_no_seeds_is_a_point_only_when_it_is_named(
    folder: Path,
) -> None:
    (folder / "config.yaml").write_text(GOOD + "seeds: {break: [7, 8]}\n")
    experiment = load(folder)
    assert [(p.variant, p.seed) for p in experiment.points()] == [("break", 7), ("break", 8)]
    assert [(p.variant, p.seed) for p in experiment.points(["control"])] == [("control", 1)]


def test_points_may_have_other_seeds_values_and_keys(folder: Path) -> None:
    (folder / "config.yaml").write_text(GRID + "seeds: [1, 2]\n")
    points = load(folder).points(
        ["two"],
        seeds=[9],
        grid={"batch_size": [2], "model.d_model": [8, 16]},
        changes={"steps": 300},
    )
    assert [(p.variant, p.seed, p.config.steps) for p in points] == [("two", 9, 300)] * 4
    assert list(points[0].coordinates) == ["optimizer.weight_decay", "batch_size", "model.d_model"]
    assert [tuple(p.coordinates.values()) for p in points] == [
        (0.0, 2, 8),
        (0.0, 2, 16),
        (0.1, 2, 8),
        (0.1, 2, 16),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variants": ["three"]}, "no variant 'three'; it has one, two"),
        ({"seeds": [1, 1]}, "--seeds: is there twice (got 1)"),
        ({"seeds": [-1]}, "--seeds: seed: "),
        ({"grid": {"seed": [1]}}, "--grid: seed: seeds have a list of their own"),
        ({"grid": {"steps": []}}, "--grid: steps: expected a list of values (got [])"),
        ({"grid": {"stpes": [1]}}, "--grid: stpes: unknown key (got 1)"),
        ({"grid": {"optimizer": [1]}}, "--grid: optimizer: is a section"),
        ({"changes": {"seed": 1}}, "--set: seed: the sweep sets it; give its values with --seeds"),
        ({"changes": {"batch_size": 1}}, "--set: batch_size: the sweep sets it"),
        ({"changes": {"stpes": 1}}, "--set: stpes: unknown key (got 1)"),
    ],
)
def test_impossible_points_are_one_line(
    folder: Path, arguments: dict[str, Any], message: str
) -> None:
    (folder / "config.yaml").write_text(GRID)
    with pytest.raises(UserError) as error:
        load(folder).points(**arguments)
    assert str(error.value).removeprefix(f"{folder / 'config.yaml'}: ").startswith(message)


def test_what_is_shown_has_a_name_only_without_a_grid(folder: Path) -> None:
    (folder / "config.yaml").write_text(GOOD + "seeds: [7, 8]\n")
    experiment = load(folder)
    assert list(experiment.shown()) == [(v, s) for v in experiment.patches for s in (7, 8)]
    assert experiment.shown()["break", 8] == experiment.config("break", {"seed": 8})
    (folder / "config.yaml").write_text(GRID)
    with pytest.raises(UserError, match="grid: a variant and a seed do not name one run"):
        load(folder).shown()


def test_an_unknown_variant_is_named_with_those_there_are(folder: Path) -> None:
    with pytest.raises(UserError, match="no variant 'brake'; it has control, break, empty"):
        load(folder).config("brake")


def test_an_experiment_is_found_by_name_and_by_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = folder / "course"
    (course / "experiments" / "99-made-up").mkdir(parents=True)
    (course / "experiments" / "99-made-up" / "config.yaml").write_text(GOOD)
    (course / "book" / "en").mkdir(parents=True)
    monkeypatch.chdir(course / "book" / "en")
    assert load("99-made-up").base == load(course / "experiments" / "99-made-up").base
    monkeypatch.chdir(course / "experiments")
    assert load("./99-made-up").id == load(".//99-made-up/").id == "99-made-up"


def test_a_missing_experiment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file") as error:
        load(tmp_path / "nothing")
    assert str(tmp_path / "nothing" / "config.yaml") in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- base", "expected the keys base, variants, grid, seeds, breaks, faults, got ['base']"),
        ("", "expected the keys base, variants, grid, seeds, breaks, faults, got None"),
        ("base: [", "not YAML: "),
        (GOOD + "\nextra: 3\n", "extra: unknown key (got 3)"),
        ("base: {seed: 1}\n", "variants: expected at least one variant (got None)"),
        ("base: {}\nvariants: {}\n", "variants: expected at least one variant (got {})"),
        ("base: {}\nvariants: {a: 3}\n", "variants.a: expected keys and values (got 3)"),
        ("variants: {a: {}}\n", "base: expected keys and values (got None)"),
        ("base: {sede: 1}\nvariants: {a: {}}\n", "base: sede: unknown key (got 1)"),
        ("base: {}\nvariants: {a: {seed: x}}\n", "variants.a: seed: "),
        ("base: {}\nvariants: {a: {sede: 1}}\n", "variants.a: sede: unknown key (got 1)"),
        ("base: {}\nvariants: {a: {model: 1}}\n", "variants.a: model: is a section"),
        ("base: {}\nvariants: {a: {steps: 10}}\n", "variants.a: config: schedule.warmup_steps"),
        (TWO + "seeds: false\n", "seeds: expected a list for each variant (got False)"),
        (TWO + "seeds: 0\n", "seeds: expected a list for each variant (got 0)"),
        (TWO + "seeds: []\n", "seeds: expected a list of values (got [])"),
        (TWO + "seeds: {a: [{}]}\n", "seeds.a: seed: expected a value"),
        (TWO + "grid: {model: [{n_layer: 1}]}\n", "grid: model: is a section, not a value"),
        (TWO + "grid: {steps: [{}]}\n", "grid: steps: expected a value"),
        (
            TWO
            + "grid: {"
            + ", ".join(
                f"optimizer.{k}: {[i / 1e4 for i in range(1, 101)]}"
                for k in ("eps", "weight_decay", "learning_rate", "gradient_clip")
            )
            + "}\n",
            "grid: 200000000 runs, more than 10000",
        ),
        (TWO + "breaks: {b: }\n", "breaks.b: expected names of variants (got None)"),
        (TWO + "breaks: {b: [a]}\n", "breaks.b: expected names of variants (got ['a'])"),
        ("base: {}\nvariants: {a: {seed: {}}}\n", "variants.a: seed: expected a value"),
        ("base: {seed: 1, seed: 2}\n", "not YAML: the key 'seed' is there twice (line 1)"),
        ("base: {}\nvariants: {'=1+2': {}}\n", "variants: '=1+2': not the name of a variant"),
        ("base: {}\nvariants: {'<b>': {}}\n", "variants: '<b>': not the name of a variant"),
        ('base: {}\nvariants: {"\\e[1m": {}}\n', "variants: '\\x1b[1m': not the name of"),
        (TWO + "breaks: 3\n", "breaks: expected names of variants (got 3)"),
        (TWO + "seeds: {a: 1}\n", "seeds.a: expected a list of values (got 1)"),
        (TWO + "seeds: 1\n", "seeds: expected a list for each variant (got 1)"),
        (TWO + "seeds: {a: []}\n", "seeds.a: expected a list of values (got [])"),
        (TWO + "seeds: {a: [1, 2, 1]}\n", "seeds.a: is there twice (got 1)"),
        (TWO + "seeds: {a: [x]}\n", "seeds.a: seed: "),
        (TWO + "grid: [1]\n", "grid: expected a list of values for each key (got [1])"),
        (TWO + "grid: {steps: 1}\n", "grid: steps: expected a list of values (got 1)"),
        (TWO + "grid: {steps: []}\n", "grid: steps: expected a list of values (got [])"),
        (TWO + "grid: {steps: [300, 300]}\n", "grid: steps: is there twice (got 300)"),
        (TWO + "grid: {steps: [many]}\n", "grid: steps: "),
        (TWO + "grid: {steps: [1000, 50]}\n", "grid: config: schedule.warmup_steps"),
        (TWO + "grid: {stpes: [300]}\n", "grid: stpes: unknown key (got 300)"),
        (TWO + "grid: {seed: [300]}\n", "grid: seed: seeds have a list of their own (got [300])"),
        (TWO + "grid: {optimizer: [1]}\n", "grid: optimizer: is a section, not a value (got 1)"),
        (TWO + "grid: {model.n_layer: [2]}\n", "grid: model.n_layer: variants.b sets it too"),
        (TWO + "seeds: {c: [1]}\n", "no variant 'c'; it has a, b"),
        (TWO + "breaks: {b: c}\n", "no variant 'c'; it has a, b"),
        (TWO + "breaks: {c: a}\n", "no variant 'c'; it has a, b"),
        (
            TWO + "breaks: {a: a}\n",
            "breaks.a: must differ from a in one leaf, or in its code (got none)",
        ),
        (
            TWO + "breaks: {b: a}\n",
            "breaks.b: must differ from a in one leaf, or in its code (got seed, model.n_layer)",
        ),
    ],
)
def test_what_is_wrong_with_an_experiment_is_said_in_one_line(
    folder: Path, content: str, message: str
) -> None:
    assert wrong(folder, content).startswith(message)


@pytest.mark.parametrize("name", ["=1+2", "<b>x", "\x1b[1m", "x" * 81])
def test_an_experiment_has_a_name_that_can_stand_anywhere(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.yaml").write_text(GOOD)
    with pytest.raises(UserError, match="not the name of an experiment") as caught:
        load(tmp_path / name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [None, 5, "x" * 300, "y/" * 3000, "a\0b"])
def test_what_cannot_name_an_experiment_is_one_line(name: Any) -> None:
    with pytest.raises(UserError) as caught:
        load(name)
    assert len(str(caught.value)) < 500


def test_a_variant_may_have_a_number_for_a_name(folder: Path) -> None:
    (folder / "config.yaml").write_text("base: {}\nvariants: {1: {seed: 2}}\n")
    assert experiments.load(folder).config("1").seed == 2

"""An experiment is a healthy config and patches; a break is a patch of one leaf."""

from pathlib import Path

import pytest
import yaml

from minitrain import experiments
from minitrain.config import Config, differing, flat
from minitrain.errors import UserError
from minitrain.experiments import Experiment, load
from minitrain.paths import course_root

ROOT = Path(__file__).resolve().parents[2] / "experiments"
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

TWO = "base: {}\nvariants: {a: {}, b: {seed: 1, model: {n_layer: 1}}}\n"

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
def test_every_experiment_has_a_break_and_its_control(name: str) -> None:
    experiment = load(name)
    assert all(isinstance(config, Config) for config in experiment.variants().values())
    assert experiment.breaks["break"] == "control"
    assert experiment.id == name


@pytest.mark.parametrize(("name", "broken"), BREAKS)
def test_a_break_is_a_patch_of_one_leaf(name: str, broken: str) -> None:
    experiment = load(name)
    healthy = experiment.breaks[broken]
    a, b = flat(experiment.config(healthy)), flat(experiment.config(broken))
    assert len([key for key in a if a[key] != b[key]]) == 1


@pytest.mark.parametrize("name", FOUND)
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
    variants = load(name).variants()
    assert len(set(variants.values())) == len(variants)


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
    with pytest.raises(UserError, match=r"^--set: optimizer.lr: unknown key \(got 1\)$"):
        experiment.config("break", {"optimizer.lr": 1})


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
        ("- base", "expected the keys base, variants, grid, seeds, breaks, got ['base']"),
        ("", "expected the keys base, variants, grid, seeds, breaks, got None"),
        ("base: [", "not YAML: "),
        (GOOD + "\nextra: 3\n", "extra: unknown key (got 3)"),
        ("base: {seed: 1}\n", "variants: expected at least one variant (got None)"),
        ("base: {}\nvariants: {}\n", "variants: expected at least one variant (got {})"),
        ("base: {}\nvariants: {a: 3}\n", "variants.a: expected keys and values (got 3)"),
        ("variants: {a: {}}\n", "base: expected keys and values, got None"),
        ("base: {sede: 1}\nvariants: {a: {}}\n", "base: sede: unknown key (got 1)"),
        ("base: {}\nvariants: {a: {seed: x}}\n", "variants.a: seed: "),
        ("base: {}\nvariants: {a: {sede: 1}}\n", "variants.a: sede: unknown key (got 1)"),
        ("base: {}\nvariants: {a: {model: 1}}\n", "variants.a: model: is a section"),
        ("base: {}\nvariants: {a: {steps: 10}}\n", "variants.a: config: schedule.warmup_steps"),
        (TWO + "breaks: 3\n", "breaks: expected names of variants (got 3)"),
        (TWO + "seeds: {a: 1}\n", "seeds.a: expected a list of values (got 1)"),
        (TWO + "seeds: {c: [1]}\n", "no variant 'c'; it has a, b"),
        (TWO + "breaks: {b: c}\n", "no variant 'c'; it has a, b"),
        (TWO + "breaks: {c: a}\n", "no variant 'c'; it has a, b"),
        (TWO + "breaks: {a: a}\n", "breaks.a: must differ from a in one leaf (got none)"),
        (
            TWO + "breaks: {b: a}\n",
            "breaks.b: must differ from a in one leaf (got seed, model.n_layer)",
        ),
    ],
)
def test_what_is_wrong_with_an_experiment_is_said_in_one_line(
    folder: Path, content: str, message: str
) -> None:
    assert wrong(folder, content).startswith(message)


def test_a_variant_may_have_a_number_for_a_name(folder: Path) -> None:
    (folder / "config.yaml").write_text("base: {}\nvariants: {1: {seed: 2}}\n")
    assert experiments.load(folder).config("1").seed == 2

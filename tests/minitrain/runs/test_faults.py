"""Faults in code: what a patch makes of the sources, and who trains a run under it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minitrain.common.errors import UserError
from minitrain.runs import code, engines, experiments, faults, patched
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Store, address
from minitrain.training.config import Config

MakeConfig = Callable[..., Config]
NAMES = faults.names()
ROOT = Path(faults.__file__).resolve().parents[3]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of faults that a test may fill."""
    monkeypatch.setattr(faults, "folder", lambda: tmp_path)
    faults.load.cache_clear()
    yield tmp_path
    faults.load.cache_clear()


def patch_of(old: str, new: str, file: str = "src/minitrain/training/schedule.py") -> str:
    lines = code.SOURCES["minitrain.training.schedule"].splitlines()
    number = lines.index(old) + 1 if old in lines else 1
    return f"--- a/{file}\n+++ b/{file}\n@@ -{number},1 +{number},1 @@\n-{old}\n+{new}\n"


def write(folder: Path, patch: str, request: str = "") -> None:
    (folder / "one.patch").write_text(patch)
    title = "{en: A title, es: Un título}"
    (folder / "one.yaml").write_text(request or f"title: {title}\ndescription: {title}\n")


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_applies_and_changes_the_code(name: str) -> None:
    fault = faults.load(name)
    assert fault.code != code.training_code()
    for module, source in fault.sources.items():
        compile(source, module, "exec")


@pytest.mark.parametrize("name", NAMES)
def test_a_pull_request_is_a_few_hunks_with_a_text_in_both_languages(name: str) -> None:
    fault = faults.load(name)
    assert 2 <= sum(len(file) for file in fault.patch) <= 8
    for texts in (fault.request.title, fault.request.description):
        assert texts["en"] != texts["es"]


@pytest.mark.parametrize("name", NAMES)
def test_the_code_of_a_fault_is_as_tidy_as_ours(name: str) -> None:
    """A fault that shows by its formatting is none."""
    for module, source in faults.load(name).sources.items():
        path = Path("src", *module.split(".")).with_suffix(".py")
        for command in (["check"], ["format", "--check"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--stdin-filename", path, "-"],
                cwd=ROOT,
                input=source,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout


def test_the_address_contains_the_patch(small: MakeConfig) -> None:
    addresses = {address(Recipe(small(), name)) for name in (None, *NAMES)}
    assert len(addresses) == len(NAMES) + 1
    assert address(Recipe(small())) == address(small())


def test_the_kernel_with_a_fault_computes_what_pytorch_does_under_the_patch(
    small: MakeConfig, tmp_path: Path
) -> None:
    """Of one fault, in a store; `test_equal` compares all of them, record by record."""
    recipe = Recipe(small(), "optimizer-by-name")
    ours = Store(tmp_path / "a", engine="pytorch").get(recipe)
    theirs = Store(tmp_path / "b", engine="kernel").get(recipe)
    assert (ours.engine, theirs.engine) == ("pytorch", "kernel")
    assert ours.path.name == theirs.path.name
    assert ours.fingerprint == theirs.fingerprint
    assert ours.code == theirs.code == faults.load("optimizer-by-name").code


def test_a_run_under_a_patch_says_how_far_it_is_and_is_trained_once(
    small: MakeConfig, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    store = Store(tmp_path, engine="pytorch")
    recipe = Recipe(small(), "decay-by-name")
    for _ in range(2):
        run = store.get(recipe, lambda remote: told.append((remote.step, len(remote.records))))
    assert [step for step, _ in told] == list(range(1, recipe.config.steps + 1))
    assert told[-1][1] == len(run.records)


def test_what_another_process_has_to_say_is_one_line(small: MakeConfig, tmp_path: Path) -> None:
    sources = {**code.SOURCES, "minitrain.training.schedule": "x = "}
    with pytest.raises(UserError, match="under a patch: SyntaxError") as caught:
        patched.train(small(), sources, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_patch_that_no_longer_applies_is_named_in_one_line(elsewhere: Path) -> None:
    write(elsewhere, patch_of("    what = was_here_before", "    x = 1"))
    with pytest.raises(UserError, match=r"one\.patch: no longer applies: .*schedule.py, line 1: "):
        faults.load("one")


def test_a_fault_changes_no_other_code(elsewhere: Path) -> None:
    write(elsewhere, patch_of("x", "y", "src/minitrain/runs/store.py"))
    with pytest.raises(UserError, match=r"runs/store\.py: a fault changes no code but corpus, "):
        faults.load("one")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("title: 3\n", "title: Input should be a valid dict"),
        (
            "title: {en: a}\ndescription: {en: b, es: c}\n",
            "title: expected one text each in en, es",
        ),
        (
            "title: {en: a, es: b}\ndescription: {en: a, es: b}\nkernel: {faults: [x]}\n",
            "kernel.faults: 'x' is not one of wide_embedding, no_causal_mask",
        ),
    ],
)
def test_a_request_that_is_not_as_written_is_named(
    elsewhere: Path, values: str, message: str
) -> None:
    write(elsewhere, patch_of("import math", "import math as m"), values)
    with pytest.raises(UserError, match=f"one.yaml: {message}"):
        faults.load("one")


def test_a_fault_that_the_kernel_does_not_know_is_trained_by_pytorch_alone(
    elsewhere: Path, small: MakeConfig
) -> None:
    write(elsewhere, patch_of("import math", "import math  # the same"))
    recipe = Recipe(small(), "one")
    assert engines.choose(recipe) is None
    with pytest.raises(UserError, match=r"the kernel does not train this run: .* fault one"):
        engines.choose(recipe, wanted="kernel")


@pytest.mark.parametrize("name", ["no-such", "../one", "One", ""])
def test_an_unknown_fault_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"fault .*: is not one of attend-to-real-tokens, "):
        faults.load(name)


def test_an_experiment_may_break_the_code_or_a_leaf_and_not_both(tmp_path: Path) -> None:
    text = (
        "variants: {{a: {{}}, b: {patch}}}\nseeds: [1]\n"
        "faults: {{b: decay-by-name}}\nbreaks: {{b: a}}\n"
    )
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "config.yaml").write_text("base: {steps: 200}\n" + text.format(patch="{}"))
    points = experiments.load(folder).points()
    assert [point.fault for point in points] == [None, "decay-by-name"]
    (folder / "config.yaml").write_text("base: {steps: 200}\n" + text.format(patch="{steps: 300}"))
    with pytest.raises(UserError, match=r"breaks\.b: must differ from a in one leaf, or in its"):
        experiments.load(folder)

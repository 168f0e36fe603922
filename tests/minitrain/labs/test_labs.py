"""A lab's check proves what it says, and speaks the reader's language only to a reader."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minitrain.common.errors import UserError
from minitrain.labs import lab as labs
from minitrain.labs import texts, workbench
from minitrain.labs.lab import Lab
from minitrain.runs import engines
from minitrain.runs.store import Store
from minitrain.training.config import flat, patched

CONFIG = """
base:
  steps: 12
  batch_size: 4
  eval_interval: 6
  model: {n_layer: 1, n_head: 2, d_model: 8}
  optimizer: {learning_rate: 0.01, weight_decay: 1.0}
  schedule: {warmup_steps: 2}
variants:
  control: {}
  break: {optimizer: {weight_decay: 0.0}}
breaks:
  break: control
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "config.yaml").write_text(CONFIG)
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "runs"))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return Lab(str(tmp_path / "lab"))


def test_the_right_leaf_and_value_is_found_by_fingerprint(lab: Lab) -> None:
    check = lab.check("optimizer.weight_decay=1.0")
    left, sign, right = check.evidence.split()
    assert check.found
    assert (sign, left) == ("=", right)


def test_spaces_around_the_parts_of_an_answer_do_not_matter(lab: Lab) -> None:
    assert lab.check(" optimizer.weight_decay = 1.0 ").found


def test_the_right_leaf_with_another_value_is_another_run(lab: Lab) -> None:
    check = lab.check("optimizer.weight_decay=0.5")
    left, sign, right = check.evidence.split()
    assert not check.found
    assert sign == "≠"
    assert left != right


@pytest.mark.parametrize(
    "answer",
    ["seed=7", "optimizer.betas=[0.9, 0.999]", "optimizer.weight_decay=0.0", "model.n_layer=2"],
)
def test_a_leaf_that_is_not_to_blame_is_rejected_without_training(lab: Lab, answer: str) -> None:
    assert not lab.check(answer).found
    assert not list(Store().root.glob("*"))


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("wieght_decay=1", "did you mean optimizer.weight_decay?"),
        ("optimizer={weight_decay: 1.0}", "optimizer: is a section"),
        ("model={}", "model: is a section"),
        ("optimizer.weight_decay=!!float x", "no tags"),
        ("optimizer=&a {b: *a}", "no anchors"),
        ("optimizer.weight_decay=" + "[" * 500, "more than 20 levels"),
        (None, "expected text"),
        (5, "expected text"),
        (b"seed=1", "expected text"),
        (["seed=1"], "expected text"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay"),
        ("optimizer=1", "optimizer"),
        ("optimizer.weight_decay", "optimizer.weight_decay"),
        ("", "answer '': expected KEY=VALUE"),
        (" = 1", "answer ' = 1': expected KEY=VALUE"),
    ],
)
def test_an_answer_that_is_no_change_is_one_line(lab: Lab, answer: str, field: str) -> None:
    with pytest.raises(UserError) as caught:
        lab.check(answer)
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_last_part_of_a_key_is_enough_if_there_is_only_one(lab: Lab) -> None:
    check = lab.check("weight_decay=1.0")
    assert check.found
    assert check.answer == "optimizer.weight_decay=1.0"


def test_the_broken_runs_own_value_is_no_answer(lab: Lab) -> None:
    assert lab.check("optimizer.weight_decay=0.0").evidence == "break 0.0 = 0.0"


@pytest.mark.parametrize("broken", ["nope", "", None, "control", ["break"]])
def test_a_lab_without_its_fault_is_one_line(lab: Lab, broken: Any) -> None:
    for call in (lambda each: each.check("seed=1"), lambda each: each.control):
        with pytest.raises(UserError, match=r"no variant .* with a fault; it has break"):
            call(Lab(lab.experiment, broken))


@pytest.mark.parametrize("experiment", [None, 5, "x" * 300, "nope"])
def test_a_lab_without_its_experiment_is_one_line(experiment: Any) -> None:
    for call in (lambda each: each.check("seed=1"), lambda each: each.config("control")):
        with pytest.raises(UserError):
            call(Lab(experiment))


def test_the_check_compares_a_run_trained_now_not_the_stored_one_with_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.check("optimizer.weight_decay=1.0")
    kernel = engines.kernel()
    other = replace(kernel, start=lambda config: kernel.start(patched(config, {"seed": 1})))
    monkeypatch.setattr(engines, "choose", lambda config: other)
    assert not lab.check("optimizer.weight_decay=1.0").found


@pytest.mark.parametrize(
    ("session", "language"),
    [
        (None, None),
        ("/home/ana/course/labs/es/18-the-run-that-remembers.ipynb", "es"),
        ("labs/en/18-the-run-that-remembers.ipynb", "en"),
        ("elsewhere/lab.ipynb", "en"),
    ],
)
def test_the_language_is_that_of_the_open_notebook(
    session: str | None, language: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if session:
        monkeypatch.setenv("JPY_SESSION_NAME", session)
    assert labs.session_language() == language


def test_a_verdict_has_a_sentence_only_when_a_reader_is_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = lab.check("seed=7")
    monkeypatch.setenv("JPY_SESSION_NAME", "labs/es/lab.ipynb")
    spoken = lab.check("seed=7")
    assert quiet.message is None
    assert spoken.message == texts.fill("es", "same", key="seed", healthy=42)
    assert spoken.evidence == "control 42 = break 42"
    assert repr(quiet) == quiet.verdict == spoken.verdict
    assert repr(spoken) == f"{quiet!r}\n{spoken.message}"


def test_a_notebook_shows_one_line_in_its_language_and_no_traceback(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "labs/es/lab.ipynb")
    with pytest.raises(UserError) as error:
        lab.check("weigth_decay=1")
    (line,) = error.value._render_traceback_()
    assert "clave desconocida" in line


def test_in_a_build_the_workbench_lists_the_suspects_without_their_values(lab: Lab) -> None:
    assert repr(workbench.workbench(lab)).split() == list(flat(lab.config("break")))

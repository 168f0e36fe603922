"""A case without a browser: its answers, its repairs, its bench in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from minitrain.common.errors import UserError
from minitrain.common.messages import MESSAGES
from minitrain.labs import case as cases
from minitrain.labs.bench import Bench
from minitrain.labs.bench_texts import BENCH, CASE
from minitrain.labs.case import Case
from minitrain.labs.instruments import INSTRUMENTS
from minitrain.labs.splice import source_of, spliced
from minitrain.labs.workbench import Workbench, workbench
from minitrain.runs import faults
from minitrain.runs.code import SOURCES
from minitrain.training import schedule

CONFIG = """
base:
  steps: {steps}
  batch_size: 4
  eval_interval: {steps}
  model: {{n_layer: 1, n_head: 2, d_model: 8}}
  optimizer: {{learning_rate: 0.01, weight_decay: 1.0}}
  schedule: {{warmup_steps: 2}}
variants:
  healthy: {{}}
  sick: {{}}
  fine: {{}}
seeds: [42, 1]
faults: {{sick: optimizer-by-name, fine: schedule-in-two-phases}}
breaks: {{sick: healthy, fine: healthy}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "runs"))
    monkeypatch.setattr(cases, "FIRST_LOOK", 6)
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "config.yaml").write_text(CONFIG.format(steps=8))
    return tmp_path / "case"


@pytest.fixture
def case(folder: Path) -> Case:
    return Case(str(folder))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits before a notebook in Spanish."""
    monkeypatch.setenv("JPY_SESSION_NAME", "labs/es/case.ipynb")


def right_line(case: Case) -> str:
    ((file, line),) = case.fault.wrong
    return f"{file}:{line}"


@pytest.mark.usefixtures("reader")
def test_an_answer_is_told_what_contradicts_it(case: Case) -> None:
    right = case.check(f"  {right_line(case)} ")
    assert right.found
    assert CASE["es"]["right_line"] in repr(right)
    file, _, line = right_line(case).partition(":")
    said = {
        f"{file}:{int(line) + 2}": "conserva esa línea",
        f"{file}:{int(line) + 3}": "cuándo se llega a ella",
        f"{file}:1": "no escribió esa línea",
        "nada": "no termina en los mismos bytes",
        "seed=42": "no es esa hoja",
    }
    for answer, sentence in said.items():
        wrong = case.check(answer)
        assert not wrong.found
        assert sentence in repr(wrong), answer


def test_without_a_reader_a_verdict_has_no_sentence(case: Case) -> None:
    verdict = repr(case.check(right_line(case)))
    assert verdict == f'✓ {right_line(case)}   if self.name == "decoupled":'


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("optim.py:100000", "optim.py:100000: the training code has no such line"),
        ("nosuch.py:1", "nosuch.py:1: the training code has no such line"),
        ("optim.py", "answer 'optim.py': expected a line such as"),
        ("", "answer '': expected a line such as"),
        (None, "answer None: expected a line such as"),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(case: Case, answer: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        case.check(answer)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("reader")
def test_of_a_healthy_patient_nothing_is_the_answer(folder: Path) -> None:
    case = Case(str(folder), broken="fine")
    assert case.check("nothing").found
    verdict = case.check("schedule.py:14")
    assert not verdict.found
    assert "la ejecución es la misma" in repr(verdict)


@pytest.mark.usefixtures("reader")
def test_a_repair_is_trained_and_the_hash_decides(case: Case) -> None:
    unchanged = case.repair("schedule.learning_rate", schedule.learning_rate)
    assert not unchanged.found
    assert "sigue siendo la ejecución enferma" in repr(unchanged)

    other = case.repair("schedule.learning_rate", learning_rate)
    assert not other.found
    assert "ni la enferma ni la sana" in repr(other)
    mended = case.repair("optim.Adam.step", step)
    assert mended.found
    assert "es la ejecución sana" in repr(mended)


def learning_rate(step, config):  # type: ignore[no-untyped-def]
    return 0.5 * config.optimizer.learning_rate


def step(self, learning_rate):  # type: ignore[no-untyped-def]
    self.steps += 1
    beta1, beta2 = self.betas
    correction1, correction2 = 1 - beta1**self.steps, 1 - beta2**self.steps
    for group in self.groups:
        theta, g = group.values, group.gradients
        m, v = group.first_moment, group.second_moment
        if self.name != "adam":
            theta.mul_(1 - learning_rate * group.weight_decay)
        else:
            g = g + group.weight_decay * theta
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        denominator = v.sqrt().mul_(correction2**-0.5).add_(self.eps)
        theta.addcdiv_(m, denominator, value=-learning_rate / correction1)


@pytest.mark.parametrize(
    ("place", "function", "message"),
    [
        ("optim.Adam", step, "expected a function of the training code"),
        ("optim.Adam.stride", step, "expected a function of the training code"),
        ("nosuch.step", step, "expected a function of the training code"),
        ("optim.Adam.step", learning_rate, "expected a function called step"),
        ("optim.Adam.step", len, "expected a function written in a cell"),
        ("optim.Adam.step", "def step(): pass", "expected a function written in a cell"),
    ],
)
def test_a_repair_that_is_none_is_refused_in_one_line(
    case: Case, place: str, function: Callable[..., object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        case.repair(place, function)
    assert "\n" not in str(caught.value)


def test_a_repair_that_raises_is_one_line(case: Case) -> None:
    def step(self, learning_rate):  # type: ignore[no-untyped-def]
        raise ValueError("no step")

    with pytest.raises(UserError, match="under a patch: ValueError: no step"):
        case.repair("optim.Adam.step", step)


def test_what_is_spliced_in_is_the_function_and_nothing_else() -> None:
    sources = faults.load("optimizer-by-name").sources
    for place in ("optim.Adam.step", "schedule.learning_rate", "metrics.judge"):
        text = source_of(sources, place)
        compile(text, place, "exec")
        assert text.lstrip("@").startswith(("def", "torch.no_grad"))
    assert spliced(SOURCES, "schedule.learning_rate", schedule.learning_rate) == dict(SOURCES)


def test_in_a_book_the_bench_prints_the_pull_request(case: Case) -> None:
    shown = repr(workbench(case))
    assert right_line(case).split(":")[1] in shown
    for line in ("── loop.py", "── optim.py", "  84 +         name=config.optimizer.name,"):
        assert line in shown
    assert shown.count("⋮") == sum(len(file) for file in case.fault.patch) - 1


def test_an_instrument_that_there_is_not_is_named(case: Case) -> None:
    with pytest.raises(UserError, match="no instrument is called 'loupe'; there are initial_loss,"):
        case.instrument("loupe")


def test_both_languages_have_the_same_sentences() -> None:
    for table in (BENCH, CASE):
        assert list(table["en"]) == list(table["es"])
        assert set(table) == set(MESSAGES)
        for key, text in table["en"].items():
            in_braces = [set(re.findall(r"\{(\w+)\}", said)) for said in (text, table["es"][key])]
            assert in_braces[0] == in_braces[1]


# -------------------------------------------------------------------------- the bench in JupyterLab


def press(panel: Workbench, bench: Bench, name: str) -> str:
    index = list(INSTRUMENTS).index(name)
    button, line = bench.panel.children[2].children[1 + index].children
    button.click()
    assert panel.worker
    panel.worker.join(120)
    return str(line.value)


@pytest.mark.usefixtures("reader")
def test_the_bench_counts_what_is_used_and_an_answer_is_told_the_score(case: Case) -> None:
    panel = Workbench(case, "es")
    bench = panel.bench
    assert BENCH["es"]["not_used"] in bench.score.value
    bench.panel.selected_index = 0
    assert "Adam recibe el nombre" in bench.panel.titles[0]
    assert "✗" in press(panel, bench, "zero_gradient")
    assert "✓" in press(panel, bench, "repeatable")
    assert "✗" in press(panel, bench, "zero_gradient")
    panel.answer.value = "nada"
    panel.check.click()
    panel.worker.join(120)
    assert "Instrumentos usados, 2: zero_gradient, repeatable" in bench.score.value
    panel.answer.value = right_line(case)
    panel.check.click()
    panel.worker.join(120)
    assert "Encontrado. Instrumentos: 2; respuestas: 2." in bench.score.value


@pytest.mark.usefixtures("reader")
def test_training_under_edits_trains_the_sick_code(case: Case) -> None:
    panel = Workbench(case, "es")
    panel.train.click()
    assert panel.worker
    panel.worker.join(180)
    assert "Es la huella de la ejecución enferma" in panel.status.value
    assert panel.bench.used == ["edits"]

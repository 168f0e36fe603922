"""The panel of a lab, without a browser: what its buttons do, and what it says."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from minitrain.common import paths
from minitrain.labs import lab as labs
from minitrain.labs import texts, workbench
from minitrain.labs.lab import Lab
from minitrain.labs.workbench import Pace, Workbench

CONFIG = """
base:
  steps: {steps}
  batch_size: 4
  eval_interval: {steps}
  model: {{n_layer: 1, n_head: 2, d_model: 8}}
  optimizer: {{learning_rate: 0.01, weight_decay: 1.0}}
  schedule: {{warmup_steps: 2}}
variants:
  control: {{}}
  break: {{optimizer: {{weight_decay: 0.0}}}}
breaks:
  break: control
"""


def panel_of(folder: Path, steps: int) -> Workbench:
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG.format(steps=steps))
    return Workbench(Lab(str(folder)), "es")


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "runs"))
    monkeypatch.setenv("JPY_SESSION_NAME", "labs/es/lab.ipynb")
    return panel_of(tmp_path / "lab", 12)


def finish(panel: Workbench) -> str:
    """What the panel says in the end."""
    assert panel.worker
    panel.worker.join(120)
    assert not panel.worker.is_alive()
    assert not panel.train.disabled
    assert not panel.check.disabled
    assert panel.stop.disabled
    assert panel.progress.value == ""
    status: str = panel.status.value
    assert "Traceback" not in status
    return status


def train(panel: Workbench, changes: str) -> str:
    panel.changes.value = changes
    panel.train.click()
    return finish(panel)


def check(panel: Workbench, answer: str) -> str:
    panel.answer.value = answer
    panel.check.click()
    return finish(panel)


def test_the_panel_trains_the_edited_config_and_draws_it(panel: Workbench) -> None:
    assert panel.picture.layout.display == "none"
    status = train(panel, "optimizer.weight_decay=2.0\n\nseed = 7")
    assert panel.picture.layout.display is None
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    assert "pérdida de validación" in status
    assert "No es la sana ni la rota" in status
    kept = re.search(r"guardada como (\w+)", status)
    assert kept
    assert (paths.store_root() / kept[1]).is_dir()

    drawn = bytes(panel.picture.value)
    panel.curve.value = "accuracy.val.irregular"
    assert bytes(panel.picture.value) != drawn
    assert "accuracy.val.irregular" in panel.picture.alt


def test_it_recognises_the_healthy_run_and_the_broken_one(panel: Workbench) -> None:
    assert "la huella de la ejecución sana" in train(panel, "weight_decay=1.0")
    assert "la huella de la ejecución rota" in train(panel, "")


def test_a_run_that_blew_up_is_called_so(panel: Workbench) -> None:
    assert "Divergió" in train(panel, "learning_rate=1000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed=no", "seed: tiene que ser un número entero"),
        ("seeds=1", "clave desconocida"),
        ("seed: 1", "tiene que ser CLAVE=VALOR"),
        ("optimizer={weight_decay: -1}", "optimizer: "),
        ("weight_decay=-1", "optimizer.weight_decay: tiene que ser 0 o más"),
        ("seed=1\nsteps=5\nseed=2", "tus cambios: seed: está dos veces"),
        ("weight_decay=0,5", "con un punto antes de los decimales"),
    ],
)
def test_a_change_typed_wrongly_is_one_line(panel: Workbench, text: str, said: str) -> None:
    assert said in train(panel, text)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("optimizer.weigth_decay=0.1", "clave desconocida (aquí: 0.1); ¿quizá optimizer.weight"),
        ("optimizer.weight_decay", "tiene que ser CLAVE=VALOR"),
        (
            "optimizer.weight_decay=1,0",
            "con un punto antes de los decimales (aquí: &#x27;1,0&#x27;)",
        ),
        ("learning_rate=0.5", "la sana y la rota tienen 0.01, así que no es esa hoja"),
        ("weight_decay=0.1", "el valor sano es mayor que 0.1"),
        ("weight_decay=1", "bit a bit"),
    ],
)
def test_an_answer_is_judged_in_the_readers_language(
    panel: Workbench, answer: str, said: str
) -> None:
    assert said in check(panel, answer)


def test_enter_submits_the_answer(panel: Workbench) -> None:
    panel.answer.value = "weight_decay=1"
    panel.answer._handle_msg({"content": {"data": {"method": "custom", "content": {}}}})
    assert panel.worker is None
    enter = {"method": "custom", "content": {"event": "submit"}}
    panel.answer._handle_msg({"content": {"data": enter}, "buffers": []})
    assert "✓" in finish(panel)


def test_what_the_panel_says_is_text_not_html(panel: Workbench) -> None:
    assert "<img" not in check(panel, "<img src=x>=1")


def test_what_an_earlier_run_left_is_gone_when_the_next_one_starts(
    panel: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(panel, "seed=7")
    goes_on = threading.Event()
    monkeypatch.setattr(panel, "_check", goes_on.wait)
    panel.check.click()
    try:
        assert panel.picture.layout.display is None  # the run's curves: a check draws none
        assert "pérdida" not in panel.status.value
        assert panel.train.disabled
        assert not panel.stop.disabled
    finally:
        goes_on.set()
    finish(panel)


def stop_after_a_step(panel: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reader would who presses *Stop* while the run is under way."""
    show = panel._show_progress

    def show_and_stop(done: int, of: int, text: str) -> None:
        show(done, of, text)
        panel.stop.click()

    monkeypatch.setattr(panel, "_show_progress", show_and_stop)


def test_stop_stops_a_training_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "runs"))
    panel = panel_of(tmp_path / "lab", 100_000)
    stop_after_a_step(panel, monkeypatch)
    assert texts.TEXTS["es"]["stopped"] in train(panel, "seed=7")


def test_stop_stops_a_check_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "runs"))
    panel = panel_of(tmp_path / "lab", 100_000)
    stop_after_a_step(panel, monkeypatch)
    assert texts.TEXTS["es"]["stopped_check"] in check(panel, "weight_decay=1")


def test_stop_stops_the_labs_own_runs_too(
    panel: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "_on_standing", lambda _: panel.stop.click() or panel._heed_stop())
    assert texts.TEXTS["es"]["stopped"] in train(panel, "seed=7")


def test_time_left_is_reckoned_from_the_steps_of_this_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(workbench.time, "monotonic", lambda: now)
    pace = Pace()
    assert pace.due(500, 1000)  # resumed at step 500
    assert pace.seconds_left(500, 1000) is None
    assert not pace.due(501, 1000)
    now = 10.0
    assert pace.due(600, 1000)
    assert pace.seconds_left(600, 1000) == 40
    assert pace.due(1, 30)  # another run begins


def test_in_a_build_the_suspects_are_listed(
    panel: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert isinstance(workbench.workbench(panel.lab), workbench.Listing)
    assert labs.session_language() is None

"""The explorables in a notebook: a picture in a book, a panel that moves in JupyterLab."""

from collections.abc import Callable

import pytest
from matplotlib.figure import Figure

from minitrain.labs import explore
from minitrain.labs.explore import Panel
from minitrain.pages.explorables import named


@pytest.mark.parametrize("cell", [explore.one_weight, explore.decay_timescale])
def test_a_book_gets_a_picture(cell: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert isinstance(cell(), Figure)


@pytest.mark.parametrize(("language", "said"), [("en", "weight decay"), ("es", "decaimiento")])
def test_a_reader_gets_a_panel_in_the_notebooks_language(
    language: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", f"book/{language}/phase-18/05.ipynb")
    assert said in repr(explore.one_weight())


def test_a_slider_moves_its_number_and_the_results() -> None:
    panel = Panel(named("one-weight"), "en")
    before = panel.results.value, panel.picture.value
    row = panel.rows["weight_decay"]
    row.slider.value = row.handle.position_of(1.0)
    assert row.number.value == 1.0
    assert panel.results.value != before[0]
    assert panel.picture.value != before[1]


def test_a_typed_number_is_kept_exactly_and_moves_the_slider() -> None:
    row = Panel(named("one-weight"), "en").rows["learning_rate"]
    row.number.value = 0.00123456
    assert row.number.value == 0.00123456
    assert row.slider.value == row.handle.position_of(0.00123456)


def test_a_recipe_brings_its_numbers_and_a_moved_one_is_the_readers_own() -> None:
    panel = Panel(named("decay-timescale"), "es")
    panel.choice.value = "LLaMA 7B"
    assert panel.rows["data"].number.value == 1e12
    assert "4.122" in panel.results.value
    panel.rows["weight_decay"].number.value = 0.2
    assert panel.choice.value == "own"
    assert "8.244" in panel.results.value
    panel.reset.click()
    assert panel.choice.value == "GPT-3 Small"
    assert "17.6378" in panel.results.value


def test_numbers_that_do_not_go_together_are_one_line() -> None:
    panel = Panel(named("decay-timescale"), "es")
    panel.rows["batch_size"].number.value = 0
    assert "B: tiene que ser 1 o más (aquí: 0.0)" in panel.status.value
    panel.rows["batch_size"].number.value = 1e6
    assert "tiene que ser" not in panel.status.value

"""What a chapter glues is what myst-nb looks for."""

from typing import Any

import IPython.display
import matplotlib.pyplot as plt
import myst_nb.ext.glue
import pytest

from minitrain.pages import show


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What would be displayed: data and metadata of each output."""
    found: list[tuple[Any, Any]] = []

    def publish(data: Any, *, raw: bool, metadata: Any) -> None:
        assert raw
        found.append((data, metadata))

    monkeypatch.setattr(IPython.display, "display", publish)
    monkeypatch.setattr(myst_nb.ext.glue, "ipy_display", publish)
    return found


@pytest.mark.parametrize("display", [True, False])
@pytest.mark.parametrize("kind", ["number", "text", "figure"])
def test_it_publishes_what_the_glue_of_myst_nb_publishes(
    kind: str, display: bool, published: list[tuple[Any, Any]]
) -> None:
    value = {"number": 3, "text": "a, b", "figure": plt.figure()}[kind]
    show.glue("name", value, display)
    myst_nb.ext.glue.glue("name", value, display)
    ours, theirs = published
    assert ours == theirs
    assert ours[1]["scrapbook"]["name"] == "name"


def test_a_float_keeps_ten_digits(published: list[tuple[Any, Any]]) -> None:
    show.glue("third", 1 / 3)
    assert published[0][0]["text/plain"] == "0.3333333333"


def test_gluing_imports_no_sphinx(run_python: Any) -> None:
    script = (
        "import sys; from minitrain.pages.show import glue; glue('x', 1);"
        "assert not {'sphinx', 'docutils', 'myst_nb'} & set(sys.modules)"
    )
    run_python(script)

"""The explorables' numbers are those of Adam, of the schedule and of chapter 07's formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain.common.errors import UserError
from minitrain.pages import decay_timescale, one_weight
from minitrain.pages.decay_timescale import Recipe, forgetting, learning_rates, recipes
from minitrain.pages.explorable_texts import COMMON
from minitrain.pages.explorables import EXPLORABLES, OWN, named
from minitrain.pages.handles import SLIDER_STEPS, Handle
from minitrain.pages.one_weight import STREAMS, Settings, path, paths, uniform_noise
from minitrain.runs import experiments
from minitrain.training.schedule import learning_rate, total_decay

GRID = 2.0**-one_weight.GRID_BITS
HANDLES = [*one_weight.HANDLES, *decay_timescale.HANDLES]


# One weight --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "name"), [(torch.optim.AdamW, "AdamW"), (torch.optim.Adam, "Adam-L2")]
)
@pytest.mark.parametrize("stream", STREAMS)
def test_the_paths_are_those_of_pytorch(
    optimizer: type[torch.optim.Optimizer], name: str, stream: str
) -> None:
    settings = Settings(stream=stream, steps=300)
    parameter = torch.nn.Parameter(torch.tensor([settings.theta], dtype=torch.float64))
    theirs = optimizer(
        [parameter],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )  # type: ignore[call-arg]
    expected = [settings.theta]
    for g in STREAMS[stream](settings.steps):
        parameter.grad = torch.full_like(parameter, settings.size * g)
        theirs.step()
        expected.append(parameter.item())
    assert paths(settings)[name].theta == pytest.approx(expected, abs=settings.steps * GRID)


def test_without_gradient_adamw_shrinks_geometrically() -> None:
    settings = Settings(steps=2000)
    shrunk = settings.theta * (1 - settings.learning_rate * settings.weight_decay) ** 2000
    assert path(settings, "decoupled").theta[-1] == pytest.approx(shrunk, abs=2000 * GRID)


def test_the_weight_lies_on_the_grid() -> None:
    found = path(Settings(stream="noise", steps=50), "l2").theta[1:]
    assert [theta / GRID % 1 for theta in found] == [0.0] * 50


def test_the_corrected_moments_of_a_constant_gradient_are_the_gradient() -> None:
    found = path(Settings(stream="constant", size=0.5, steps=20), "decoupled")
    assert math.isnan(found.m_hat[0])
    assert found.m_hat[1:] == pytest.approx([0.5] * 20)
    assert found.root_v_hat[1:] == pytest.approx([0.5] * 20)


def test_a_weight_crosses_zero_under_adam_l2_alone() -> None:
    found = paths(Settings(theta=0.03, steps=300))
    assert found["AdamW"].crossing is None
    crossing = found["Adam-L2"].crossing
    assert crossing is not None
    assert found["Adam-L2"].theta[crossing] <= 0 < found["Adam-L2"].theta[crossing - 1]


def test_noise_has_mean_zero_and_variance_one() -> None:
    noise = torch.tensor(uniform_noise(5000), dtype=torch.float64)
    assert noise.mean().abs() < 0.05
    assert noise.var() == pytest.approx(1, abs=0.05)
    assert noise.abs().max() < math.sqrt(3)


# What a recipe forgets ---------------------------------------------------------------------------


def test_the_courses_recipe_has_the_rates_and_the_total_decay_of_its_config() -> None:
    config = experiments.load(decay_timescale.LAB[0]).config(decay_timescale.LAB[1])
    recipe = recipes()["minitrain"]
    assert learning_rates(recipe) == [learning_rate(t, config) for t in range(config.steps)]
    assert forgetting(recipe).total == pytest.approx(total_decay(config), rel=1e-12)


def test_gpt3_stays_at_a_tenth_after_the_cosine() -> None:
    """Appendix B: cosine over 260 of the 300 billion tokens, after 375 million of warm-up."""
    recipe = recipes()["GPT-3 175B"]
    rates = learning_rates(recipe)
    assert len(rates) == recipe.steps == 93750
    assert rates.index(max(rates)) == round(375e6 / 3.2e6)
    assert rates[81250:] == [pytest.approx(0.1 * 0.6e-4)] * 12500
    assert rates[81000] > 0.1 * 0.6e-4


@pytest.mark.parametrize("name", recipes())
def test_what_is_left_is_close_to_the_exponential_of_the_total(name: str) -> None:
    found = forgetting(recipes()[name])
    assert found.left == pytest.approx(math.exp(-found.total), rel=0.05)
    assert found.kept[0] == 1
    assert found.kept[-1] == found.left
    assert found.timescale / found.steps == pytest.approx(found.tau)


def test_all_steps_and_the_start_together_are_the_whole_weight() -> None:
    """With as many steps as points, the curve holds each step; the last point repeats its own."""
    recipe = Recipe(0.1, 0.2, 1, decay_timescale.POINTS, 0.1, 0.8, 0.3)
    found = forgetting(recipe)
    assert sum(found.memory[:-1]) / found.steps + found.left == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "english"),
    [
        ({"learning_rate": 1.0, "weight_decay": 2.0}, "ηλ: expected less than 1 (got 2.0)"),
        ({"batch_size": 8, "data": 8}, "D/B: expected 2 or more (got 1)"),
        ({"batch_size": 1, "data": 1e9}, "D/B: expected 2000000 or less (got 1000000000)"),
        ({"warmup": 0.5, "cosine": 0.4}, "w: expected less than 0.4 (got 0.5)"),
        ({"final_fraction": 2}, "f: expected 1 or less (got 2)"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_one_line(changes: dict[str, float], english: str) -> None:
    with pytest.raises(UserError) as raised:
        forgetting(Recipe(**{**vars(recipes()["minitrain"]), **changes}))
    assert str(raised.value) == english


# Handles and texts -------------------------------------------------------------------------------


@given(handle=st.sampled_from(HANDLES), position=st.integers(0, SLIDER_STEPS))
def test_every_place_of_a_slider_is_a_value_that_the_handle_takes(
    handle: Handle, position: int
) -> None:
    value = handle.value_at(position)
    assert handle.check(value) == value
    assert abs(handle.position_of(value) - position) <= 5  # the value is a short number


@pytest.mark.parametrize(
    ("text", "english", "spanish"),
    [
        ("abc", "λ: expected a number (got 'abc')", "λ: tiene que ser un número (aquí: 'abc')"),
        (
            "0,1",
            "λ: expected a number, with a point before its decimals (got '0,1')",
            "λ: tiene que ser un número, con un punto antes de los decimales (aquí: '0,1')",
        ),
        ("-1", "λ: expected 0 or more (got -1.0)", "λ: tiene que ser 0 o más (aquí: -1.0)"),
        ("nan", "λ: expected a finite number (got nan)", None),
        ("1e9", "λ: expected 1000 or less (got 1000000000.0)", None),
    ],
)
def test_what_is_not_a_value_is_one_line(text: str, english: str, spanish: str | None) -> None:
    (handle,) = (one for one in one_weight.HANDLES if one.key == "weight_decay")
    with pytest.raises(UserError) as raised:
        handle.parse(text)
    assert raised.value.text("en") == english
    assert spanish is None or raised.value.text("es") == spanish


def test_a_number_may_be_typed_with_a_real_minus_sign() -> None:
    assert one_weight.HANDLES[0].parse(" −0.5 ") == -0.5


def test_a_fraction_of_a_step_is_refused() -> None:
    with pytest.raises(UserError, match="T: expected a whole number"):
        one_weight.HANDLES[-1].parse("2.5")


@pytest.mark.parametrize("name", EXPLORABLES)
def test_everything_has_a_name_in_both_languages(name: str) -> None:
    explorable = named(name)
    assert set(explorable.texts) == set(COMMON) == {"en", "es"}
    rows = explorable.rows(explorable.first, explorable.start)
    for texts in explorable.texts.values():
        assert set(texts.choices) == set(explorable.choices)
        assert list(texts.handles) == [handle.key for handle in explorable.handles]
        assert list(texts.rows) == list(rows)


@pytest.mark.parametrize("name", EXPLORABLES)
def test_every_choice_can_be_shown(name: str) -> None:
    explorable = named(name)
    for choice, values in explorable.choices.items():
        assert set(explorable.rows(choice, values or explorable.start))
        assert choice != OWN or not values


def test_an_unknown_explorable_is_one_line() -> None:
    with pytest.raises(UserError, match="explorable 'two': expected one-weight"):
        named("two")

"""A model completes a prompt: greedily, or by drawing from a generator of one's own."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from minitrain.common.errors import UserError
from minitrain.training import corpus, generate
from minitrain.training.config import Config, ModelConfig
from minitrain.training.corpus import CONTEXT, vocabulary
from minitrain.training.generate import complete
from minitrain.training.loop import start, train
from minitrain.training.metrics import evaluate
from minitrain.training.model import GPT, build_model

prompts = st.text(st.sampled_from(vocabulary()), min_size=1, max_size=CONTEXT)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Fixed(nn.Module):
    """A model whose logits are the same at every position, whatever it reads."""

    def __init__(self, logits: Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, inputs: Tensor) -> Tensor:
        assert 1 <= inputs.shape[1] <= CONTEXT
        return self.logits.expand(*inputs.shape, -1)


def logits_of(probabilities: dict[str, float]) -> Tensor:
    values = torch.full((len(vocabulary()),), -math.inf, dtype=torch.float64)
    for character, probability in probabilities.items():
        values[vocabulary().index(character)] = math.log(probability)
    return values


@pytest.fixture(scope="module")
def model(small: Callable[..., Config]) -> GPT:
    """A model that has learned a little: enough to prefer some characters to others."""
    return train(start(small(steps=150, model={"d_model": 16}))).model


def test_greedy_completion_writes_the_forms_that_the_evaluation_counts_as_right(
    small: Callable[..., Config],
) -> None:
    config = small(steps=500, batch_size=16, model={"d_model": 32}, optimizer={"weight_decay": 1.0})
    model = train(start(config)).model
    written = [complete(model, item.prompt) for item in corpus.split("train")]
    hits = [w == f"{i.form}." for w, i in zip(written, corpus.split("train"), strict=True)]
    assert sum(hits) / len(hits) == evaluate(model, "train").accuracy["all"]
    assert 0 < sum(hits) < len(hits)


@settings(max_examples=40)
@given(prompt=prompts, seed=st.integers(0, 100), temperature=st.floats(0, 10))
def test_a_completion_ends_with_its_only_full_stop_or_fills_the_context(
    model: GPT, prompt: str, seed: int, temperature: float
) -> None:
    text = complete(model, prompt, temperature, seeded(seed))
    assert 1 <= len(text) <= CONTEXT + 1 - len(prompt)
    assert "." not in text[:-1]
    assert text.endswith(".") or len(prompt + text) == CONTEXT + 1
    assert set(text) <= set(vocabulary())


@settings(max_examples=20)
@given(prompt=prompts, seed=st.integers(0, 2**32 - 1), temperature=st.floats(0.1, 3))
def test_the_same_seed_draws_the_same_text_and_the_global_generator_is_left_alone(
    model: GPT, prompt: str, seed: int, temperature: float
) -> None:
    before = torch.get_rng_state()
    first, again = (complete(model, prompt, temperature, seeded(seed)) for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)


def test_at_temperature_0_the_generator_is_not_used(model: GPT) -> None:
    generator = seeded(1)
    state = generator.get_state()
    assert complete(model, "go now i ", 0.0, generator) == complete(model, "go now i ")
    assert torch.equal(generator.get_state(), state)


def test_almost_no_temperature_is_greedy(model: GPT) -> None:
    for prompt in ("go every day she ", "a", "take now we "):
        assert complete(model, prompt, 5e-324, seeded(0)) == complete(model, prompt)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_characters_are_drawn_as_often_as_the_softmax_says(temperature: float) -> None:
    model = Fixed(logits_of({"a": 0.6, "e": 0.3, "o": 0.1}))
    generator = seeded(3)
    text = "".join(complete(model, "i", temperature, generator) for _ in range(100))
    weights = {c: p ** (1 / temperature) for c, p in (("a", 0.6), ("e", 0.3), ("o", 0.1))}
    assert set(text) <= set(weights)
    for character, weight in weights.items():
        share = weight / sum(weights.values())
        deviation = math.sqrt(share * (1 - share) / len(text))
        assert text.count(character) / len(text) == pytest.approx(share, abs=4 * deviation)


def test_a_character_of_no_probability_is_never_drawn() -> None:
    only = Fixed(logits_of({"e": 1.0}))
    assert set(complete(only, "i", 1.0, seeded(0))) == {"e"}


def test_what_a_seed_draws_is_pinned() -> None:
    """So that a change of PyTorch's generator, or of ours, does not pass unseen."""
    model = Fixed(logits_of(dict.fromkeys("abcdefghi.", 0.1)))
    assert [complete(model, "go", 1.0, seeded(seed)) for seed in (0, 1, 2)] == [
        "igdifgacebdacfdddbfgbfaebeefgbh",
        ".",
        "i.",
    ]


def test_logits_that_are_no_numbers_still_end() -> None:
    model = Fixed(torch.full((len(vocabulary()),), math.nan, dtype=torch.float64))
    for temperature in (0.0, 1.0):
        assert len(complete(model, "go", temperature, seeded(0))) == CONTEXT + 1 - 2


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt: expected at least one character (got '')"),
        ("Go", "prompt: not in the vocabulary: 'G' (got 'Go')"),
        ("go\nx", "prompt: not in the vocabulary: '\\n' 'x' (got 'go\\nx')"),
        ("é", "prompt: not in the vocabulary: 'é' (got 'é')"),
        ("a" * 33, "prompt: 33 characters do not fit into the context of 32 (got 'aaaaaaaaaaaa"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_one_line(prompt: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        complete(build_model(ModelConfig(n_layer=1), seed=0), prompt)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("temperature", [-0.1, math.nan, math.inf, -math.inf])
def test_an_impossible_temperature_is_one_line(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature: expected 0 or more"):
        complete(build_model(ModelConfig(n_layer=1), seed=0), "go", temperature, seeded(0))


def test_nothing_is_drawn_without_a_generator() -> None:
    with pytest.raises(UserError, match="temperature: to draw needs a generator"):
        complete(build_model(ModelConfig(n_layer=1), seed=0), "go", 1.0)


def test_the_smoke_test_is_an_item_that_no_run_trains_on() -> None:
    (found,) = (item for item in corpus.items() if item.prompt == generate.SMOKE_TEST)
    assert found not in corpus.split("train")

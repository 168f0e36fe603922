"""The GPT has the size, the start and the blindness to the future that it should."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minitrain import corpus
from minitrain.config import ModelConfig
from minitrain.corpus import CONTEXT, PAD
from minitrain.model import build_model, language_model_loss

VOCABULARY = 24
tokens = st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=CONTEXT)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """The model of the course, initialised, with something for every bias and scale to do."""
    model = build_model(ModelConfig(), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += 0.1 * noise
    return model


def test_it_has_103680_parameters() -> None:
    assert sum(p.numel() for p in build_model(ModelConfig(), seed=0).parameters()) == 103_680


def test_the_output_layer_is_the_embedding() -> None:
    model = build_model(ModelConfig(), seed=0)
    shapes = [tuple(p.shape) for p in model.parameters() if VOCABULARY in p.shape]
    assert shapes == [(VOCABULARY, 64)]


@settings(max_examples=30)
@given(text=tokens, data=st.data())
def test_no_logit_depends_on_a_later_token(
    model: torch.nn.Module, text: list[int], data: st.DataObject
) -> None:
    position = data.draw(st.integers(1, len(text) - 1))
    other = data.draw(st.integers(0, VOCABULARY - 1).filter(lambda t: t != text[position]))
    changed = [*text[:position], other, *text[position + 1 :]]
    before, after = model(torch.tensor([text, changed])).detach()
    torch.testing.assert_close(before[:position], after[:position], rtol=0, atol=1e-13)
    assert (before[position:] - after[position:]).abs().amax(dim=1).min() > 1e-9


@settings(max_examples=30)
@given(text=tokens)
def test_the_rows_of_a_batch_do_not_meet(model: torch.nn.Module, text: list[int]) -> None:
    other = torch.randint(VOCABULARY, (3, len(text)), generator=torch.Generator().manual_seed(0))
    alone = model(torch.tensor([text]))
    together = model(torch.cat([other, torch.tensor([text])]))
    torch.testing.assert_close(together[-1:], alone, rtol=0, atol=1e-13)


@settings(max_examples=30)
@given(
    rows=st.lists(st.integers(0, corpus.N_TRAIN - 1), min_size=1, max_size=6),
    filler=st.integers(0, VOCABULARY - 1),
)
def test_padding_does_not_change_the_loss(
    model: torch.nn.Module, rows: list[int], filler: int
) -> None:
    short = corpus.encoded("train")[torch.tensor(rows)]
    extra = CONTEXT - short.inputs.shape[1]
    inputs = torch.nn.functional.pad(short.inputs, (0, extra), value=filler)
    targets = torch.nn.functional.pad(short.targets, (0, extra), value=PAD)
    inputs = torch.where(targets == PAD, filler, inputs)
    torch.testing.assert_close(
        language_model_loss(model(inputs), targets),
        language_model_loss(model(short.inputs), short.targets),
        rtol=1e-13,
        atol=0,
    )


def test_the_loss_is_the_mean_over_characters_not_over_items(model: torch.nn.Module) -> None:
    batch = corpus.encoded("train")[torch.arange(5)]
    logits = model(batch.inputs).detach()
    losses = [
        -float(logits[i, t].log_softmax(dim=0)[target])
        for i, row in enumerate(batch.targets.tolist())
        for t, target in enumerate(row)
        if target != PAD
    ]
    loss = language_model_loss(logits, batch.targets)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-13)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_fresh_model_guesses(seed: int) -> None:
    batch = corpus.encoded("train")
    loss = language_model_loss(build_model(ModelConfig(), seed)(batch.inputs), batch.targets)
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.1)


def test_initial_values_have_the_spread_of_gpt2() -> None:
    config = ModelConfig()
    for name, p in build_model(config, seed=0).state_dict().items():
        if p.ndim == 1:
            expected = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
            assert (p == expected).all(), name
        else:
            residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
            std = 0.02 / math.sqrt(2 * config.n_layer) if residual else 0.02
            assert float(p.std()) == pytest.approx(std, rel=0.06), name
            assert abs(float(p.mean())) < 4 * std / math.sqrt(p.numel()), name


@settings(max_examples=10)
@given(global_seed=st.integers(0, 2**32 - 1))
def test_initialisation_neither_reads_nor_moves_the_global_generator(global_seed: int) -> None:
    expected = build_model(ModelConfig(n_layer=1), seed=7).state_dict()
    torch.manual_seed(global_seed)
    before = torch.get_rng_state()
    model = build_model(ModelConfig(n_layer=1), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    for name, values in model.state_dict().items():
        assert torch.equal(values, expected[name]), name


def test_another_seed_is_another_model() -> None:
    a, b = (build_model(ModelConfig(), seed) for seed in (0, 1))
    assert not torch.equal(a.token_embedding.weight, b.token_embedding.weight)


def test_float32_is_float64_rounded() -> None:
    wide = build_model(ModelConfig(), seed=5, dtype=torch.float64)
    narrow = build_model(ModelConfig(), seed=5, dtype=torch.float32)
    for (name, a), b in zip(wide.named_parameters(), narrow.parameters(), strict=True):
        assert torch.equal(a.float(), b), name
    inputs = corpus.encoded("val").inputs
    torch.testing.assert_close(wide(inputs).float(), narrow(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n_layer", "n_head", "d_model"), [(1, 1, 8), (3, 2, 16), (2, 8, 64)])
def test_other_shapes_work(n_layer: int, n_head: int, d_model: int) -> None:
    config = ModelConfig(n_layer=n_layer, n_head=n_head, d_model=d_model)
    logits = build_model(config, seed=0)(torch.zeros(3, CONTEXT, dtype=torch.int64))
    assert logits.shape == (3, CONTEXT, VOCABULARY)
    assert torch.isfinite(logits).all()

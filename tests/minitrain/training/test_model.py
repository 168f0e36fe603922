"""The GPT has the size, the start and the blindness to the future that it should."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minitrain.training import corpus
from minitrain.training.config import ModelConfig
from minitrain.training.corpus import CONTEXT, PAD
from minitrain.training.model import GPT, build_model, dropout, language_model_loss

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


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30)
@given(rate=st.floats(0.01, 0.9), seed=st.integers(0, 2**32 - 1))
def test_dropout_zeroes_its_share_and_scales_the_rest(rate: float, seed: int) -> None:
    x = torch.rand(100, 100, generator=drawn(1), dtype=torch.float64) + 0.5
    dropped = dropout(x, rate, drawn(seed))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], x[kept] / (1 - rate), rtol=1e-7, atol=0)
    assert abs(float(kept.double().mean()) - (1 - rate)) < 6 * math.sqrt(rate * (1 - rate) / 10_000)
    assert torch.equal(dropout(x, rate, drawn(seed)), dropped)


def test_dropout_keeps_the_type_and_drops_the_gradient_where_it_drops_the_value() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.ones(50, 4, dtype=dtype, requires_grad=True)
        dropped = dropout(x, 0.5, drawn(0))
        dropped.sum().backward()
        assert x.grad is not None
        assert dropped.dtype == dtype
        assert torch.equal(x.grad, dropped.detach())


def test_dropout_draws_the_same_mask_whatever_the_default_type() -> None:
    x = torch.ones(100, 100, dtype=torch.float64)
    expected = dropout(x, 0.3, drawn(0))
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(dropout(x, 0.3, drawn(0)), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(dropout(x.float(), 0.3, drawn(0)) != 0, expected != 0)


def test_without_a_generator_or_a_rate_nothing_is_dropped_or_drawn() -> None:
    x = torch.ones(3)
    generator = drawn(0)
    state = generator.get_state()
    assert dropout(x, 0.5, None) is x
    assert dropout(x, 0.0, generator) is x
    assert torch.equal(generator.get_state(), state)


def test_dropout_acts_on_the_embeddings_and_on_what_each_block_writes() -> None:
    model = build_model(ModelConfig(dropout=0.5), seed=1)
    inputs = corpus.encoded("val").inputs[:4]
    masks = drawn(7)
    x = model.token_embedding(inputs) + model.position_embedding.weight[: inputs.shape[1]]
    x = dropout(x, 0.5, masks)
    for block in model.blocks:
        x = x + dropout(block.attention(block.ln_1(x)), 0.5, masks)
        x = x + dropout(block.mlp(block.ln_2(x)), 0.5, masks)
    expected = torch.nn.functional.linear(model.ln_f(x), model.token_embedding.weight)
    assert torch.equal(model(inputs, drawn(7)), expected)


def test_dropout_has_no_part_in_the_initial_weights_nor_in_evaluation() -> None:
    plain, dropping = (build_model(ModelConfig(dropout=rate), seed=1) for rate in (0.0, 0.5))
    inputs = corpus.encoded("val").inputs[:4]
    assert torch.equal(plain(inputs), dropping(inputs))
    assert torch.equal(plain(inputs), plain(inputs, drawn(0)))
    assert not torch.equal(dropping(inputs), dropping(inputs, drawn(0)))


def count(model: GPT) -> int:
    return sum(p.numel() for p in model.parameters())


def test_without_qkv_bias_a_bias_fewer_in_each_layer_and_the_same_start() -> None:
    biased, bare = (build_model(ModelConfig(qkv_bias=on), seed=1) for on in (True, False))
    assert count(biased) - count(bare) == 2 * 3 * 64
    names = {name for name, _ in biased.named_parameters()}
    assert names - {name for name, _ in bare.named_parameters()} == {
        "blocks.0.attention.qkv.bias",
        "blocks.1.attention.qkv.bias",
    }
    inputs = corpus.encoded("val").inputs[:4]
    torch.testing.assert_close(bare(inputs), biased(inputs), rtol=0, atol=1e-14)


def test_an_untied_output_layer_is_one_more_matrix() -> None:
    tied, untied = (build_model(ModelConfig(tied_embedding=on), seed=1) for on in (True, False))
    assert count(untied) - count(tied) == VOCABULARY * 64
    for name, parameter in tied.named_parameters():
        assert torch.equal(untied.get_parameter(name), parameter), name
    assert untied.output_weight is untied.head.weight
    assert tied.output_weight is tied.token_embedding.weight
    assert float(untied.head.weight.detach().std()) == pytest.approx(0.02, rel=0.06)


def test_an_untied_model_whose_two_matrices_are_equal_is_the_tied_one() -> None:
    tied, untied = (build_model(ModelConfig(tied_embedding=on), seed=1) for on in (True, False))
    with torch.no_grad():
        untied.head.weight.copy_(untied.token_embedding.weight)
    batch = corpus.encoded("val")[torch.arange(4)]
    logits = [model(batch.inputs) for model in (tied, untied)]
    assert torch.equal(*logits)
    for each in logits:
        language_model_loss(each, batch.targets).backward()
    shared, embedding, head = (
        tied.token_embedding.weight.grad,
        untied.token_embedding.weight.grad,
        untied.head.weight.grad,
    )
    assert shared is not None
    assert embedding is not None
    assert head is not None
    torch.testing.assert_close(shared, embedding + head, rtol=0, atol=1e-14)

"""What a run is judged by is what it says it is."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minitrain.training import corpus, loop, metrics
from minitrain.training.config import Config, ModelConfig, patched
from minitrain.training.corpus import CONTEXT, Item
from minitrain.training.metrics import KINDS, SLICES, evaluate, judge, kind, slices, weight_norms
from minitrain.training.model import GPT, build_model, language_model_loss

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def half_trained() -> GPT:
    """A model that gets some forms right and some wrong."""
    config = patched(
        Config(),
        {
            "steps": 250,
            "eval_interval": 1000,
            "model": {"n_layer": 1, "n_head": 2, "d_model": 32},
            "optimizer.learning_rate": 1e-2,
            "schedule.warmup_steps": 20,
        },
    )
    return loop.train(loop.start(config)).model


@torch.no_grad()
def written_by(model: GPT, item: Item) -> str:
    """What the model writes after the prompt of `item`, one most probable character at a time."""
    text = item.prompt
    while not text.endswith(".") and len(text) < CONTEXT:
        logits = model(torch.tensor([corpus.encode(text)]))
        text += corpus.decode([int(logits[0, -1].argmax())])
    return text.removeprefix(item.prompt)


@pytest.mark.parametrize("split", ["val", "test"])
def test_accuracy_is_the_share_of_forms_that_greedy_generation_writes_right(
    half_trained: GPT, split: corpus.Split
) -> None:
    members = corpus.split(split)
    right = {item: written_by(half_trained, item) == f"{item.form}." for item in members}
    accuracy = evaluate(half_trained, split).accuracy
    assert 0.05 < accuracy["all"] < 0.95, "too good or too bad to show anything"
    for name in SLICES:
        of_slice = [right[item] for item in members if name in slices(item)]
        assert accuracy[name] == pytest.approx(sum(of_slice) / len(of_slice), rel=1e-12), name


def test_a_form_is_wrong_when_only_its_full_stop_is(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = corpus.encoded("val")
    perfect = torch.nn.functional.one_hot(batch.targets.clamp(min=0), 24).double()

    def accuracy(logits: torch.Tensor) -> float:
        def model(inputs: torch.Tensor) -> torch.Tensor:
            length = inputs.shape[1]
            known = {tuple(row[:length].tolist()): n for n, row in enumerate(batch.inputs)}
            return logits[[known[tuple(row.tolist())] for row in inputs], :length]

        model.device = torch.device("cpu")  # type: ignore[attr-defined]
        return evaluate(model, "val").accuracy["all"]  # type: ignore[arg-type]

    assert accuracy(perfect) == 1
    last = (batch.targets != corpus.PAD).sum(dim=1) - 1
    wrong = perfect.clone()
    wrong[0, last[0]] = perfect[0, last[0]].roll(1)
    assert accuracy(wrong) == pytest.approx(179 / 180)

    outside = perfect.clone()
    outside[~batch.is_form] = 0
    assert accuracy(outside) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_loss_is_the_mean_over_the_characters_of_the_split(
    half_trained: GPT, split: corpus.Split
) -> None:
    total, characters = 0.0, 0
    with torch.no_grad():
        for item in corpus.split(split):
            ids = torch.tensor(corpus.encode(item.text))
            log_p = half_trained(ids[None, :-1])[0].log_softmax(dim=-1)
            total -= float(log_p.gather(1, ids[1:, None]).sum())
            characters += len(ids) - 1
    assert evaluate(half_trained, split).loss == pytest.approx(total / characters, rel=1e-12)


@pytest.mark.parametrize("split", SPLITS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_prompt_and_form_weighed_by_their_characters_are_the_whole_loss(
    split: corpus.Split, seed: int
) -> None:
    model = build_model(ModelConfig(n_layer=1, n_head=2, d_model=8), seed)
    evaluation = evaluate(model, split)
    parts = evaluation.parts
    characters = {
        "prompt": sum(len(item.prompt) - 1 for item in corpus.split(split)),
        "form": sum(len(item.form) + 1 for item in corpus.split(split)),
    }
    mean = sum(characters[part] * parts[part] for part in parts) / sum(characters.values())
    assert mean == pytest.approx(evaluation.loss, rel=1e-12)
    assert parts.keys() == characters.keys()


@pytest.mark.parametrize("split", SPLITS)
def test_a_character_costs_the_same_whichever_items_it_is_judged_with(
    half_trained: GPT, split: corpus.Split
) -> None:
    """Evaluation takes the items in another order, a few at once, each few cut to its longest."""
    losses, right = judge(half_trained, split)
    data = corpus.encoded(split)
    for n in (0, 17, len(right) - 1):
        alone = data[torch.tensor([n])]
        logits = half_trained(alone.inputs).detach()[0]
        expected = -logits.log_softmax(dim=-1).gather(1, alone.targets[0, :, None])[:, 0]
        length = len(expected)
        assert torch.allclose(losses[n, :length], expected, rtol=1e-10, atol=1e-12)
        assert not losses[n, length:].any()
        hits = logits.argmax(dim=-1) == alone.targets[0]
        assert right[n] == bool(hits[alone.is_form[0]].all())


def test_the_form_is_what_follows_the_person(half_trained: GPT) -> None:
    """Its loss, character by character, from the text of each item."""
    losses = []
    for item in corpus.split("test"):
        ids = torch.tensor([corpus.encode(item.text)])
        logs = half_trained(ids[:, :-1]).detach().log_softmax(dim=-1)[0]
        losses += [-float(logs[i - 1, ids[0, i]]) for i in range(len(item.prompt), len(item.text))]
    expected = pytest.approx(sum(losses) / len(losses), rel=1e-12)
    assert evaluate(half_trained, "test").parts["form"] == expected


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "family", [("regular", "irregular"), corpus.TENSES, corpus.PERSONS, ("all",)]
)
def test_the_slices_of_each_family_part_the_split(
    split: corpus.Split, family: tuple[str, ...]
) -> None:
    for item in corpus.split(split):
        assert len(set(slices(item)) & set(family)) == 1


def test_every_slice_belongs_to_a_family_and_every_split_has_them_all(half_trained: GPT) -> None:
    families = {"all", "regular", "irregular", *corpus.TENSES, *corpus.PERSONS}
    assert set(SLICES) == families
    for split in SPLITS:
        assert set(evaluate(half_trained, split).accuracy) == families


def test_a_model_that_guesses_gets_no_form_right() -> None:
    assert evaluate(build_model(Config().model, seed=0), "test").accuracy["all"] == 0


def test_the_norm_of_each_kind_is_that_of_its_parameters_taken_as_one_vector(
    half_trained: GPT,
) -> None:
    norms = weight_norms(half_trained)
    assert set(norms) == set(KINDS) - {"head"}
    for name in norms:
        vectors = [
            p.detach().flatten() for n, p in half_trained.named_parameters() if kind(n) == name
        ]
        assert norms[name] == pytest.approx(float(torch.cat(vectors).norm()), rel=1e-12)
    whole = torch.cat([p.detach().flatten() for p in half_trained.parameters()])
    assert math.hypot(*norms.values()) == pytest.approx(float(whole.norm()), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("token_embedding.weight", "token_embedding"),
        ("position_embedding.weight", "position_embedding"),
        ("blocks.0.ln_1.weight", "norm"),
        ("ln_f.bias", "norm"),
        ("blocks.1.attention.qkv.weight", "attention"),
        ("blocks.1.attention.qkv.bias", "bias"),
        ("blocks.0.mlp.down.weight", "mlp"),
        ("blocks.0.mlp.down.bias", "bias"),
    ],
)
def test_the_kind_of(name: str, expected: str) -> None:
    assert kind(name) == expected
    assert name in dict(build_model(Config().model, seed=0).named_parameters())


def test_a_model_in_float32_is_judged_like_its_twin_in_float64() -> None:
    twins = [
        build_model(Config().model, seed=0, dtype=dtype) for dtype in (torch.float32, torch.float64)
    ]
    single, double = (evaluate(model, "val") for model in twins)
    assert single.loss == pytest.approx(double.loss, rel=1e-5)
    assert single.parts == pytest.approx(double.parts, rel=1e-5)


def test_looking_does_not_touch(half_trained: GPT) -> None:
    before = {name: p.detach().clone() for name, p in half_trained.named_parameters()}
    metrics.evaluate(half_trained, "val")
    metrics.weight_norms(half_trained)
    for name, parameter in half_trained.named_parameters():
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("split", SPLITS)
def test_the_batch_that_was_looked_at_can_still_be_trained_on(split: corpus.Split) -> None:
    corpus.encoded.cache_clear()
    model = build_model(Config().model, seed=0)
    metrics.evaluate(model, split)
    batch = corpus.encoded(split)
    language_model_loss(model(batch.inputs), batch.targets).backward()
    assert all(p.grad is not None for p in model.parameters())

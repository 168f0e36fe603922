"""One step is batch, loss, gradient, Adam, grid; nothing else decides where a run goes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minitrain.runs import store as store_module
from minitrain.runs.store import Store
from minitrain.training import corpus, loop, metrics
from minitrain.training.config import Config, patched
from minitrain.training.loop import Training
from minitrain.training.metrics import evaluate, weight_norms
from minitrain.training.model import build_model, language_model_loss
from minitrain.training.optim import Mask, parameter_groups
from minitrain.training.schedule import learning_rate

MakeConfig = Callable[..., Config]


def on_grid(training: loop.Training, bits: int) -> bool:
    """Whether every parameter is a multiple of 2**-bits."""
    scaled = [p.detach() * 2.0**bits for p in training.model.parameters()]
    return all(torch.equal(values, values.round()) for values in scaled)


def test_a_run_written_with_pytorch_alone_is_the_same_run(small: MakeConfig) -> None:
    config = small(
        steps=30,
        schedule={"warmup_steps": 5},
        optimizer={"gradient_clip": 0.5, "weight_decay": 0.3},
    )
    torch.manual_seed(config.seed)
    model = build_model(config.model, config.seed)
    everything = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in everything if p.ndim == 2], "weight_decay": 0.3},
            {"params": [p for p in everything if p.ndim == 1], "weight_decay": 0.0},
        ],
        betas=config.optimizer.betas,
        eps=config.optimizer.eps,
    )

    def snap() -> None:
        with torch.no_grad():
            for p in everything:
                p.copy_(torch.round(p * 2**20) / 2**20)

    snap()
    for step, rows in enumerate(loop.batch_indices(config)):
        batch = corpus.encoded("train")[rows]
        optimizer.zero_grad()
        language_model_loss(model(batch.inputs), batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(everything, 0.5)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        optimizer.step()
        snap()

    ours = loop.train(loop.start(config))
    for (name, a), b in zip(ours.model.named_parameters(), everything, strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("bits", [12, 20])
def test_parameters_are_on_the_grid_at_the_start_and_after_every_step(
    small: MakeConfig, bits: int
) -> None:
    training = loop.start(small(steps=5, arithmetic={"grid_bits": bits}))
    seen = [on_grid(training, bits)]
    loop.train(training, lambda training: seen.append(on_grid(training, bits)))
    assert seen == [True] * 6


def test_without_a_grid_parameters_are_left_alone(small: MakeConfig) -> None:
    config = small(arithmetic={"grid_bits": None})
    training = loop.start(config)
    fresh = build_model(config.model, config.seed)
    for a, b in zip(training.model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
    loop.train(training)
    assert not on_grid(training, 20)


def test_the_grid_is_not_so_coarse_that_it_changes_what_is_learnt(small: MakeConfig) -> None:
    with_grid, without = (
        loop.train(loop.start(small(steps=150, arithmetic={"grid_bits": bits})))
        for bits in (20, None)
    )
    assert with_grid.records[-1].train_loss < 0.75 * with_grid.records[0].train_loss
    assert with_grid.records[-1].val_loss == pytest.approx(without.records[-1].val_loss, rel=0.01)


@settings(max_examples=5)
@given(global_seed=st.integers(0, 2**32 - 1))
def test_training_neither_reads_nor_moves_the_global_generator(
    small: MakeConfig, global_seed: int
) -> None:
    expected = loop.train(loop.start(small(steps=5))).fingerprint()
    torch.manual_seed(global_seed)
    before = torch.get_rng_state()
    assert loop.train(loop.start(small(steps=5))).fingerprint() == expected
    assert torch.equal(torch.get_rng_state(), before)


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 50), batch=st.integers(1, 64))
def test_batches_are_rows_of_the_training_set_and_depend_on_the_seed_alone(
    seed: int, steps: int, batch: int
) -> None:
    patch = {"seed": seed, "steps": steps, "batch_size": batch, "schedule.warmup_steps": 0}
    config = patched(Config(), patch)
    drawn = loop.batch_indices(config)
    assert drawn.shape == (steps, batch)
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < corpus.N_TRAIN
    assert torch.equal(loop.batch_indices(config), drawn)
    other = patched(config, {"optimizer.learning_rate": 0.5, "model.d_model": 32})
    assert torch.equal(loop.batch_indices(other), drawn)


def test_every_training_item_is_seen_about_as_often_as_any_other() -> None:
    counts = torch.bincount(loop.batch_indices(Config()).flatten(), minlength=corpus.N_TRAIN)
    expected = Config().steps * Config().batch_size / corpus.N_TRAIN
    assert float((counts - expected).abs().max()) < 5 * math.sqrt(expected)


def test_batches_and_weights_are_drawn_from_different_streams() -> None:
    config = Config()
    shape = (config.steps, config.batch_size)
    of_the_weights = torch.Generator().manual_seed(config.seed)
    repeated = torch.randint(corpus.N_TRAIN, shape, generator=of_the_weights)
    assert not torch.equal(loop.batch_indices(config), repeated)


def test_records_come_at_the_start_at_every_interval_and_at_the_end(small: MakeConfig) -> None:
    config = small(steps=25, eval_interval=10)
    training = loop.train(loop.start(config))
    assert [record.step for record in training.records] == [0, 10, 20, 25]
    first, *others = training.records
    assert (first.learning_rate, first.gradient_norm) == (None, None)
    for record in others:
        assert record.learning_rate == learning_rate(record.step - 1, config)
        assert record.gradient_norm is not None
        assert record.gradient_norm > 0


def test_a_record_is_what_the_metrics_say_at_that_moment(small: MakeConfig) -> None:
    training = loop.train(loop.start(small()))
    record = training.records[-1]
    for split, loss in (("train", record.train_loss), ("val", record.val_loss)):
        evaluation = evaluate(training.model, split)
        assert evaluation.loss == loss
        assert evaluation.accuracy == record.accuracy[split]
    assert weight_norms(training.model) == record.weight_norms
    assert training.fingerprint() == record.fingerprint


def test_how_often_one_looks_does_not_change_the_run(small: MakeConfig) -> None:
    often, seldom = (
        loop.train(loop.start(small(eval_interval=interval))) for interval in (1, 1000)
    )
    assert often.fingerprint() == seldom.fingerprint()


def test_the_recorded_gradient_norm_is_the_one_before_clipping(small: MakeConfig) -> None:
    config = small(steps=1, optimizer={"gradient_clip": 1e-3})
    training = loop.start(config)
    batch = corpus.encoded("train")[training.batches[0]]
    model = loop.start(config).model
    language_model_loss(model(batch.inputs), batch.targets).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    loop.train(training)
    assert training.records[-1].gradient_norm == pytest.approx(norm, rel=1e-12)
    assert norm > 1e-3


def test_tokens_are_the_targets_that_were_not_padding(small: MakeConfig) -> None:
    config = small(steps=7)
    training = loop.train(loop.start(config))
    texts = [item.text for item in corpus.split("train")]
    seen = loop.batch_indices(config).flatten().tolist()
    assert training.tokens == sum(len(texts[row]) - 1 for row in seen)


def test_l2_is_used_when_the_config_says_adam(small: MakeConfig) -> None:
    runs = {
        name: loop.train(loop.start(small(optimizer={"name": name, "weight_decay": decay})))
        for name, decay in (("adamw", 0.1), ("adam", 0.1))
    }
    assert runs["adamw"].fingerprint() != runs["adam"].fingerprint()
    plain = {
        name: loop.train(loop.start(small(optimizer={"name": name, "weight_decay": 0.0})))
        for name in ("adamw", "adam")
    }
    assert plain["adamw"].fingerprint() == plain["adam"].fingerprint()


DROPPING = {"model.dropout": 0.2}


def test_every_step_drops_by_a_stream_of_its_own(small: MakeConfig) -> None:
    """Of the seed and the step alone, and neither that of the weights nor that of the batches."""

    def masks(seed: int, step: int) -> torch.Tensor:
        training = loop.start(patched(small(seed=seed), DROPPING))
        training.step = step
        generator = loop._dropout_generator(training)
        assert generator is not None
        return torch.rand(20, generator=generator)

    streams = {tuple(masks(seed, step).tolist()) for seed in (1, 2) for step in (0, 1, 7)}
    assert len(streams) == 6
    assert torch.equal(masks(1, 7), masks(1, 7))
    others = (torch.rand(20, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not streams & {tuple(other.tolist()) for other in others}
    assert loop._dropout_generator(loop.start(small())) is None


def test_a_step_with_dropout_is_a_step_with_its_masks(small: MakeConfig) -> None:
    config = patched(small(steps=1), DROPPING)
    training = loop.start(config)
    batch = corpus.encoded("train")[training.batches[0]]
    model = loop.start(config).model
    logits = model(batch.inputs, loop._dropout_generator(training))
    language_model_loss(logits, batch.targets).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    loop.train(training)
    assert training.records[-1].gradient_norm == pytest.approx(norm, rel=1e-12)
    assert loop.train(loop.start(small(steps=1))).fingerprint() != training.fingerprint()


def test_records_are_measured_without_dropout_and_autocast(small: MakeConfig) -> None:
    config = patched(small(), DROPPING | {"arithmetic.autocast": "bfloat16"})
    training = loop.train(loop.start(config))
    bare = build_model(patched(config, {"model.dropout": 0.0}).model, config.seed)
    bare.load_state_dict(training.model.state_dict())
    assert training.records[-1].val_loss == evaluate(bare, "val").loss
    assert training.records[0].train_loss == loop.train(loop.start(small())).records[0].train_loss


SWITCHES: dict[str, dict[str, Any]] = {
    "dropout": DROPPING,
    "autocast": {"arithmetic": {"autocast": "float16", "loss_scale": 256.0}},
    "all decay": {"optimizer.decay_mask": "all"},
    "untied, no bias": {"model": {"tied_embedding": False, "qkv_bias": False}},
}


@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())
def test_a_run_with_a_switch_that_is_killed_and_resumed_ends_the_same(
    switch: dict[str, Any], small: MakeConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Store(store.root, engine="pytorch")  # whose records are compared to the last bit
    monkeypatch.setattr(store_module, "CHECKPOINT_EVERY", 10)
    config = patched(small(), switch)
    steps: list[int] = []

    def kill(training: loop.Training) -> None:
        if training.step == 27:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reference.get(config, kill)
    run = reference.get(config, lambda training: steps.append(training.step))
    assert steps[0] == 21
    whole = loop.train(loop.start(config))
    assert run.fingerprint == whole.fingerprint()
    assert list(run.records) == whole.records
    assert run.fingerprint != loop.train(loop.start(small())).fingerprint()


@pytest.mark.parametrize("mask", ["matrices", "no_embedding", "all"])
def test_the_mask_of_the_config_is_that_of_the_optimizer(mask: Mask, small: MakeConfig) -> None:
    config = small(optimizer={"decay_mask": mask, "weight_decay": 0.3})
    training = loop.start(config)
    expected = parameter_groups(build_model(config.model, config.seed), 0.3, mask)
    sizes = [(group.weight_decay, len(group.values)) for group in training.optimizer.groups]
    assert sizes == [(group.weight_decay, len(group.values)) for group in expected]


def test_a_step_with_a_loss_that_is_not_finite_ends_the_run_and_changes_nothing(
    small: MakeConfig,
) -> None:
    training = loop.start(small())
    loop.advance(training)
    with torch.no_grad():
        training.model.ln_f.weight.fill_(math.inf)
    before = training.fingerprint()
    loop.train(training)
    assert training.diverged
    assert training.finished
    assert training.step == 1
    assert training.fingerprint() == before


def test_a_record_says_how_far_the_last_update_went_and_how_large_gradients_were(
    small: Callable[..., Config],
) -> None:
    training = loop.start(small(eval_interval=1, steps=3))
    seen: list[dict[str, torch.Tensor]] = [parameters(training)]
    loop.train(training, lambda t: seen.append(parameters(t)))
    first, *others = training.records
    assert first.update_norms == first.gradient_scales == {}
    for record, before, after in zip(others, seen, seen[1:], strict=False):
        moved = {name: after[name] - before[name] for name in after}
        assert record.update_norms == metrics.norms(moved)
        assert record.weight_norms == metrics.norms(after)
        assert set(record.gradient_scales) == set(record.weight_norms)
    (group, *_) = training.optimizer.groups
    beta2 = training.config.optimizer.betas[1]
    corrected = group.second_moment / (1 - beta2**3)
    assert others[-1].gradient_scales["mlp"] > 0
    assert max(others[-1].gradient_scales.values()) <= float(corrected.max().sqrt())


def test_a_record_splits_both_losses_by_part(small: Callable[..., Config]) -> None:
    training = loop.train(loop.start(small(steps=2)))
    for split in ("train", "val"):
        assert training.records[-1].parts[split] == metrics.evaluate(training.model, split).parts


def test_a_last_update_that_overflows_is_a_divergence(small: Callable[..., Config]) -> None:
    training = loop.train(
        loop.start(
            small(
                **{
                    "steps": 1,
                    "optimizer.learning_rate": 1e6,
                    "optimizer.weight_decay": 1e6,
                    "arithmetic.dtype": "float32",
                }
            )
        )
    )
    assert not math.isfinite(training.records[-1].val_loss)
    assert training.diverged


def parameters(training: Training) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}

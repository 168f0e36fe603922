"""Every check on our own GPT: healthy, with a fault planted, and on what it must refuse."""

import copy
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitrain import checks
from minitrain.checks import CannotJudge, Verdict
from minitrain.common.errors import UserError
from minitrain.training import corpus, loop
from minitrain.training.config import ModelConfig
from minitrain.training.model import GPT, build_model, language_model_loss
from minitrain.training.optim import Adam, decays
from minitrain.training.optim import parameter_groups as flat_groups
from minitrain.training.schedule import learning_rate

pytest_plugins = ["pytester"]

V = len(corpus.vocabulary())
LR, DECAY, STEPS = 1e-3, 0.1, 10


@pytest.fixture
def model() -> GPT:
    return build_model(ModelConfig(n_layer=1, n_head=2, d_model=16), seed=0)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(V, (3, 12), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batch() -> corpus.Batch:
    return corpus.encoded("train")[torch.arange(8)]


def adamw(model: nn.Module, kind: type[torch.optim.Optimizer] = torch.optim.AdamW, **more: Any):
    """The recipe that the course recommends: matrices decay, vectors do not."""
    named = list(model.named_parameters())
    groups = [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": DECAY},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    return kind(groups, lr=LR, **more)


def refuses(check: Callable[[], Any]) -> str:
    with pytest.raises(CannotJudge) as caught:
        check()
    return str(caught.value)


# A verdict


def test_a_verdict_is_true_if_the_check_passed_and_reads_as_one_line():
    good, bad = Verdict("causality", True, "Δ = 0"), Verdict("causality", False, "Δ = 1")
    assert good
    assert not bad
    assert f"{good}" == repr(good) == "✓ causality   Δ = 0"
    assert f"{bad}" == repr(bad) == "✗ causality   Δ = 1"


def test_a_refusal_is_a_user_error():
    assert issubclass(CannotJudge, UserError)


def test_pytest_shows_the_line_of_a_check_that_fails(pytester):
    pytester.makepyfile("""
        from minitrain import checks

        def test_step_0():
            assert checks.initial_loss(106.971, classes=85)
    """)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    line = "*assert ✗ initial_loss   step-0 loss 106.97, ln 85 = 4.44, ± 1.00*"
    result.stdout.fnmatch_lines([line])


def test_the_longest_line_fits_what_pytest_shows():
    layers = nn.ModuleDict({f"a_long_name_of_a_layer_{i}": nn.Linear(2, 2) for i in range(9)})
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2, 3)) for _ in range(9)])
    verdict = checks.updated_parameters(layers, lambda: None)
    assert "(+16)" in str(verdict)
    assert len(str(verdict)) < 240
    assert len(str(checks.parameter_groups(layers, optimizer))) < 240


# The loss before the first step


def test_our_gpt_knows_nothing_before_the_first_step(model, batch):
    loss = language_model_loss(model(batch.inputs), batch.targets)
    assert checks.initial_loss(loss, V)


def test_embeddings_from_n_0_1_are_seen_in_the_first_loss(model, batch):
    nn.init.normal_(model.token_embedding.weight, generator=torch.Generator().manual_seed(0))
    assert not checks.initial_loss(language_model_loss(model(batch.inputs), batch.targets), V)


@pytest.mark.parametrize("factor", [64, 1 / math.log(2), 1 / 4, 0])
def test_a_loss_that_is_summed_in_bits_divided_or_leaked_is_seen(factor):
    assert not checks.initial_loss(factor * math.log(85), 85)


def test_a_wider_tolerance_can_be_given():
    assert not checks.initial_loss(12.0, 32_000)
    assert checks.initial_loss(12.0, 32_000, tolerance=2)


# Causality


def test_our_gpt_does_not_see_the_future(model, tokens):
    for position in (None, 0, 10):
        assert checks.causality(model, tokens, position)


class Sees(nn.Module):
    """Logits that see `ahead` tokens of the future, as heavily as `weight` says."""

    def __init__(self, ahead: int, weight: float = 1.0):
        super().__init__()
        self.ahead, self.weight = ahead, weight
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(V, V, generator=generator))

    def forward(self, tokens: Tensor) -> Tensor:
        here = F.embedding(tokens, self.table)
        later = F.pad(here, (0, 0, 0, self.ahead))[:, self.ahead :]
        return here + self.weight * later


def test_one_token_of_the_future_is_seen(tokens):
    verdict = checks.causality(Sees(ahead=1), tokens, position=5)
    assert not verdict
    assert "first at 5" in verdict.evidence


@pytest.mark.parametrize("weight", [1e-2, 1e-5])
def test_a_leak_much_weaker_than_the_logits_is_seen(tokens, weight):
    assert not checks.causality(Sees(ahead=3, weight=weight), tokens)


def test_a_dropped_mask_is_seen(model, tokens, monkeypatch):
    attend = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, k, v, is_causal: attend(q, k, v)
    )
    assert not checks.causality(model, tokens)


# Evaluating twice


def test_our_gpt_evaluates_the_same_twice(model, batch):
    assert checks.repeatable(lambda: language_model_loss(model(batch.inputs), batch.targets).item())
    assert checks.repeatable(lambda: {"logits": model(batch.inputs), "n": [1, "two", None]})


def test_dropout_at_evaluation_is_seen_and_named(model, batch):
    assert not checks.repeatable(lambda: F.dropout(model(batch.inputs), 0.1))
    verdict = checks.repeatable(lambda: {"loss": 1.5, "noise": random.random()})
    assert verdict.evidence.startswith("noise: 0.")


def test_a_last_bit_and_a_part_that_comes_and_goes_are_seen():
    values = iter([1.0, math.nextafter(1.0, 2)])
    assert not checks.repeatable(lambda: next(values))
    parts = iter([{"a": 1}, {"b": 1}])
    assert not checks.repeatable(lambda: next(parts))


# The gradient of a split batch


def accumulated(model: GPT, batch: corpus.Batch, parts: int, mean_of_means: bool) -> None:
    total = (batch.targets != corpus.PAD).sum()
    for piece in checks.pieces({"inputs": batch.inputs, "targets": batch.targets}, parts):
        loss = language_model_loss(model(piece["inputs"]), piece["targets"])
        share = 1 / parts if mean_of_means else (piece["targets"] != corpus.PAD).sum() / total
        (loss * share).backward()


def whole(model: GPT, batch: corpus.Batch) -> None:
    language_model_loss(model(batch.inputs), batch.targets).backward()


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_tokens_as_weights_accumulate_the_gradient_of_the_batch(model, batch, parts):
    assert checks.split_gradient(
        model,
        whole=lambda: whole(model, batch),
        split=lambda: accumulated(model, batch, parts, mean_of_means=False),
    )


def test_a_mean_of_means_is_seen(model, batch):
    assert not checks.split_gradient(
        model,
        whole=lambda: whole(model, batch),
        split=lambda: accumulated(model, batch, 4, mean_of_means=True),
    )


def test_gradients_zeroed_between_the_parts_are_seen(model, batch):
    def split() -> None:
        for rows in checks.pieces(torch.arange(8), 2):
            model.zero_grad()
            whole(model, batch[rows])

    assert not checks.split_gradient(model, lambda: whole(model, batch), split)


def test_the_model_is_left_as_it_was(model, batch):
    whole(model, batch)
    before = [(p.detach().clone(), p.grad, p.grad.clone()) for p in model.parameters()]
    checks.split_gradient(model, *[lambda: whole(model, batch)] * 2)
    for p, (value, gradient, numbers) in zip(model.parameters(), before, strict=True):
        assert torch.equal(p, value)
        assert p.grad is gradient
        assert torch.equal(p.grad, numbers)


def test_the_model_is_put_back_even_if_the_step_fails(model, batch):
    before = copy.deepcopy(model.state_dict())

    def step() -> None:
        model.ln_f.weight.data.zero_()
        raise KeyError("batch")

    with pytest.raises(KeyError):
        checks.updated_parameters(model, step)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_the_statistics_of_a_batch_norm_are_put_back_and_it_fails():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) ** 3
    before = copy.deepcopy(model.state_dict())
    assert not checks.split_gradient(
        model,
        whole=lambda: model(x).square().mean().backward(),
        split=lambda: [(model(part).square().mean() / 2).backward() for part in x.chunk(2)],
    )
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


class Pair(NamedTuple):
    """A batch as a named tuple."""

    inputs: Tensor
    targets: Tensor


def test_a_named_tuple_stays_one():
    cut = checks.pieces(Pair(torch.arange(4), torch.arange(4)), 2)
    assert [piece.targets.tolist() for piece in cut] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_batch_is_cut_into_pieces_of_its_own_kind(kind):
    batch = kind([torch.arange(5), torch.arange(10).view(5, 2)])
    cut = checks.pieces(batch, 2)
    assert all(type(piece) is kind for piece in cut)
    assert [len(piece[0]) for piece in cut] == [3, 2]
    assert torch.equal(torch.cat([piece[1] for piece in cut]), batch[1])


# What a step changes


def stepper(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: corpus.Batch
) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        language_model_loss(model(batch.inputs), batch.targets).backward()
        optimizer.step()

    return step


def test_a_step_changes_every_parameter_and_the_check_puts_them_back(model, batch):
    before = copy.deepcopy(model.state_dict())
    verdict = checks.updated_parameters(model, stepper(model, adamw(model), batch))
    assert verdict
    n = len(list(model.parameters()))
    assert verdict.evidence == f"Δ ≠ 0: {n} / {n}"
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_a_step_of_our_own_loop_changes_every_parameter(small):
    training = loop.start(small())
    assert checks.updated_parameters(training.model, lambda: loop.advance(training))


def test_an_optimizer_of_another_model_changes_nothing(model, batch):
    other = adamw(copy.deepcopy(model))
    verdict = checks.updated_parameters(model, stepper(model, other, batch))
    assert not verdict
    assert "Δ ≠ 0: 0 / 16; Δ = 0: token_embedding.weight" in verdict.evidence


def test_a_layer_that_no_step_moves_is_named(model, batch):
    optimizer = adamw(model)
    model.ln_f = nn.LayerNorm(16, dtype=torch.float64)
    verdict = checks.updated_parameters(model, stepper(model, optimizer, batch))
    assert not verdict
    assert verdict.evidence == "Δ ≠ 0: 14 / 16; Δ = 0: ln_f.weight, ln_f.bias"


def test_a_frozen_embedding_that_decays_is_named(model, batch):
    optimizer = adamw(model)
    frozen = model.position_embedding.weight.requires_grad_(False)

    def step() -> None:
        stepper(model, adamw(model), batch)
        frozen.grad = torch.zeros_like(frozen)
        optimizer.step()

    verdict = checks.updated_parameters(model, step)
    assert "frozen, Δ ≠ 0: position_embedding.weight" in verdict.evidence
    assert not verdict


def test_a_warm_up_that_begins_at_zero_is_no_fault(model, batch):
    optimizer = adamw(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: i / 10)
    advance = stepper(model, optimizer, batch)
    assert checks.updated_parameters(model, lambda: (advance(), schedule.step()))


def test_what_feeds_a_layer_at_zero_moves_one_step_later(batch):
    model = nn.Sequential(nn.Embedding(V, 4), nn.Linear(4, V))
    nn.init.zeros_(model[1].weight)
    step = stepper(model, torch.optim.SGD(model.parameters(), lr=1.0), batch)
    assert checks.updated_parameters(model, step, steps=1).evidence.endswith("Δ = 0: 0.weight")
    assert checks.updated_parameters(model, step)


# Zero gradients


@pytest.mark.parametrize("more", [{}, {"foreach": True}, {"fused": True}, {"amsgrad": True}])
def test_adamw_does_nothing_but_decay(model, more):
    assert checks.zero_gradient(model, adamw(model, **more))


def test_moments_do_not_hide_it_and_nothing_of_the_callers_changes(model, batch):
    optimizer = adamw(model)
    stepper(model, optimizer, batch)()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    gradients = [p.grad for p in model.parameters()]
    rng = torch.get_rng_state()
    assert checks.zero_gradient(model, optimizer)
    after = (model.state_dict(), optimizer.state_dict())
    assert checks.repeatable(iter([before, after]).__next__)
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(rng, torch.get_rng_state())


def test_adam_in_place_of_adamw_is_seen(model):
    verdict = checks.zero_gradient(model, adamw(model, torch.optim.Adam))
    assert not verdict
    assert "≠: 6 / 16; token_embedding.weight: ‖θ‖ × " in verdict.evidence
    assert checks.zero_gradient(model, adamw(model, torch.optim.Adam), expected="l2")


def test_the_decay_of_sgd_is_an_l2_penalty_and_no_fault(model):
    assert checks.zero_gradient(model, adamw(model, torch.optim.SGD), expected="decoupled")
    momentum = adamw(model, torch.optim.SGD, momentum=0.9)
    assert checks.zero_gradient(model, momentum)
    assert not checks.zero_gradient(model, momentum, expected="decoupled")


def test_learning_rates_of_their_own_and_no_decay_at_all_are_judged(model):
    groups = [{"params": [p], "lr": 0.01 / i} for i, p in enumerate(model.parameters(), start=1)]
    assert checks.zero_gradient(model, torch.optim.AdamW(groups, weight_decay=0.5))
    assert checks.zero_gradient(model, torch.optim.Adam(groups))


def test_a_decay_of_a_few_parts_in_ten_million_is_seen_in_float32(model):
    model.float()
    assert checks.zero_gradient(model, torch.optim.AdamW(model.parameters(), lr=5e-5))
    assert not checks.zero_gradient(
        model, torch.optim.Adam(model.parameters(), lr=5e-5, weight_decay=1e-2)
    )


TORCH = torch.optim
DECOUPLED = [
    (TORCH.AdamW, {}),
    (TORCH.Adam, {"decoupled_weight_decay": True}),
    (TORCH.NAdam, {"decoupled_weight_decay": True}),
    (TORCH.RAdam, {"decoupled_weight_decay": True}),
    (TORCH.Adafactor, {}),
]
COUPLED = [TORCH.Adam, TORCH.NAdam, TORCH.RAdam, TORCH.Adamax, TORCH.Adagrad, TORCH.RMSprop]


@pytest.mark.parametrize(("kind", "more"), DECOUPLED)
def test_every_decoupled_decay_of_pytorch_passes(model, kind, more):
    assert checks.zero_gradient(model, adamw(model, kind, **more))


@pytest.mark.parametrize("kind", COUPLED)
def test_every_l2_penalty_behind_moments_is_seen(model, kind):
    assert not checks.zero_gradient(model, adamw(model, kind))
    assert checks.zero_gradient(model, adamw(model, kind), expected="l2")


def test_muon_beside_adamw_passes_on_its_matrices(model):
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    assert checks.zero_gradient(model, torch.optim.Muon(matrices, lr=LR, weight_decay=DECAY))


def test_a_decay_that_was_meant_but_not_set_is_seen(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0)
    meant = {name: LR * DECAY for name, p in model.named_parameters() if p.ndim >= 2}
    assert checks.zero_gradient(model, optimizer)
    assert not checks.zero_gradient(model, optimizer, shrinkage=meant)


class Inherits(torch.optim.AdamW):
    """An optimizer with an attribute of its own, and decay as often as it says."""

    def __init__(self, parameters: Any, times: int, **more: Any):
        super().__init__(parameters, **more)
        self.times = times

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_((1 - group["lr"] * group["weight_decay"]) ** self.times)
        super().step()


@pytest.mark.parametrize(("times", "passes"), [(0, True), (1, False), (-1, False)])
def test_decay_applied_twice_or_taken_back_is_seen(model, times, passes):
    optimizer = Inherits(model.parameters(), times=times, lr=LR, weight_decay=DECAY)
    assert bool(checks.zero_gradient(model, optimizer)) is passes


class TakesNothing(torch.optim.SGD):
    """A step without a closure, as hand-written optimizers have."""

    def step(self) -> None:
        super().step()


def test_a_step_without_arguments_and_one_that_a_schedule_wraps_are_judged(model):
    optimizer = TakesNothing(model.parameters(), lr=LR, weight_decay=DECAY)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: i / 10)
    assert optimizer.param_groups[0]["lr"] == 0
    assert checks.zero_gradient(model, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0


@pytest.mark.parametrize(("decay", "passes"), [("decoupled", True), ("l2", False)])
def test_our_own_optimizer_is_told_apart_by_its_step(model, decay, passes):
    optimizer = Adam(flat_groups(model, DECAY), decay=decay)
    declared = {
        name: LR * DECAY for name, p in model.named_parameters() if decays(name, p, "matrices")
    }
    before = copy.deepcopy(model.state_dict())
    verdict = checks.zero_gradient(model, lambda: optimizer.step(LR), shrinkage=declared)
    assert bool(verdict) is passes
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_a_step_that_forgets_the_decay_is_seen(model):
    optimizer = Adam(flat_groups(model, 0.0))
    declared = {"token_embedding.weight": LR * DECAY}
    assert not checks.zero_gradient(model, lambda: optimizer.step(LR), shrinkage=declared)


# The groups


def test_the_groups_are_listed(model):
    verdict = checks.parameter_groups(model, adamw(model), checks.vectors)
    assert verdict
    assert verdict.evidence == ("6 × 2-D, 3968, lr 0.001, wd 0.1; 10 × 1-D, 240, lr 0.001, wd 0")


def test_decay_on_everything_is_named_where_it_is_asked(model):
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=DECAY)
    assert checks.parameter_groups(model, optimizer)
    verdict = checks.parameter_groups(model, optimizer, checks.vectors)
    assert not verdict
    assert verdict.evidence == (
        "decays: blocks.0.ln_1.weight, blocks.0.ln_1.bias, blocks.0.attention.qkv.bias, … (+7)"
    )


def test_a_list_of_names_that_matches_nothing_leaves_an_empty_group(model):
    named = list(model.named_parameters())
    no_decay = ("bias", "LayerNorm.weight")
    optimizer = torch.optim.AdamW(  # pytorchic-bert PR #22: whole names are never in the list
        [
            {"params": [p for n, p in named if n not in no_decay], "weight_decay": DECAY},
            {"params": [p for n, p in named if n in no_decay], "weight_decay": 0.0},
        ]
    )
    verdict = checks.parameter_groups(model, optimizer)
    assert not verdict
    assert verdict.evidence == "empty: group 1"


def test_a_part_that_was_replaced_is_in_one_but_not_the_other(model):
    optimizer = adamw(model)
    model.token_embedding = nn.Embedding(V + 1, 16)
    verdict = checks.parameter_groups(model, optimizer)
    assert not verdict
    assert verdict.evidence == f"∉ optimizer: token_embedding.weight; ∉ model: ({V}, 16)"


def test_a_parameter_in_two_groups_is_named(model):
    groups = [{"params": list(model.parameters())}, {"params": [model.token_embedding.weight]}]
    verdict = checks.parameter_groups(model, groups)
    assert not verdict
    assert verdict.evidence == "twice: token_embedding.weight"


@pytest.mark.parametrize(("mask", "passes"), [("matrices", True), ("all", False)])
def test_our_own_groups_are_judged_as_dicts(model, mask, passes):
    groups = [
        {"params": group.parameters, "weight_decay": group.weight_decay}
        for group in flat_groups(model, DECAY, mask)
    ]
    assert bool(checks.parameter_groups(model, groups, checks.vectors)) is passes


# Learning rates


def test_our_schedule_is_what_our_loop_uses(small):
    config = small(eval_interval=1, steps=8, schedule={"warmup_steps": 3})
    training = loop.train(loop.start(config))
    used = [record.learning_rate for record in training.records[1:]]
    assert checks.learning_rates(used, lambda i: learning_rate(i, config))


def schedule_of(per: int) -> Sequence[float]:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    steps = 0

    def step() -> None:
        nonlocal steps
        optimizer.step()
        steps += 1
        if steps % per == 0:
            schedule.step()

    return checks.learning_rate_trace(optimizer, step, 8)


def test_a_schedule_stepped_per_epoch_is_seen():
    expected = [(1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]
    assert checks.learning_rates(schedule_of(per=1), expected)
    verdict = checks.learning_rates(schedule_of(per=4), expected)
    assert not verdict
    assert verdict.evidence == "step 1: 1 ≠ 0.9619; 7 / 8 ≠"


def test_updates_that_are_missing_are_seen():
    assert checks.learning_rates([1.0, 0.5], [1.0, 0.5, 0.1]).evidence == "n = 2 ≠ 3"


# Stop and resume


@pytest.fixture
def resuming(small):
    """The callables that resume our own training, without the parts that are `lost`."""
    config = small(model={"dropout": 0.1})

    def save(run: loop.Training) -> dict[str, Any]:
        moments = [(g.first_moment, g.second_moment) for g in run.optimizer.groups]
        return {
            "model": run.model.state_dict(),
            "moments": moments,
            "updates": run.optimizer.steps,
            "step": run.step,
        }

    def make(*lost: str) -> dict[str, Callable[..., Any]]:
        def load(saved: dict[str, Any]) -> loop.Training:
            run = loop.start(config)
            if "model" not in lost:
                run.model.load_state_dict(saved["model"])
            if "moments" not in lost:
                run.optimizer.steps = saved["updates"]
                for group, moments in zip(run.optimizer.groups, saved["moments"], strict=True):
                    group.first_moment.copy_(moments[0])
                    group.second_moment.copy_(moments[1])
            if "step" not in lost:
                run.step = saved["step"]
            return run

        return {
            "start": lambda: loop.start(config),
            "advance": loop.advance,
            "save": save,
            "load": load,
            "state": lambda run: run.model.state_dict(),
        }

    return make


def test_our_training_resumes_to_the_last_bit(resuming):
    state, rng = random.getstate(), torch.get_rng_state()
    assert checks.resume(**resuming())
    assert random.getstate() == state
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize("lost", ["model", "moments", "step"])
def test_what_is_not_restored_is_seen(resuming, lost):
    verdict = checks.resume(**resuming(lost))
    assert not verdict
    assert ("on load" in verdict.evidence) is (lost == "model")


def test_moments_can_be_named(resuming):
    def state(run: loop.Training) -> dict[str, Tensor]:
        return {f"moment {i}": g.first_moment for i, g in enumerate(run.optimizer.groups)}

    verdict = checks.resume(**resuming("moments") | {"state": state})
    assert "≠ on load: moment 0, moment 1" in verdict.evidence
    assert not verdict


@pytest.mark.parametrize("draw", [lambda: torch.rand(()).item(), random.random])
def test_random_numbers_that_are_not_saved_are_seen(draw):
    def start() -> list[Tensor]:
        torch.manual_seed(0)
        random.seed(0)
        return [torch.zeros(())]

    verdict = checks.resume(
        start=start,
        advance=lambda run: run[0].add_(draw()),
        save=lambda run: run[0].item(),
        load=lambda saved: [torch.tensor(saved)],
        state=lambda run: {"x": run[0]},
    )
    assert not verdict


# Data


def test_our_splits_share_no_item_but_they_share_verbs():
    train, val = corpus.split("train"), corpus.split("val")
    assert checks.overlap(train, val)
    verdict = checks.overlap(train, val, key=lambda item: item.verb)
    assert not verdict
    assert verdict.evidence.startswith("|train ∩ other| = ")


def test_a_leaked_item_is_counted_whatever_its_precision():
    train = torch.arange(40).view(20, 2)
    verdict = checks.overlap(train, [*train[15:].int().tolist(), [0.5, 1]])
    assert verdict  # a list is not a tensor
    verdict = checks.overlap(train, [torch.tensor([0, 0]), *train[15:].int().numpy()])
    assert not verdict
    assert verdict.evidence == "|train ∩ other| = 5 / 6, first: other[1]"


def test_our_batches_and_a_shuffling_loader_do_not_repeat(small):
    assert checks.repeats(loop.batch_indices(small()))
    loader = torch.utils.data.DataLoader(torch.arange(64), batch_size=8, shuffle=True)
    assert checks.repeats(loader)
    assert checks.repeats([list(loader), list(loader)])


def test_an_order_without_shuffling_and_workers_that_share_a_seed_are_seen():
    loader = torch.utils.data.DataLoader(torch.arange(64), batch_size=8)
    assert not checks.repeats([list(loader), list(loader)])
    workers = [torch.rand(4, generator=torch.Generator().manual_seed(0)) for _ in range(3)]
    verdict = checks.repeats(workers)
    assert not verdict
    assert verdict.evidence == "1 distinct / 3; batch 1 = batch 0"


# Padding


def next_tokens(model: nn.Module, at_the_end: bool) -> Callable[[list[Tensor]], list[int]]:
    """The most probable next token after each prompt: after its own end, or the batch's."""

    def decode(prompts: list[Tensor]) -> list[int]:
        logits = model(nn.utils.rnn.pad_sequence(prompts, batch_first=True))
        ends = [(logits.shape[1] if at_the_end else len(prompt)) - 1 for prompt in prompts]
        return [int(row[end].argmax()) for row, end in zip(logits, ends, strict=True)]

    return decode


@pytest.mark.parametrize(("at_the_end", "passes"), [(False, True), (True, False)])
def test_a_next_token_read_from_the_padding_is_seen(model, tokens, at_the_end, passes):
    for p in model.parameters():
        p.data.mul_(10)  # or it would answer alike
    prompts = [tokens[0, :3], tokens[1, :7], tokens[2]]
    verdict = checks.padding(next_tokens(model, at_the_end), prompts)
    assert bool(verdict) is passes
    assert verdict.evidence.startswith("3 / 3 equal" if passes else "2 / 3 equal; prompt 1: ")


# Refusals

PLAIN = nn.Linear(2, 2)
ONE = torch.ones(1, 2, dtype=torch.int64)
TWO = torch.arange(6).view(2, 3)


class Remembers(nn.Linear):
    """It keeps a tensor with a history, which PyTorch does not copy."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.last = 2 * self.weight


def constant(tokens: Tensor) -> Tensor:
    return torch.zeros(*tokens.shape, 5)


def sgd(model: nn.Module = PLAIN, **more: Any) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), **more)


def resume_with(**changes: Any) -> Verdict:
    parts: dict[str, Any] = {
        "start": lambda: [torch.zeros(())],
        "advance": lambda run: run[0].add_(1),
        "save": lambda run: run,
        "load": lambda saved: saved,
        "state": lambda run: {"x": run[0]},
    }
    return checks.resume(**parts | changes)


def backward(scale: float = 1.0) -> Callable[[], None]:
    return lambda: (scale * PLAIN.weight.sum()).backward()


def poison() -> None:
    PLAIN.weight.data.fill_(math.nan)


REFUSALS: list[tuple[Callable[[], Any], str]] = [
    (lambda: checks.initial_loss(math.nan, 5), "loss: nan"),
    (lambda: checks.initial_loss(1.0, 1), "classes: 1; there is nothing to choose between"),
    (lambda: checks.initial_loss("low", 5), "loss: a str is not a number"),
    (lambda: checks.initial_loss(torch.ones(2), 5), "loss: shape (2,); expected one number"),
    (
        lambda: checks.causality(constant, torch.ones(3)),
        "tokens: expected integers of shape (B, T)",
    ),
    (
        lambda: checks.causality(constant, torch.zeros(0, 4).long()),
        "tokens: shape (0, 4); B is at least 1, T at least 2",
    ),
    (
        lambda: checks.causality(constant, ONE[:, :1]),
        "tokens: shape (1, 1); B is at least 1, T at least 2",
    ),
    (lambda: checks.causality(constant, TWO, 2), "position: 2 is not in 0 … 1"),
    (lambda: checks.causality(constant, TWO, -1), "position: -1 is not in 0 … 1"),
    (
        lambda: checks.causality(constant, ONE),
        "tokens: all are [1]; two different ones are needed",
    ),
    (
        lambda: checks.causality(constant, TWO),
        "logits_of: the logits after 0 do not depend on the tokens there",
    ),
    (
        lambda: checks.causality(lambda t: constant(t) / 0, TWO),
        "logits_of: holds NaN or infinity",
    ),
    (
        lambda: checks.causality(lambda t: F.dropout(constant(t) + 1), TWO),
        "logits_of: two calls on the same tokens differ; is dropout on?",
    ),
    (lambda: checks.causality(lambda t: (t,), TWO), "logits_of: returned a tuple, not a tensor"),
    (
        lambda: checks.causality(lambda t: constant(t)[:, -1], TWO),
        "logits_of: shape (2, 5), expected (2, 3, 'V')",
    ),
    (lambda: checks.repeatable(lambda: None), "evaluate: returned nothing to compare"),
    (lambda: checks.repeatable(lambda: []), "evaluate: returned nothing to compare"),
    (lambda: checks.repeatable(lambda: math.nan), "evaluate: holds NaN or infinity"),
    (lambda: checks.repeatable(lambda: {"a": math.inf}), "evaluate a: holds NaN or infinity"),
    (
        lambda: checks.repeatable(lambda: nn.Identity()),
        "evaluate: cannot read a Identity (tensors, numbers, text)",
    ),
    (
        lambda: checks.split_gradient(nn.ReLU(), backward(), backward()),
        "model: ReLU has no parameters",
    ),
    (
        lambda: checks.split_gradient(PLAIN, lambda: None, backward()),
        "whole: leaves no gradient in the model",
    ),
    (
        lambda: checks.split_gradient(PLAIN, backward(math.nan), backward()),
        "whole: holds NaN or infinity",
    ),
    (
        lambda: checks.split_gradient(PLAIN, lambda: backward(random.random())(), backward()),
        "whole: two calls leave different gradients; is dropout on?",
    ),
    (
        lambda: checks.split_gradient(PLAIN, backward(), lambda: PLAIN.bias.data.add_(1)),
        "split: changes bias; leave the optimizer's step out",
    ),
    (lambda: checks.pieces(torch.ones(1, 3), 2), "parts: 2, for a batch of 1 rows"),
    (lambda: checks.pieces(torch.ones(3), 1), "parts: 1, for a batch of 3 rows"),
    (
        lambda: checks.pieces((torch.ones(3), torch.ones(2)), 2),
        "batch: [2, 3] rows; one number of rows is needed",
    ),
    (lambda: checks.pieces("abc", 2), "batch: str; expected tensors, or a tuple or dict of them"),
    (lambda: checks.pieces({}, 2), "batch: dict; expected tensors, or a tuple or dict of them"),
    (
        lambda: checks.updated_parameters("gpt2", lambda: None),
        "model: a str is not a torch.nn.Module",
    ),
    (
        lambda: checks.updated_parameters(nn.LazyLinear(2), lambda: None),
        "model: weight is lazy and has no shape yet; call the model once",
    ),
    (
        lambda: checks.updated_parameters(nn.Linear(2, 2, device="meta"), lambda: None),
        "model: weight is on the meta device and has no values",
    ),
    (
        lambda: checks.updated_parameters(nn.Linear(2, 2).requires_grad_(False), lambda: None),
        "model: no parameter has requires_grad",
    ),
    (lambda: checks.updated_parameters(PLAIN, lambda: None, steps=0), "steps: 0"),
    (lambda: checks.updated_parameters(PLAIN, poison), "step: weight: holds NaN or infinity"),
    (lambda: checks.zero_gradient(nn.ReLU(), sgd()), "model: ReLU has no parameters"),
    (lambda: checks.zero_gradient(PLAIN, sgd(), steps=0), "steps: 0"),
    (
        lambda: checks.zero_gradient(PLAIN, sgd(lr=0.0)),
        "optimizer: group 0 has lr 0.0, at which nothing decays",
    ),
    (
        lambda: checks.zero_gradient(PLAIN, lambda: None),
        "optimizer: a function has no param_groups; give a step, and shrinkage",
    ),
    (
        lambda: checks.zero_gradient(PLAIN, lambda: None, shrinkage={"head": 0.1}),
        "shrinkage: the model has no head",
    ),
    (
        lambda: checks.zero_gradient(PLAIN, lambda: None, shrinkage={"weight": 1e-8}),
        "weight: lr × weight_decay = 1e-08 is lost to rounding",
    ),
    (
        lambda: checks.zero_gradient(PLAIN, torch.optim.LBFGS(PLAIN.parameters())),
        "optimizer: LBFGS makes no step without a loss",
    ),
    (
        lambda: checks.zero_gradient(Remembers(), sgd(Remembers())),
        "model: Remembers cannot be copied; give a step, and shrinkage",
    ),
    (
        lambda: checks.zero_gradient(nn.Linear(2, 2), sgd()),
        "optimizer: holds no parameter of the model",
    ),
    (
        lambda: checks.parameter_groups(PLAIN, Adam(flat_groups(nn.Linear(2, 2), 0.1))),
        "optimizer: a Adam has no param_groups",
    ),
    (lambda: checks.parameter_groups(PLAIN, []), "optimizer: a list has no param_groups"),
    (lambda: checks.parameter_groups(PLAIN, [{}]), 'optimizer: group 0 has no "params"'),
    (
        lambda: checks.learning_rate_trace(PLAIN, lambda: None, 1),
        "optimizer: a Linear is no torch.optim.Optimizer",
    ),
    (lambda: checks.learning_rate_trace(sgd(), lambda: None, 0), "steps: 0"),
    (lambda: checks.learning_rate_trace(sgd(), lambda: None, 1, group=1), "group: 1, of 1"),
    (lambda: checks.learning_rates([], [0.1]), "used: no update was made"),
    (lambda: checks.learning_rates([0.1], []), "expected: a schedule of no steps"),
    (lambda: checks.learning_rates([0.1], [math.nan]), "used, expected: hold NaN or infinity"),
    (lambda: resume_with(before=0), "before, after: 0, 3; both are at least 1"),
    (lambda: resume_with(advance=lambda run: None), "advance: changes nothing in state"),
    (lambda: resume_with(state=lambda run: {}), "state: returned dict, expected tensors by name"),
    (
        lambda: resume_with(state=lambda run: {"x": 1}),
        "state: x is a int, expected tensors by name",
    ),
    (
        lambda: resume_with(start=lambda: [torch.rand(())]),
        "start: two runs differ without a stop, first in x",
    ),
    (lambda: checks.overlap([], [1]), "train: is empty"),
    (lambda: checks.overlap([1], []), "other: is empty"),
    (
        lambda: checks.overlap([nn.Identity()], [1]),
        "train: cannot read a Identity (tensors, numbers, text)",
    ),
    (lambda: checks.repeats([]), "batches: 0; nothing could come twice"),
    (lambda: checks.repeats([1]), "batches: 1; nothing could come twice"),
    (
        lambda: checks.padding(lambda prompts: prompts, ["ab", "cd"]),
        "prompts: 2 of length [2]; none is padded",
    ),
    (
        lambda: checks.padding(lambda prompts: prompts[:1], ["ab", "c"]),
        "decode: returned 1 for 2 prompts",
    ),
    (
        lambda: checks.padding(lambda prompts: prompts[1:] * 2, ["ab", "c"]),
        "decode: returned 0 for 1 prompts",
    ),
    (
        lambda: checks.padding(lambda prompts: [random.random() for _ in prompts], ["ab", "c"]),
        "decode: twice the same prompt alone differs; is it sampled?",
    ),
    (
        lambda: checks.padding(lambda prompts: ["x" for _ in prompts], ["ab", "c"]),
        "decode: answers every prompt alike, 'x'",
    ),
]


@pytest.mark.parametrize(("check", "message"), REFUSALS, ids=[line for _, line in REFUSALS])
def test_what_cannot_be_judged_is_refused_in_one_line(check, message):
    assert refuses(check) == message
    assert torch.isfinite(PLAIN.weight).all()

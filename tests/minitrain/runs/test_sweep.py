"""Many runs at once are the same runs, in the order in which they were asked for."""

import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from minitrain.common.errors import UserError
from minitrain.runs import sweep, workload
from minitrain.runs.elsewhere import Order
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Progress, Run, Store
from minitrain.runs.sweep import run_all
from minitrain.runs.workload import cost
from minitrain.training.config import Config, patched
from minitrain.training.loop import start, train

MakeConfig = Callable[..., Config]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[Config]]:
    """What `run_all` hands over for training, which then happens here, one after the other."""
    calls: list[list[Config]] = []

    def train_here(recipes: Sequence[Recipe], store: Store, *_rest: object) -> None:
        calls.append([recipe.config for recipe in recipes])
        for recipe in reversed(recipes):
            store.get(recipe)

    monkeypatch.setattr(sweep, "_train", train_here)
    return calls


def test_runs_come_back_in_order_and_equal_configs_are_trained_once(
    store: Store, small: MakeConfig, asked: list[list[Config]]
) -> None:
    a, b, c = (small(seed=seed) for seed in (3, 1, 2))
    runs = run_all([a, b, a, c, b], store)
    assert [run.config for run in runs] == [a, b, a, c, b]
    assert asked == [[a, b, c]]


def test_what_the_store_has_is_not_trained_again(
    store: Store, small: MakeConfig, asked: list[list[Config]]
) -> None:
    a, b = small(seed=1), small(seed=2)
    store.get(a)
    run_all([a, b], store)
    run_all([b, a], store)
    assert asked == [[b]]


def test_nothing_is_asked_for_nothing(store: Store, asked: list[list[Config]]) -> None:
    assert run_all([], store) == []
    assert asked == []


def test_runs_trained_side_by_side_are_those_trained_alone(
    store: Store, small: MakeConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    """And nothing is written where there is no terminal: a notebook would keep it."""
    configs = [small(seed=seed) for seed in (5, 6, 5)]
    runs = run_all(iter(configs), store)
    assert [run.config for run in runs] == configs
    alone = [train(start(config)).fingerprint() for config in configs]
    assert [run.fingerprint for run in runs] == alone
    assert len(set(alone)) == 2
    assert capfd.readouterr() == ("", "")


def test_one_run_alone_needs_no_other_process(
    store: Store, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "Cores", None)
    (run,) = run_all([small()], store)
    assert run.config == small()


def test_a_disk_that_cannot_be_written_is_one_line_from_a_sweep_too(
    tmp_path: Path, small: MakeConfig
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write the run"):
        run_all([small(seed=1), small(seed=2)], Store(tmp_path / "file" / "runs"))


def test_a_damaged_run_is_mentioned_once_and_by_this_process(
    store: Store, small: MakeConfig, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    configs = [small(seed=seed) for seed in (1, 2)]
    for config in configs:
        store.get(config)
        (store.path(config) / "run.json").write_text("damaged")
    for wanted in (configs, configs[:1]):
        (store.path(configs[0]) / "run.json").write_text("damaged")
        caplog.clear()
        run_all(wanted, store)
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == len(wanted)
        assert all("run.json" in message for message in messages)
    assert capfd.readouterr().err == ""


class Faulty(Store):
    """A store that trains seed 1 and not seed 2."""

    def get(self, wanted: Config | Recipe, progress: Progress | None = None) -> Run:
        if Recipe.of(wanted).config.seed == 2:
            self.fail()
        return super().get(wanted, progress)

    def fail(self) -> None:
        raise NotImplementedError


class OddError(Exception):
    """Cannot be made from its message alone, so it cannot be sent between processes."""

    def __init__(self, left: int, right: int):
        super().__init__(f"{left} is not {right}")


class Dividing(Faulty):
    def fail(self) -> None:
        1 / 0  # noqa: B018


class Odd(Faulty):
    def fail(self) -> None:
        raise OddError(1, 2)


class Dying(Faulty):
    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("store_type", "error", "message"),
    [
        (Dividing, ZeroDivisionError, "division by zero"),
        (Odd, RuntimeError, "OddError: 1 is not 2"),
        (Dying, UserError, r"a process that trains died \(exit status -9\)"),
    ],
)
def test_what_goes_wrong_in_a_process_that_trains_surfaces_here(
    store_type: type[Store],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    small: MakeConfig,
) -> None:
    """As it is, with the lines that raised it; and no process is left behind."""
    with pytest.raises(error, match=message) as caught:
        run_all([small(seed=1), small(seed=2, steps=50)], store_type(tmp_path))
    if error is ZeroDivisionError:
        assert "in fail" in str(caught.value.__cause__)
    assert not multiprocessing.active_children()


def test_the_dearest_run_is_trained_first(small: MakeConfig, store: Store) -> None:
    """By an executor that trains at once and here, in the order in which it is asked."""
    order: list[Recipe] = []

    class Here:
        def submit(self, function: Callable[..., Any], wanted: Order, *rest: Any) -> "Future[Any]":
            order.append(wanted.recipe)
            future = Future[Any]()
            future.set_result(function(wanted, *rest))
            return future

    cheap, dear, wide = recipes = [
        Recipe(small(steps=20)),
        Recipe(small(steps=60)),
        Recipe(small(steps=30, model={"d_model": 64})),
    ]
    run_all(recipes, store, executor=Here())
    assert order == [wide, dear, cheap]


@given(
    steps=st.integers(1, 5000),
    batch_size=st.integers(1, 64),
    n_layer=st.integers(1, 6),
    d_model=st.sampled_from([8, 64, 128]),
)
def test_more_of_anything_costs_more(
    steps: int, batch_size: int, n_layer: int, d_model: int
) -> None:
    config = patched(
        Config(),
        {
            "steps": steps,
            "batch_size": batch_size,
            "eval_interval": 10,
            "model": {"n_layer": n_layer, "d_model": d_model},
            "schedule.warmup_steps": 0,
        },
    )
    for more in (
        {"steps": 2 * steps},
        {"batch_size": 2 * batch_size},
        {"eval_interval": 1},
        {"model.n_layer": 2 * n_layer},
        {"model.d_model": 2 * d_model},
        {"arithmetic.autocast": "bfloat16"},
    ):
        if "eval_interval" not in more or steps > 10:
            assert cost(patched(config, more)) > cost(config), more
    assert cost(patched(config, {"arithmetic.dtype": "float32"})) < cost(config)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Where the bar is drawn."""
    screen = Terminal()
    monkeypatch.setattr(workload, "tqdm", partial(tqdm, file=screen, ncols=80, mininterval=0))
    return screen


def test_the_bar_counts_work_done_here_and_ends_full(small: MakeConfig, terminal: Terminal) -> None:
    """A whole run, one resumed at step 30 of 40, one that diverges at step 10, one found done."""
    whole, resumed, diverged, _ = recipes = [Recipe(small(seed=seed)) for seed in range(4)]
    once = cost(whole.config)
    progress = workload.Workload(recipes)
    assert progress.bar.total == 4 * once
    for step in range(1, 41):
        progress.reach(whole, step)
    assert progress.bar.n == once
    for step in range(31, 41):
        progress.reach(resumed, step)
    for step in range(1, 11):
        progress.reach(diverged, step)
    done = once + once * 10 // 40 * 2
    assert progress.bar.n == pytest.approx(done, abs=4)
    assert progress.bar.total == pytest.approx(done + once * (30 / 40 + 1), abs=4)
    for recipe in recipes:
        progress.finish(recipe)
    assert progress.bar.n == progress.bar.total
    shown = terminal.getvalue()
    assert "0/4 runs" in shown
    assert "100%" in shown
    assert shown.rstrip().endswith("4/4 runs")

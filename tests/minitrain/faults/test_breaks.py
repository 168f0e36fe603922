"""The breaks of the course bite: each fault has its symptom on every seed, and its fix undoes it.

These are the runs that the book shows, taken from the same store: after `make book` nothing is
trained here, on a fresh machine they are trained now.
"""

from pathlib import Path

import pytest

from minitrain.common import paths
from minitrain.labs.lab import Lab
from minitrain.pages import plots
from minitrain.runs.store import Run
from minitrain.training import loop, metrics
from minitrain.training.config import Config, differing, patched

LAB = Lab("18-the-run-that-remembers")


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Run]]:
    return LAB.runs("control", "break", "over", "l2", "recipe", "recipe-break", "l2-small")


def finals(runs: list[Run], quantity: plots.Quantity) -> list[float]:
    return [quantity(run.last) for run in runs]


def test_no_run_of_the_lab_diverges(runs: dict[str, list[Run]]) -> None:
    assert not any(run.diverged for seeds in runs.values() for run in seeds)


def test_without_decay_the_training_loss_is_lower_and_the_validation_loss_higher(
    runs: dict[str, list[Run]],
) -> None:
    train, val = plots.train_loss, plots.val_loss
    assert max(finals(runs["break"], train)) < min(finals(runs["control"], train))
    assert min(finals(runs["break"], val)) > 1.1 * max(finals(runs["control"], val))


def test_without_decay_the_gap_is_larger_by_half_on_every_seed(runs: dict[str, list[Run]]) -> None:
    assert min(finals(runs["break"], plots.gap)) > 1.5 * max(finals(runs["control"], plots.gap))


def test_without_decay_the_embedding_grows_three_times_as_large(
    runs: dict[str, list[Run]],
) -> None:
    norm = plots.embedding_norm
    assert min(finals(runs["break"], norm)) > 3 * max(finals(runs["control"], norm))


def test_until_step_800_the_broken_runs_are_ahead(runs: dict[str, list[Run]]) -> None:
    for quantity, sign in ((plots.val_loss, -1), (plots.accuracy("val"), 1)):
        for healthy, broken in zip(runs["control"], runs["break"], strict=True):
            at = [record.step for record in healthy.records].index(800)
            ahead = quantity(broken.records[at]) - quantity(healthy.records[at])
            assert sign * ahead > 0.03


def test_from_step_900_on_it_is_the_prompt_whose_loss_rises(runs: dict[str, list[Run]]) -> None:
    for run in runs["break"]:
        at = [record.step for record in run.records].index(900)
        before, after = (record.parts["val"]["prompt"] for record in (run.records[at], run.last))
        assert after > before + 0.03


def test_zero_gradients_tell_the_fault_from_its_nearest_neighbour() -> None:
    """A mask that spares the embeddings also lets their norm grow; decay off moves nothing."""
    healthy = LAB.config("control")
    spared = patched(healthy, {"optimizer.decay_mask": "no_embedding"})
    moved = {
        name: idle(config)
        for name, config in {
            "control": healthy,
            "break": LAB.config("break"),
            "spared": spared,
        }.items()
    }
    assert moved["control"] == {"token_embedding", "position_embedding", "attention", "mlp"}
    assert moved["break"] == set()
    assert moved["spared"] == {"attention", "mlp"}


def idle(config: Config) -> set[str]:
    """The kinds of parameter that a step without gradients shrinks."""
    training = loop.start(config)
    before = metrics.weight_norms(training.model)
    training.optimizer.zero_grad()
    training.optimizer.step(config.optimizer.learning_rate)
    after = metrics.weight_norms(training.model)
    return {kind for kind, norm in before.items() if after[kind] < norm}


def test_without_decay_fewer_unseen_forms_are_right_on_every_seed(
    runs: dict[str, list[Run]],
) -> None:
    pairs = zip(runs["control"], runs["break"], strict=True)
    accuracy = plots.accuracy("val")
    assert all(accuracy(healthy.last) > accuracy(broken.last) + 0.05 for healthy, broken in pairs)


def test_the_seeds_disagree_on_whether_regular_or_irregular_verbs_lose_more(
    runs: dict[str, list[Run]],
) -> None:
    regular_loses_more = set()
    for healthy, broken in zip(runs["control"], runs["break"], strict=True):
        a, b = healthy.last.accuracy["val"], broken.last.accuracy["val"]
        regular_loses_more.add(a["regular"] - b["regular"] > a["irregular"] - b["irregular"])
    assert regular_loses_more == {True, False}


def test_too_much_decay_fails_the_other_way(runs: dict[str, list[Run]]) -> None:
    train, val, norm = plots.train_loss, plots.val_loss, plots.embedding_norm
    assert min(finals(runs["over"], train)) > 1.3 * max(finals(runs["control"], train))
    assert min(finals(runs["over"], val)) > max(finals(runs["control"], val))
    assert max(finals(runs["over"], norm)) < 0.5 * min(finals(runs["control"], norm))


def test_in_the_recipe_the_same_fault_cannot_be_seen(runs: dict[str, list[Run]]) -> None:
    for healthy, broken in zip(runs["recipe"], runs["recipe-break"], strict=True):
        assert abs(plots.gap(healthy.last) - plots.gap(broken.last)) < 0.005
        assert plots.embedding_norm(broken.last) < 1.03 * plots.embedding_norm(healthy.last)


def test_the_same_decay_as_an_l2_penalty_learns_no_form_at_all(
    runs: dict[str, list[Run]],
) -> None:
    assert max(finals(runs["l2"], plots.accuracy("train"))) == 0
    assert min(finals(runs["l2-small"], plots.accuracy("val"))) > 0.4


def test_runs_of_one_seed_are_born_equal(runs: dict[str, list[Run]]) -> None:
    born = [[run.records[0].fingerprint for run in runs[name]] for name in ("control", "break")]
    assert born[0] == born[1]
    assert len(set(born[0])) == len(born[0]) == 3


@pytest.mark.parametrize("broken", ["break", "over", "l2"])
def test_the_fix_restores_the_healthy_run_to_the_byte(
    broken: str, runs: dict[str, list[Run]]
) -> None:
    """Trained anew up to the second record, outside the store."""
    faulty, healthy = LAB.config(broken), LAB.config("control")
    fix = {key: value for key, (_, value) in differing(faulty, healthy).items()}
    training = loop.start(patched(faulty, fix))
    target = runs["control"][0].records[1]
    while training.step < target.step:
        loop.advance(training)
    assert training.fingerprint() == target.fingerprint
    assert runs[broken][0].records[1].fingerprint != target.fingerprint


def test_the_book_shows_these_very_runs(runs: dict[str, list[Run]]) -> None:
    notebook = paths.course_root() / "labs" / "en" / "18-the-run-that-remembers.ipynb"
    assert runs["control"][0].fingerprint[:12] in Path(notebook).read_text(encoding="utf-8")

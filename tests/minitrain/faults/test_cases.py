"""The cases of phase 19: each patient's symptom, the check that finds its fault, and its repair.

The runs are those that the book shows, taken from the same store.
"""

from statistics import mean

import pytest

from minitrain import checks
from minitrain.labs import instruments
from minitrain.labs.case import FIRST_LOOK, Case, first_look
from minitrain.pages import plots
from minitrain.pages.intervals import paired
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Run, Store

CASES = {
    "19-the-run-that-hardly-learns": "zero_gradient",
    "19-the-run-that-starts-too-high": "initial_loss",
    "19-the-run-that-is-too-good": "causality.training",
    "19-the-run-that-looks-the-same": "parameter_groups",
}
each_case = pytest.mark.parametrize("name", CASES)
UNHARMED = Case("19-the-run-that-looks-worse", broken="after")


def pairs(case: Case) -> list[tuple[Run, Run]]:
    healthy, sick = case.runs(case.control, case.broken).values()
    return list(zip(healthy, sick, strict=True))


def ends(runs: list[tuple[Run, Run]], quantity: plots.Quantity) -> list[tuple[float, float]]:
    return [(quantity(healthy.last), quantity(sick.last)) for healthy, sick in runs]


@each_case
def test_one_instrument_finds_the_fault_and_passes_on_every_other_patient(name: str) -> None:
    case = Case(name)
    assert [v.check for v in case.examined("sick").values() if not v] == [CASES[name]]
    assert all(case.examined("healthy").values())


def test_the_neighbours_of_the_first_case_pass_every_check() -> None:
    """Their code does what their config says; it is the config that is wrong."""
    case = Case("19-the-run-that-hardly-learns")
    for name in ("slow", "heavy", "faint", "none"):
        assert all(case.examined(name).values())


@pytest.mark.parametrize("case", [*map(Case, CASES), UNHARMED], ids=lambda case: case.experiment)
def test_what_speaks_for_a_line_is_said_of_innocent_ones_in_both_languages(case: Case) -> None:
    added = {f"{r.file}:{r.number}" for hunk in case.hunks for r in hunk if r.kind == "+"}
    wrong = {f"{file}:{line}" for file, line in case.fault.wrong}
    cleared = case.fault.request.cleared
    assert cleared.keys() <= added - wrong
    assert all(said.keys() == {"en", "es"} for said in cleared.values())


def test_a_default_is_as_good_a_place_for_a_repair_as_the_call_that_relies_on_it() -> None:
    """What case 19.2 says of model.py:122."""
    case = Case("19-the-run-that-starts-too-high")
    sources = dict(case.fault.sources)
    model = sources["minitrain.training.model"]
    assert model.count("std: float = 1.0") == 1
    sources["minitrain.training.model"] = model.replace("std: float = 1.0", "std: float = INIT_STD")
    first = first_look(case.config("healthy"))
    assert Store().under(sources, first).fingerprint == Store().get(first).fingerprint


@each_case
def test_the_repair_trains_the_healthy_run(name: str) -> None:
    case = Case(name)
    first = first_look(case.config("healthy"))
    store = Store()
    healthy = store.get(first)
    assert store.get(Recipe(first, case.fault.id)).fingerprint != healthy.fingerprint
    assert store.under(case.fault.repaired(), first).fingerprint == healthy.fingerprint
    assert first.steps == FIRST_LOOK


@each_case
def test_each_line_of_the_pull_request_is_judged(name: str) -> None:
    case = Case(name)
    found = set()
    for row in (row for hunk in case.hunks for row in hunk if row.kind != "-"):
        right, message = case.judged(row.file, row.number)
        assert right == ((row.file, row.number) in case.fault.wrong)
        assert message in (
            "right_line",
            "right_line_of",
            "innocent_line" if row.kind == "+" else "unchanged_line",
        )
        if right:
            found.add((row.file, row.number))
            assert row.kind == "+"
    assert found == case.fault.wrong != frozenset()


def test_first_case_ends_far_higher_and_pulls_its_matrices_below_their_start() -> None:
    runs = pairs(Case("19-the-run-that-hardly-learns"))
    assert all(sick > 2.5 * healthy for healthy, sick in ends(runs, plots.val_loss))
    for healthy, sick in runs:
        for kind in ("attention", "mlp"):
            start = sick.records[0].weight_norms[kind]
            assert sick.last.weight_norms[kind] < start / 2
            assert healthy.last.weight_norms[kind] > 3 * start


def test_first_case_does_not_show_with_a_hundredth_of_the_decay_and_is_null_with_none() -> None:
    case = Case("19-the-run-that-hardly-learns")
    healthy, sick = (
        [plots.val_loss(run.last) for run in seeds]
        for seeds in case.runs("faint", "faint-sick").values()
    )
    found = paired(healthy, sick)
    assert abs(found.mean) < found.half
    (none,), (none_sick,) = case.runs("none", "none-sick").values()
    assert none.fingerprint == none_sick.fingerprint


def test_second_case_begins_ten_times_too_high_and_memorises() -> None:
    runs = pairs(Case("19-the-run-that-starts-too-high"))
    for healthy, sick in runs:
        assert sick.records[0].val_loss > 10 * healthy.records[0].val_loss
    assert all(sick > 2 * healthy for healthy, sick in ends(runs, plots.val_loss))
    assert all(sick > 2 * healthy for healthy, sick in ends(runs, plots.gap))


def test_third_case_looks_better_than_healthy_by_every_number_of_the_log() -> None:
    runs = pairs(Case("19-the-run-that-is-too-good"))
    assert all(sick < healthy / 20 for healthy, sick in ends(runs, plots.val_loss))
    assert all(
        sick > 0.9 > 2 * healthy - 0.1 for healthy, sick in ends(runs, plots.accuracy("val"))
    )


def test_fourth_case_shows_in_the_scales_of_the_norms_and_hardly_in_the_loss() -> None:
    runs = pairs(Case("19-the-run-that-looks-the-same"))
    assert len(runs) == 10
    loss = ends(runs, plots.val_loss)
    spread = max(healthy for healthy, _ in loss) - min(healthy for healthy, _ in loss)
    assert abs(mean(sick - healthy for healthy, sick in loss)) < spread / 2
    for healthy, sick in runs:
        assert sick.last.weight_norms["norm"] < 0.95 * healthy.last.weight_norms["norm"]


def test_the_fifth_patient_is_healthy_to_the_last_bit() -> None:
    assert all(before.fingerprint == after.fingerprint for before, after in pairs(UNHARMED))
    assert all(UNHARMED.examined("after").values())
    assert UNHARMED.fault.repair is None
    assert UNHARMED.check("nothing").found
    assert not UNHARMED.check("loop.py:139").found


def test_the_seeds_of_the_fifth_patient_differ_by_more_than_a_careless_comparison_allows() -> None:
    """Whoever compares one run before with one of another seed after sees a tenth more loss."""
    losses = [before.last.val_loss for before, _ in pairs(UNHARMED)]
    assert max(losses) > 1.08 * min(losses)


def test_every_instrument_is_of_the_ten_checks() -> None:
    assert {name.split(".")[0] for name in instruments.INSTRUMENTS} <= set(checks.__all__)

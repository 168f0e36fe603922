"""What a cold build trains stays within the budgets that are written down."""

from __future__ import annotations

import budget
from minitrain.common import strict_yaml
from minitrain.runs import experiments


def test_no_experiment_trains_more_than_its_budget() -> None:
    assert budget.complaints(budget.spent(), strict_yaml.read(budget.BUDGETS)) == []


def test_more_than_the_budget_no_budget_and_no_experiment_are_named() -> None:
    said = budget.complaints(
        {"over": 2.0, "new": 1.0, "fine": 1.0}, {"over": 1, "gone": 1, "fine": 1}
    )
    assert [line.partition(": ")[0] for line in said] == ["budgets.yaml", "new", "over"]


def test_a_run_costs_its_steps_and_its_evaluations() -> None:
    config = experiments.load("18-the-run-that-remembers").config(
        "control", {"eval_interval": 1200}
    )
    once = budget.steps(config)
    assert 1200 < once < 1300
    often = experiments.load("18-the-run-that-remembers").config("control", {"eval_interval": 100})
    assert budget.steps(often) - once == 11 * (once - 1200) / 2

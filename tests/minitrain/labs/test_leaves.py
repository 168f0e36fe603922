"""What a form is told of a leaf is what `Config` takes."""

from __future__ import annotations

from typing import Any

import pytest

from minitrain.common.errors import UserError
from minitrain.labs.leaves import BOUNDS, Rule, rules
from minitrain.training.config import Config, flat, patched

ROOMY = patched(
    Config(),
    {
        "steps": 10**7,
        "batch_size": 1,
        "model.n_head": 1,
        "model.d_model": 1024,
        "schedule.warmup_steps": 0,
    },
)
"""A config in which one leaf may change on its own."""


def takes(key: str, value: Any) -> bool:
    try:
        patched(ROOMY, {key: value})
    except UserError as error:
        return "memory" in str(error)  # within the bounds of the leaf, all the same
    return True


def test_every_leaf_has_a_rule_in_the_order_of_the_config() -> None:
    assert list(rules()) == list(flat(Config()))


def beside(rule: Rule, bound: str) -> tuple[Any, Any]:
    """The last value that a bound lets through, and the first that it does not."""
    limit = rule[bound]
    step: float = 1 if rule["type"] == "int" else max(abs(limit), 1.0) * 1e-9
    outwards = -step if bound in ("ge", "gt") else step
    return (limit, limit + outwards) if bound in ("ge", "le") else (limit - outwards, limit)


BOUNDED = [(key, bound) for key, rule in rules().items() for bound in BOUNDS if bound in rule]


@pytest.mark.parametrize(("key", "bound"), BOUNDED)
def test_a_bound_is_where_the_config_has_it(key: str, bound: str) -> None:
    inside, outside = beside(rules()[key], bound)
    assert takes(key, inside)
    assert not takes(key, outside)


def test_no_leaf_has_a_bound_that_no_rule_names() -> None:
    """Leaves without any bound above, as the config has none there either."""
    open_above = [
        k
        for k, r in rules().items()
        if r["type"] in ("int", "float") and not ({"le", "lt"} & r.keys())
    ]
    assert open_above == ["optimizer.eps", "optimizer.gradient_clip", "schedule.warmup_steps"]
    assert takes("optimizer.eps", 1e300)
    assert takes("optimizer.gradient_clip", 1e300)


@pytest.mark.parametrize("key", [k for k, r in rules().items() if r["type"] == "choice"])
def test_choices_are_all_there_are(key: str) -> None:
    assert all(takes(key, choice) for choice in rules()[key]["choices"])
    assert not takes(key, "another")


@pytest.mark.parametrize("key", list(rules()))
def test_null_is_a_value_where_the_rule_says_so(key: str) -> None:
    assert takes(key, None) == rules()[key].get("nullable", False)


def test_a_pair_has_rules_of_its_own() -> None:
    pair = rules()["optimizer.betas"]["of"]
    assert [rule["lt"] for rule in pair] == [1, 1]
    assert takes("optimizer.betas", [0, 0.5])
    assert not takes("optimizer.betas", [0.5, 1])

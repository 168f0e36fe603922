"""What can be said of a reader's answer, and of a run that they trained: pure functions.

Nothing here trains, draws or writes: any front end can use it. Sentences are in `texts`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from minitrain.runs.run import Run
from minitrain.training.config import Config, assignment, check_leaf, flat, full_key, patched

NEAR = 2.0  # a positive number within this factor of another one is near it

Outcome = Literal["diverged", "healthy", "broken", "another"]


@dataclass(frozen=True)
class Judgement:
    """An answer, beside what the healthy and the broken config have at its leaf.

    text: the answer with its key in full. repaired: the broken config with the answer put in.
    """

    text: str
    key: str
    typed: Any
    healthy: Any
    broken: Any
    repaired: Config

    @property
    def contradicted(self) -> Literal["same", "unchanged"] | None:
        """The key of what rules the answer out without any training, if something does."""
        if self.healthy == self.broken:
            return "same"
        return "unchanged" if self.typed == self.broken else None

    @property
    def hint(self) -> str:
        """The key of what is said of the right leaf with a value that gave another run.

        Where both values are numbers: on which side of the typed one the healthy one lies, and
        whether it is near. The value itself is never said.
        """
        if not (_is_number(self.typed) and _is_number(self.healthy)) or self.typed == self.healthy:
            return "another_value"
        low, high = sorted((self.typed, self.healthy))
        near = "near_" if low > 0 and high <= NEAR * low else ""
        return near + ("higher" if self.healthy > self.typed else "lower")

    def values(self) -> dict[str, str]:
        """What the sentences about an answer mention."""
        return {
            "key": self.key,
            "typed": as_typed(self.typed),
            "healthy": as_typed(self.healthy),
            "broken": as_typed(self.broken),
        }


def judge(answer: str, healthy: Config, broken: Config) -> Judgement:
    """`answer`, ``"key=value"``, read as a change of the broken config.

    The last part of a key is enough if it is that of only one. Raises `UserError` for an answer
    that is no change of a config.
    """
    short_key, value = assignment(answer, "answer")
    key = full_key(short_key)
    if key != short_key:
        answer = f"{key}={answer.partition('=')[2].strip()}"
    check_leaf(key, value, "answer")
    repaired = patched(broken, {key: value}, "answer")
    return Judgement(
        answer, key, flat(repaired)[key], flat(healthy)[key], flat(broken)[key], repaired
    )


def as_typed(value: Any) -> str:
    """A value of a config as a reader would type it."""
    return value if isinstance(value, str) else json.dumps(value)


def outcome(run: Run, healthy: Sequence[Run], broken: Sequence[Run]) -> Outcome:
    """What a reader's run turned out to be, beside the lab's own.

    Diverged is also what ends worse than it began: on the grid a run can blow up without ever
    reaching an infinity.
    """
    if run.diverged or not run.last.train_loss <= run.records[0].train_loss:
        return "diverged"
    if run.fingerprint in {each.fingerprint for each in healthy}:
        return "healthy"
    return "broken" if run.fingerprint in {each.fingerprint for each in broken} else "another"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

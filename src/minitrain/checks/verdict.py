"""What a check answers: a verdict, on one line, or a refusal."""

from collections.abc import Sequence
from dataclasses import dataclass

from minitrain.common.errors import UserError


@dataclass(frozen=True, repr=False)
class Verdict:
    """What one check found. True if it passed, so that ``assert checks.repeatable(...)`` works.

    check: the name of the check. evidence: the numbers and names that decided, on one line short
    enough for pytest to show whole.
    """

    check: str
    passed: bool
    evidence: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:  # what pytest shows when the assertion fails
        return f"{'✓' if self.passed else '✗'} {self.check}   {self.evidence}"


class CannotJudge(UserError):
    """A check refuses: with what it was given, to pass would mean as little as to fail."""


def few(names: Sequence[str], most: int = 3, longest: int = 90) -> str:
    """The first names of a list, at most `longest` characters, and how many more there are."""
    while most > 1 and len(", ".join(names[:most])) > longest:
        most -= 1
    more = [f"… (+{len(names) - most})"] if len(names) > most else []
    return ", ".join([*names[:most], *more])

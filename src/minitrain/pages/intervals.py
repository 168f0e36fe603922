"""How sure a difference between runs is: Student's interval over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its confidence interval."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the interval: the measurement does not exclude it."""
        return self.low <= value <= self.high

    def __format__(self, spec: str) -> str:
        """Mean and half width, as in ``f"{interval:+.3f}"``: ``+0.070 ± 0.025``."""
        return f"{self.mean:{spec}} ± {self.half:{spec.lstrip('+')}}"


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of `values` with Student's t-interval; they are taken to be independent and normal.

    Raises `ValueError` for fewer than two values: one measurement has no spread.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two values (got {len(values)})")
    quantile = float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    return Interval(mean(values), quantile * stdev(values) / sqrt(len(values)))


def paired(first: Sequence[float], second: Sequence[float]) -> Interval:
    """The interval of `second` minus `first`, seed by seed: what the seeds share cancels."""
    return interval([b - a for a, b in zip(first, second, strict=True)])

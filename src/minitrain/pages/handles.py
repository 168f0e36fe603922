"""The handles of an explorable: numbers that a reader types or slides, each within its bounds.

The page's panel (JavaScript) and the one in JupyterLab (ipywidgets) are both built from these.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minitrain.common.errors import UserError
from minitrain.common.messages import Message, got, no_number, say

SLIDER_STEPS = 200


@dataclass(frozen=True)
class Handle:
    """A number. `least` and `most` bound what may be typed; the slider covers `slide` only.

    key: the name of the setting in code. symbol: what the reader sees, in any language.
    log: whether equal moves of the slider multiply the value. whole: whether it counts something.
    """

    key: str
    symbol: str
    least: float
    most: float
    slide: tuple[float, float]
    log: bool = False
    whole: bool = False

    def parse(self, text: str) -> float:
        """The number that somebody typed. Raises `UserError`, one line with symbol and value."""
        try:
            value = float(text.strip().replace("\N{MINUS SIGN}", "-"))
        except ValueError:
            raise self._error(no_number(text), text) from None
        return self.check(value)

    def check(self, value: float) -> float:
        """`value`, if the handle can take it; otherwise `UserError`."""
        if not math.isfinite(value):
            raise self._error(say("finite"), value)
        if self.whole and value != int(value):
            raise self._error(say("whole_number"), value)
        if value < self.least:
            raise self._error(say("at_least", limit=f"{self.least:g}"), value)
        if value > self.most:
            raise self._error(say("at_most", limit=f"{self.most:g}"), value)
        return value

    def _error(self, reason: Message, value: object) -> UserError:
        return UserError(say("at", source=self.symbol, reason=got(reason, value)))

    def value_at(self, position: int) -> float:
        """What the slider means at `position`, from 0 to `SLIDER_STEPS`: a short number."""
        share = position / SLIDER_STEPS
        low, high = self.slide
        if self.log:
            value = 10 ** (math.log10(low) + share * (math.log10(high) - math.log10(low)))
            value = float(f"{value:.2g}")
        else:
            value = float(f"{low + share * (high - low):.3g}")
        return float(round(value)) if self.whole else value

    def position_of(self, value: float) -> int:
        """Where the slider stands for `value`; at an end for what it does not cover."""
        low, high = self.slide
        if value <= low:
            return 0
        if self.log:
            share = math.log(value / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return min(SLIDER_STEPS, round(SLIDER_STEPS * share))


def checked(handles: Sequence[Handle], values: Mapping[str, float]) -> None:
    """Raise `UserError` unless every handle can take its value."""
    for handle in handles:
        handle.check(values[handle.key])

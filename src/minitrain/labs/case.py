"""A case: a patient behind a pull request, the instruments of its bench, and the answer's check.

An answer is a line of the code as the pull request leaves it, ``"optim.py:67"``, a leaf of the
config, ``"key=value"``, or ``"nothing"``. A repair is code: the hash of what it trains decides.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minitrain.common.errors import UserError
from minitrain.common.messages import say, session_language, shown
from minitrain.labs import texts
from minitrain.labs.bench_texts import CASE
from minitrain.labs.lab import Check, Lab, Sentences, said
from minitrain.labs.splice import source_of, spliced
from minitrain.runs import experiments, faults
from minitrain.runs.faults import Fault, Recipe
from minitrain.runs.store import Progress, Store
from minitrain.training.config import Config, patched
from minitrain.training.grid import short

FIRST_LOOK = 20  # steps: a repair that is another run is another one by then
NOTHING = ("nothing", "nada")
_PLACE = re.compile(r"\s*(\w+\.py)\s*:\s*(\d+)\s*")


@dataclass(frozen=True)
class Row:
    """One line of a diff. number: in the file as it was, if it is removed, else as it is now."""

    file: str
    kind: str  # "+", "-" or " "
    number: int
    text: str


@dataclass(frozen=True)
class Case(Lab):
    """A lab whose sick variant differs from the healthy one by the pull request in its code."""

    broken: str = "sick"

    @property
    def sentences(self) -> Sentences:
        """What is said of answers: where a case has a sentence of its own, that."""
        return {language: texts.TEXTS[language] | said for language, said in CASE.items()}

    @cached_property
    def fault(self) -> Fault:
        """The pull request. Raises `UserError` if the experiment names none."""
        experiment = experiments.load(self.experiment)
        if self.broken not in experiment.faults:
            reason = say("no_break", name=shown(self.broken), known=", ".join(experiment.faults))
            raise UserError(say("at", source=experiment.path, reason=reason))
        return faults.load(experiment.faults[self.broken])

    def recipe(self, config: Config) -> Recipe:
        """How the sick code trains a config."""
        return Recipe(config, self.fault.id)

    @property
    def hunks(self) -> list[list[Row]]:
        """The pull request's diff, hunk by hunk."""
        return [
            [
                Row(
                    Path(file.path).name,
                    line.line_type,
                    (line.source_line_no if line.is_removed else line.target_line_no) or 0,
                    line.value.rstrip("\n"),
                )
                for line in hunk
            ]
            for file in self.fault.patch
            for hunk in file
        ]

    def diff(self) -> "Diff":
        """The diff as a notebook shows it."""
        return Diff(self.hunks)

    def check(self, answer: str, progress: Progress | None = None) -> Check:
        """Whether an answer names the fault. Raises `UserError` for what is no answer."""
        if isinstance(answer, str) and answer.strip().lower() in NOTHING:
            return self._nothing(answer.strip())
        if isinstance(answer, str) and (place := _PLACE.fullmatch(answer)):
            return self._line(place[1], int(place[2]))
        if not isinstance(answer, str) or "=" not in answer:
            raise UserError(say("case_answer", value=shown(answer)))
        return super().check(answer, progress)

    def judged(self, file: str, line: int) -> tuple[bool, str]:
        """Of a line: whether it is the one, and the key of what is said of it."""
        if self.fault.repair is None:
            return False, "healthy_line"
        if (file, line) in self.fault.wrong:
            return True, "right_line" if len(self.fault.wrong) == 1 else "right_line_of"
        added = {(row.file, row.number) for hunk in self.hunks for row in hunk if row.kind == "+"}
        return False, "innocent_line" if (file, line) in added else "unchanged_line"

    def _line(self, file: str, line: int) -> Check:
        text = self._text(file, line)
        found, message = self.judged(file, line)
        place = f"{file}:{line}"
        values = {"place": place, "number": len(self.fault.wrong)}
        cleared = self.fault.request.cleared.get(place)
        if cleared and (language := session_language()):
            message, values["why"] = "cleared_line", cleared[language]
        return Check(place, found, text.strip(), said(message, self.sentences, **values))

    def _text(self, file: str, line: int) -> str:
        name = f"minitrain.training.{Path(file).stem}"
        lines = self.fault.sources.get(name, "").splitlines()
        if not 1 <= line <= len(lines):
            raise UserError(say("no_line", place=f"{file}:{line}"))
        return lines[line - 1]

    def _nothing(self, answer: str) -> Check:
        healthy, sick = self.runs(self.control, self.broken).values()
        pairs = [
            (a, b) for a, b in zip(healthy, sick, strict=True) if a.fingerprint != b.fingerprint
        ]
        one, other = (pairs or [(healthy[0], sick[0])])[0]
        sign = "≠" if pairs else "="
        evidence = f"{short(one.fingerprint)} {sign} {short(other.fingerprint)}"
        message = "something_wrong" if pairs else "nothing_wrong"
        return Check(
            answer, not pairs, evidence, said(message, self.sentences, seed=one.config.seed)
        )

    def code(self, place: str) -> str:
        """A function of the sick code, ``"optim.Adam.step"``, as a reader is given it."""
        return source_of(self.fault.sources, place)

    def repair(
        self, place: str, function: Callable[..., Any], progress: Progress | None = None
    ) -> Check:
        """Whether the sick code with `function` in place of its own trains the healthy run.

        First a few steps, which tell most repairs that are none; then the whole run.
        """
        sources = spliced(self.fault.sources, place, function)
        for module, text in sources.items():
            try:
                compile(text, module, "exec")
            except SyntaxError as error:
                raise UserError(say("no_python", detail=error)) from None
        healthy = self.config(self.control)
        store = Store()
        for config in (first_look(healthy), healthy):
            target = store.get(config).fingerprint
            sick = store.get(Recipe(config, self.fault.id)).fingerprint
            unchanged = sources == dict(self.fault.sources)
            found = sick if unchanged else store.under(sources, config, progress).fingerprint
            if found != target:
                break
        same = found == target
        message = "repaired" if same else "not_repaired" if found == sick else "another_run"
        evidence = f"{short(found)} {'=' if same else '≠'} {short(target)}"
        return Check(place, same, evidence, said(message, self.sentences, steps=config.steps))


def first_look(config: Config) -> Config:
    """The run's first steps, as a run of its own."""
    warmup = min(config.schedule.warmup_steps, FIRST_LOOK - 1)
    changes = {"steps": FIRST_LOOK, "eval_interval": FIRST_LOOK, "schedule.warmup_steps": warmup}
    return patched(config, changes)


@dataclass(frozen=True)
class Diff:
    """A diff with the number of each line, as text."""

    hunks: Sequence[Sequence[Row]]

    def __repr__(self) -> str:
        parts = []
        file = ""
        for hunk in self.hunks:
            if hunk[0].file != file:
                file = hunk[0].file
                parts.append(f"── {file}")
            parts += [f"{row.number:>4} {row.kind} {row.text}".rstrip() for row in hunk]
            parts.append("   ⋮")
        return "\n".join(parts[:-1])

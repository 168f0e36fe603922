"""A break-it lab: two runs, one leaf of their config apart, and a check of the reader's fix.

A lab page is executed twice over: when the book is built, where its outputs must be the same for
readers of any language, and in JupyterLab, where a reader tries things out. `session_language`
tells the two apart.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitrain import experiments
from minitrain.config import Config, assignment, flat, patched
from minitrain.grid import short
from minitrain.store import Progress, Run, Store
from minitrain.sweep import run_all

_MESSAGES = {
    "en": {
        "same": "Both runs have this value already, so it cannot be what sets them apart.",
        "near": "That is the leaf that differs. With this value the run is yet another one.",
        "fixed": "Found: with this one change the broken run is the healthy one, to the last bit.",
    },
    "es": {
        "same": "Las dos corridas ya tienen este valor: no puede ser lo que las distingue.",
        "near": "Esa es la hoja que cambia. Con este valor, la corrida sigue siendo otra.",
        "fixed": "Encontrado: con este único cambio, la corrida rota es la sana, bit a bit.",
    },
}


def session_language() -> str | None:
    """The language of the notebook that a reader has open in JupyterLab; None in a build.

    Jupyter Server names the notebook in the kernel's environment; nbclient and nbval do not.
    """
    notebook = os.environ.get("JPY_SESSION_NAME")
    if notebook is None:
        return None
    return next((part for part in reversed(Path(notebook).parts) if part in _MESSAGES), "en")


@dataclass(frozen=True)
class Check:
    """The verdict on one answer. Its text is symbols, and a sentence when a reader is there."""

    answer: str
    found: bool
    evidence: str
    message: str | None

    def __repr__(self) -> str:
        line = f"{'✓' if self.found else '✗'} {self.answer}   {self.evidence}"
        return f"{line}\n{self.message}" if self.message else line


@dataclass(frozen=True)
class Lab:
    """One lab: an experiment and the two of its variants that are compared."""

    experiment: str
    control: str = "control"
    broken: str = "break"

    def config(self, variant: str, **changes: Any) -> Config:
        """The config of a variant; `changes` are top-level keys such as ``seed=43``."""
        return experiments.load(self.experiment).config(variant, changes)

    def runs(self, *variants: str, seeds: tuple[int, ...] = (42,)) -> dict[str, list[Run]]:
        """The runs of each variant, one for each seed; trained if the store lacks them."""
        keys = [(variant, seed) for variant in variants for seed in seeds]
        found = run_all(self.config(variant, seed=seed) for variant, seed in keys)
        runs: dict[str, list[Run]] = {variant: [] for variant in variants}
        for (variant, _), run in zip(keys, found, strict=True):
            runs[variant].append(run)
        return runs

    def check(self, answer: str, progress: Progress | None = None) -> Check:
        """Whether `answer`, ``"key=value"``, turns the broken run into the healthy one.

        A change that could matter is trained: the verdict is a comparison of fingerprints. Raises
        `UserError` for an answer that is no change of a config.
        """
        healthy, broken = self.config(self.control), self.config(self.broken)
        key, value = assignment(answer)
        fixed = patched(broken, {key: value}, answer)
        before, after = flat(broken)[key], flat(fixed)[key]
        if before == after or before == flat(healthy)[key]:
            return self._verdict(answer, False, f"{flat(healthy)[key]} = {before}", "same")
        target = run_all([healthy])[0]
        run = Store().get(fixed, progress)
        found = run.fingerprint == target.fingerprint
        evidence = f"{short(run.fingerprint)} {'=' if found else '≠'} {short(target.fingerprint)}"
        return self._verdict(answer, found, evidence, "fixed" if found else "near")

    def _verdict(self, answer: str, found: bool, evidence: str, message: str) -> Check:
        language = session_language()
        return Check(answer, found, evidence, _MESSAGES[language][message] if language else None)

"""A break-it lab: two runs, one leaf of their config apart, and a check of the reader's fix.

A lab page is executed twice over: when the book is built, where its outputs must be the same for
readers of any language, and in JupyterLab, where a reader tries things out. `session_language`
tells the two apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minitrain.checks import Verdict
from minitrain.common.errors import UserError
from minitrain.common.messages import say, session_language, shown
from minitrain.labs import instruments, texts
from minitrain.labs.judgement import Judgement, judge
from minitrain.pages import plots, show
from minitrain.runs import engines, experiments
from minitrain.runs.faults import Recipe
from minitrain.runs.notice import Watch
from minitrain.runs.store import Progress, Run, Store, one_thread
from minitrain.runs.sweep import run_all
from minitrain.training.config import Config, patched
from minitrain.training.grid import short

Sentences = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Check:
    """The verdict on one answer. Its text is symbols, and a sentence when a reader is there."""

    answer: str
    found: bool
    evidence: str
    message: str | None

    @property
    def verdict(self) -> str:
        """One line without the sentence: the same for every reader."""
        return f"{'✓' if self.found else '✗'} {self.answer}   {self.evidence}"

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.message}" if self.message else self.verdict


@dataclass(frozen=True)
class Lab:
    """One lab: an experiment, and the broken variant whose fault the reader is to find."""

    experiment: str
    broken: str = "break"

    @property
    def sentences(self) -> Sentences:
        """What is said of answers, by language and key."""
        return texts.TEXTS

    @property
    def control(self) -> str:
        """The healthy variant that the broken one is a leaf away from."""
        experiment = experiments.load(self.experiment)
        if not experiment.breaks:
            raise UserError(say("at", source=experiment.path, reason=say("no_breaks")))
        if not isinstance(self.broken, str) or self.broken not in experiment.breaks:
            reason = say("no_break", name=shown(self.broken), known=", ".join(experiment.breaks))
            raise UserError(say("at", source=experiment.path, reason=reason))
        return experiment.breaks[self.broken]

    def config(self, variant: str, **changes: Any) -> Config:
        """The config of a variant; `changes` are top-level keys such as ``seed=43``."""
        return experiments.load(self.experiment).config(variant, changes)

    def recipe(self, config: Config) -> Recipe:
        """How the broken run's own code trains a config: a lab's fault is in the config alone."""
        return Recipe(config)

    def runs(self, *variants: str, watch: Watch | None = None) -> dict[str, list[Run]]:
        """The runs of each variant that the book shows, one for each of its seeds.

        If the store lacks any run that the experiment shows, all missing ones are trained now, in
        one go: that keeps every core busy to the end, which several small calls would not. `watch`
        is told how far that is (see `sweep.run_all`).
        """
        points = experiments.load(self.experiment).points()
        runs = run_all((point.recipe for point in points), watch=watch)
        found = list(zip(points, runs, strict=True))
        return {v: [run for point, run in found if point.variant == v] for v in variants}

    def instrument(self, name: str, variant: str | None = None) -> Verdict:
        """The verdict of one of the bench's instruments on a variant: unless named, the broken."""
        if name not in instruments.INSTRUMENTS:
            known = ", ".join(instruments.INSTRUMENTS)
            raise UserError(say("no_instrument", name=shown(name), known=known))
        return self.examined(variant or self.broken)[name]

    def examined(self, variant: str) -> dict[str, Verdict]:
        """The verdicts of all instruments on a variant's code and config, by name."""
        fault = experiments.load(self.experiment).faults.get(variant)
        return instruments.examine(Recipe(self.config(variant), fault))

    def check(self, answer: str, progress: Progress | None = None) -> Check:
        """Whether `answer`, ``"key=value"``, turns the broken run into the healthy one.

        A change that could matter is trained: the verdict is a comparison of fingerprints. Raises
        `UserError` for an answer that is no change of a config.
        """
        healthy = self.config(self.control)
        judgement = judge(answer, healthy, self.config(self.broken))
        values = judgement.values()
        if judgement.contradicted == "same":
            sides = f"{self.control} {values['healthy']} = {self.broken} {values['broken']}"
            return self._verdict(judgement, False, sides, "same")
        if judgement.contradicted == "unchanged":
            sides = f"{self.broken} {values['broken']} = {values['typed']}"
            return self._verdict(judgement, False, sides, "unchanged")
        target = Store().get(healthy, progress)
        # Trained here and now: the store would answer an equal config with the target itself. What
        # is recorded on the way changes nothing of the result, and takes time.
        repaired = judgement.repaired
        unrecorded = patched(repaired, {"eval_interval": repaired.steps})
        with one_thread():
            engine = engines.choose(unrecorded)
            fingerprint = engine.train(engine.start(unrecorded), progress).fingerprint()
        found = fingerprint == target.fingerprint
        evidence = f"{short(fingerprint)} {'=' if found else '≠'} {short(target.fingerprint)}"
        return self._verdict(judgement, found, evidence, "fixed" if found else judgement.hint)

    def _verdict(self, judgement: Judgement, found: bool, evidence: str, message: str) -> Check:
        text = said(message, self.sentences, **judgement.values())
        return Check(judgement.text, found, evidence, text)


def said(message: str, table: Sentences, **values: Any) -> str | None:
    """The sentence of that name in the language of the reader; None where no reader is there."""
    language = session_language()
    return table[language][message].format(**values) if language else None


# What a lab's tables show of a run: the quantity, and how to print it.
QUANTITIES: dict[str, tuple[plots.Quantity, str]] = {
    "train_loss": (plots.train_loss, ".4f"),
    "val_loss": (plots.val_loss, ".4f"),
    "val_loss − train_loss": (plots.gap, ".4f"),
    "‖token_embedding‖": (plots.embedding_norm, ".2f"),
    "accuracy.train": (plots.accuracy("train"), ".3f"),
    "accuracy.val": (plots.accuracy("val"), ".3f"),
    "accuracy.val.regular": (plots.accuracy("val", "regular"), ".3f"),
    "accuracy.val.irregular": (plots.accuracy("val", "irregular"), ".3f"),
}


def final_values(runs: plots.Group) -> show.Markdown:
    """A table of final values, a column for each label: the mean over its runs, and their range."""

    def cell(seeds: Sequence[Run], quantity: plots.Quantity, form: str) -> str:
        values = [quantity(run.last) for run in seeds]
        mean = f"{sum(values) / len(values):{form}}"
        return mean if len(values) == 1 else f"{mean} ({min(values):{form}}…{max(values):{form}})"

    rows = (
        [f"`{name}`", *(cell(seeds, quantity, form) for seeds in runs.values())]
        for name, (quantity, form) in QUANTITIES.items()
    )
    return show.table(["", *(f"`{label}`" for label in runs)], rows)

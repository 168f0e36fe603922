"""``{trainer}``: a panel that trains runs in the reader's browser, with the course's own kernel.

````{trainer} 18-learning-rate-range
:variant: peak-4.9e-3
:leaves: seed optimizer.learning_rate schedule.warmup_steps
:set: eval_interval=20
:over: peak-1.4e-3 peak-6e-2
:curves: val_loss, learning_rate

What stands here without JavaScript, and in the notebook of the page.
````

The argument is the experiment, ``variant`` the run that the panel begins with, and ``leaves`` what
a reader may change. ``set`` changes leaves for the panel alone. ``over`` are the variants whose
runs are drawn behind the reader's, those of ``seeds`` or all. ``map`` names two leaves: the runs of
the experiment become a table over their values, and the reader's are put into it. With ``lab`` (the
variant with the fault) in place of ``variant``, the panel is that of a lab: every leaf may be
changed, there is a bench of instruments (`bench`), and an answer is checked.

The kernel is loaded by the first run.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minitrain.common.errors import UserError
from minitrain.common.messages import MESSAGES
from minitrain.kernel import binding, build
from minitrain.labs import curves, judgement
from minitrain.labs.case import Case
from minitrain.labs.lab import Lab
from minitrain.labs.leaves import rules
from minitrain.labs.page_texts import PAGE
from minitrain.labs.texts import TEXTS
from minitrain.runs import engines, experiments, faults, fingerprints
from minitrain.runs.code import training_code
from minitrain.runs.experiments import Experiment, Point
from minitrain.runs.faults import Recipe
from minitrain.runs.run import Run
from minitrain.runs.sweep import run_all
from minitrain.training.config import assignment, differing, flat
from minitrain.training.grid import short
from minitrain.training.metrics import KINDS, SLICES

from . import bench, panels
from .languages import DEFAULT_LANGUAGE, language_of
from .scripts import minified

CLASS = "trainer"
SCRIPTS = (
    *("config.js", "judgement.js", "runs.js", "trainer-parts.js", "trainer-forms.js"),
    *("trainer-pictures.js", "trainer-answer.js", "trainer.js"),
)
STYLE = "trainer.css"
WORKER = "trainer-worker.js"
# Vectors, compressed, for nearly everybody; plain and without vectors for older browsers.
KERNELS = {"trainer-kernel.js": True, "trainer-kernel-old.js": False}
SAID = (
    *("at", "field", "got", "did_you_mean", "unknown_key", "section", "twice", "key_value"),
    *(
        "whole_number",
        "number",
        "point",
        "truth",
        "one_of",
        "finite",
        "list",
        "too_few",
        "too_many",
    ),
    *("at_least", "more_than", "at_most", "less_than", "heads", "warmup"),
    *("not_yaml", "yaml_number", "about_seconds", "about_minutes", "case_answer"),
)
"""The library's messages that the panel uses too."""
ELSEWHERE = {
    *("missing", "step_left", "stopping", "stopped", "alt", "dead", "your_turn"),
    *("stored", "third"),
    *("off", "in_notebook"),
}
"""Sentences that the script of the panel never says."""
WITHOUT_LAB = {"title", "as_it_is", "the_rest", "is_book", "is_new", "map"}
"""Sentences of panels that are not a lab's."""
OPTIONS = ("variant", "lab", "leaves", "set", "over", "seeds", "curves", "map")
DIGITS = 4  # of a recorded value: as many as a chart shows


def description(experiment: str, options: dict[str, str], language: str) -> dict[str, Any]:
    """All that one panel has to know, as JSON values. `UserError` for options that do not fit."""
    loaded = experiments.load(experiment)
    changes = dict(assignment(one, "set") for one in options.get("set", "").split())
    lab = _opened(loaded, options["lab"]) if "lab" in options else None
    variant = lab.broken if lab else options.get("variant", "")
    over = [lab.control, lab.broken] if lab else options.get("over", "").split()
    seeds = [int(seed) for seed in options.get("seeds", "").split()]
    points = loaded.points(over, seeds=seeds, changes=changes) if over else []
    runs = run_all(_recipes(points))
    shown = [name.strip() for name in options.get("curves", "val_loss, train_loss").split(",")]
    said = {**TEXTS[language], **PAGE[language]}
    return {
        "experiment": experiment,
        "texts": {
            key: text
            for key, text in (said | bench.texts(lab, language) if lab else said).items()
            if key not in ELSEWHERE and not (lab and key in WITHOUT_LAB)
        },
        "messages": {key: MESSAGES[language][key] for key in SAID},
        "rules": rules(),
        "leaves": options.get("leaves", "").split(),
        "variant": variant,
        "bench": lab and bench.shown(lab, language),
        "sealed": _sealed(
            {
                "config": flat(loaded.config(variant, changes)),
                "lab": lab and _lab(lab),
                "bench": lab and bench.sealed(lab, language),
            }
        ),
        "names": {} if lab else _names(experiment),
        "recorded": [_recorded(*one) for one in zip(points, runs, strict=True)],
        "curves": [curves.NAMES[curves.NAMES.index(name)] for name in shown],
        "map": _map(loaded.points(), options["map"].split()) if "map" in options else None,
        "quantities": curves.NAMES,
        "near": judgement.NEAR,
        "highest_rate": engines.HIGHEST_RATE,
        "code": training_code(),
    }


def _opened(experiment: Experiment, variant: str) -> Lab:
    """The lab of a variant; a case, where its fault is in the code."""
    kind = Case if variant in experiment.faults else Lab
    return kind(experiment.id, variant)


def _recipes(points: Sequence[Point]) -> list[Recipe]:
    return [point.recipe for point in points]


def _lab(lab: Lab) -> dict[str, Any]:
    """What the answer is compared with: where the healthy config differs, the ends of both."""
    locked = fingerprints.read().fingerprints
    broken = lab.config(lab.broken)
    ends = {
        name: [locked[fingerprints.label(point)] for point in points]
        for name, variant in (("healthy", lab.control), ("broken", lab.broken))
        for points in [experiments.load(lab.experiment).points([variant])]
    }
    return {
        "control": lab.control,
        "broken": lab.broken,
        "healthy": {k: v for k, (v, _) in differing(lab.config(lab.control), broken).items()},
        "ends": ends,
    }


def _sealed(values: dict[str, Any]) -> str:
    """Coded: whoever looks for a word in a page's source should not read a lab's answer."""
    return _base64(json.dumps(values, separators=(",", ":")).encode())


def _names(experiment: str) -> dict[str, str]:
    """The runs of an experiment by fingerprint, as the lock file calls them."""
    locked = fingerprints.read().fingerprints
    labels = map(fingerprints.label, experiments.load(experiment).points())
    return {short(locked[label]): label.partition(" ")[2] for label in reversed(list(labels))}


def _recorded(point: Point, run: Run) -> dict[str, Any]:
    """The curves of one of the book's runs, in the order of `curves.NAMES`; shares per mille."""
    rows = [curves.values(record) for record in run.records]
    return {
        "variant": point.variant,
        "seed": point.seed,
        "fingerprint": short(run.fingerprint),
        "steps": [record.step for record in run.records],
        "values": [
            [
                _per_mille(row[name]) if name.startswith("accuracy") else _rounded(row.get(name))
                for row in rows
            ]
            for name in curves.NAMES
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _per_mille(share: float | None) -> int | None:
    return None if share is None else round(1000 * share)


def _map(points: Sequence[Point], keys: Sequence[str]) -> dict[str, Any]:
    """The last validation loss of an experiment's runs, by the values of two leaves."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for point, run in zip(points, run_all(_recipes(points)), strict=True):
        place = tuple(flat(point.config)[key] for key in keys)
        found.setdefault(place, []).append(run.last.val_loss)
    cells = [[*place, _rounded(sum(losses) / len(losses))] for place, losses in found.items()]
    return {"keys": list(keys), "quantity": "val_loss", "cells": cells}


def kernel_script(simd: bool, worker: str) -> str:
    """What all panels share: the kernel, the corpus, and the text of their worker."""

    def packed(data: bytes) -> str:
        return _base64(gzip.compress(data, 9, mtime=0) if simd else data)

    shared = {
        "zipped": simd,
        "module": packed(build.web_assembly(simd)),
        "items": packed(packed_items()),
        "worker": worker,
        "slices": SLICES,
        "kinds": KINDS,
    }
    return f"course.runs.arrived({json.dumps(shared)});\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def packed_items() -> bytes:
    """The corpus as the kernel takes it, in 16 bits a number: none needs more."""
    return binding.items().astype("<u2").tobytes()


class TrainerDirective(SphinxDirective):
    """A box with the panel's description, which ``trainer.js`` makes live."""

    required_arguments = 1
    has_content = True
    option_spec = dict.fromkeys(OPTIONS, directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        language = language_of(self.env.docname) or DEFAULT_LANGUAGE
        try:
            about = description(self.arguments[0], self.options, language)
            scripts = (*SCRIPTS[:-1], *bench.SCRIPTS, SCRIPTS[-1]) if about["bench"] else SCRIPTS
            styles = (STYLE, bench.STYLE) if about["bench"] else (STYLE,)
        except (UserError, ValueError, KeyError) as error:
            raise self.error(f"trainer: {error}") from error
        for path in (build.folder(), fingerprints.folder(), faults.folder()):
            for file in path.rglob("*.[cylhp]*"):
                self.env.note_dependency(str(file))
        box = panels.box((CLASS,), about, PAGE[language]["off"], styles, scripts)
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def write_kernels(app: Sphinx, exception: Exception | None) -> None:
    """Write the scripts that a panel loads when it trains beside the other static files."""
    if exception or app.builder.format != "html":
        return
    worker = minified(Path(app.confdir) / "assets" / WORKER)
    for name, simd in KERNELS.items():
        target = Path(app.outdir) / "_static" / name
        target.write_text(kernel_script(simd, worker), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_directive("trainer", TrainerDirective)
    app.connect("build-finished", write_kernels)

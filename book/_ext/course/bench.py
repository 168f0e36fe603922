"""What the bench of a lab's panel knows: a pull request, if there is one, the checks, the fault."""

from __future__ import annotations

from typing import Any

from minitrain.common.errors import UserError
from minitrain.kernel import binding
from minitrain.labs.bench_texts import BENCH, CASE
from minitrain.labs.case import Case
from minitrain.labs.instruments import INSTRUMENTS
from minitrain.labs.lab import Lab
from minitrain.training.config import differing

SCRIPTS = ("bench.js",)
STYLE = "bench.css"


def texts(lab: Lab, language: str) -> dict[str, str]:
    """The sentences of a bench; where they have the name of a lab's, they stand in for it."""
    return BENCH[language] | (CASE[language] if isinstance(lab, Case) else {})


def shown(lab: Lab, language: str) -> dict[str, Any]:
    """What a reader may see."""
    about: dict[str, Any] = {"instruments": list(INSTRUMENTS)}
    if isinstance(lab, Case):
        request = lab.fault.request
        about |= {
            "title": request.title[language],
            "description": request.description[language],
            "hunks": [
                {"file": hunk[0].file, "rows": [[row.kind, row.number, row.text] for row in hunk]}
                for hunk in lab.hunks
            ],
        }
    return about


def sealed(lab: Lab, language: str) -> dict[str, Any]:
    """What a reader is told bit by bit."""
    leaves = differing(lab.config(lab.control), lab.config(lab.broken))
    verdicts = lab.examined(lab.broken)
    return {
        "differing": {key: list(values) for key, values in leaves.items()},
        "verdicts": {name: [found.passed, found.evidence] for name, found in verdicts.items()},
        **(_of_case(lab, language) if isinstance(lab, Case) else {}),
    }


def _of_case(case: Case, language: str) -> dict[str, Any]:
    kernel = case.fault.request.kernel
    if kernel is None:  # the panel would train the healthy code and call it the sick one
        raise UserError(
            f"fault {case.fault.id}: the kernel does not know it, nor can a panel train it"
        )
    return {
        "wrong": sorted(f"{file}:{line}" for file, line in case.fault.wrong),
        "lines": {
            f"{name.rpartition('.')[2]}.py": len(source.splitlines())
            for name, source in case.fault.sources.items()
        },
        "cleared": {place: said[language] for place, said in case.fault.request.cleared.items()},
        "nothing": case.fault.repair is None,
        # How the kernel plants the fault.
        "planted": {
            "changes": kernel.changes,
            "bits": sum(1 << binding.FAULTS.index(name) for name in kernel.faults),
        },
        "code": case.fault.code,
    }

"""What the panel of a case knows besides that of a lab: the pull request, the checks, the fault."""

from __future__ import annotations

from typing import Any

from minitrain.kernel import binding
from minitrain.labs.case import Case
from minitrain.labs.case_texts import CASE
from minitrain.labs.instruments import INSTRUMENTS
from minitrain.training.config import differing

SCRIPTS = ("bench.js",)
STYLE = "bench.css"


def texts(language: str) -> dict[str, str]:
    """The sentences of a case; where they have the name of a lab's, they stand in for it."""
    return CASE[language]


def shown(case: Case, language: str) -> dict[str, Any]:
    """What a reader may see."""
    request = case.fault.request
    leaves = differing(case.config(case.control), case.config(case.broken))
    return {
        "title": request.title[language],
        "description": request.description[language],
        "hunks": [
            {"file": hunk[0].file, "rows": [[row.kind, row.number, row.text] for row in hunk]}
            for hunk in case.hunks
        ],
        "differing": {key: list(values) for key, values in leaves.items()},
        "instruments": list(INSTRUMENTS),
    }


def sealed(case: Case) -> dict[str, Any]:
    """What a reader is told bit by bit."""
    kernel = case.fault.request.kernel
    names = kernel.faults if kernel else []
    return {
        "verdicts": {
            name: [verdict.passed, verdict.evidence]
            for name, verdict in case.examined(case.broken).items()
        },
        "wrong": sorted(f"{file}:{line}" for file, line in case.fault.wrong),
        "lines": {
            f"{name.rpartition('.')[2]}.py": len(source.splitlines())
            for name, source in case.fault.sources.items()
        },
        "nothing": case.fault.repair is None,
        # How the kernel plants the fault; null if it does not know it.
        "planted": kernel
        and {
            "changes": kernel.changes,
            "bits": sum(1 << binding.FAULTS.index(name) for name in names),
        },
        "code": case.fault.code,
    }

"""`minitrain generate`, `compare` and `explain`: what finished runs can show."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from minitrain.command_line import arguments
from minitrain.command_line.arguments import AsJson, ComparedArgument, ResultArgument, RunArgument
from minitrain.command_line.streams import out
from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.large import recorded
from minitrain.pages import dashboard
from minitrain.runs import explanation
from minitrain.runs.explanation import Difference
from minitrain.runs.store import Run
from minitrain.training import generate as sampling
from minitrain.training.grid import short


def generate(
    name: RunArgument,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help='The beginning, such as "play every day she ".')
    ],
    temperature: Annotated[
        float,
        typer.Option(
            parser=arguments.number("--temperature"),
            help="0: the most probable character; above: draw one.",
        ),
    ] = 0.0,
    seed: Annotated[
        int,
        typer.Option(parser=arguments.whole("--seed", 0, 2**32 - 1), help="Decides what is drawn."),
    ] = 0,
    samples: Annotated[
        int, typer.Option(parser=arguments.whole("--samples", 1, 10_000), help="How many to draw.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Let a run's model complete a prompt, up to the full stop."""
    run = arguments.find_run(name)
    if samples > 1 and temperature == 0:
        raise UserError(f"--samples {samples}: at temperature 0 they would all be the same")
    model = run.model().double()  # float64: the same text on every machine
    generator = torch.Generator().manual_seed(seed)
    completions = [sampling.complete(model, prompt, temperature, generator) for _ in range(samples)]
    values = {
        "prompt": prompt,
        "completions": completions,
        "temperature": temperature,
        "seed": seed,
        "fingerprint": run.fingerprint,
    }
    lines = "\n".join(prompt + completion for completion in completions)
    out(json.dumps(values) if as_json else lines)


def compare(
    left: ComparedArgument,
    right: ComparedArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "dashboard-compare.html"
    ),
) -> None:
    """Overlay two runs on one self-contained HTML page."""
    runs = {name: recorded.read(name) or arguments.find_result(name) for name in (left, right)}
    if len(runs) < 2:
        raise UserError(f"compare: both runs are {left}; name two")
    target = arguments.check_page(output)
    try:
        page = dashboard.page(runs).encode()
        if target.exists() and not target.is_file():
            target.write_bytes(page)  # a device or a pipe is written to, not replaced
        else:
            write_atomically(target, page)
    except OSError as error:
        raise UserError(f"-o {output}: cannot write the page: {error.strerror}") from None
    out(output)


def explain(left: ResultArgument, right: ResultArgument, as_json: AsJson = False) -> None:
    """Say what of two runs differs: their configs, the faults in their code, their results."""
    names = left, right
    one, other = map(arguments.find_result, names)
    found = explanation.difference(one, other)
    runs = [
        {
            # One run may have several names: the reader's own, if it is one.
            "name": name if arguments.point_named(name) else explanation.run_name(run),
            "fingerprint": run.fingerprint,
            "path": str(run.path),
        }
        for name, run in zip(names, (one, other), strict=True)
    ]
    if as_json:
        out(json.dumps({"runs": runs, **dataclasses.asdict(found)}))
        return
    for run in runs:
        out(f"{short(run['fingerprint'])}  {run['name']}\n              {run['path']}")
    rows = dict(found.config)
    if found.code:
        rows["training code"] = found.code
    width = max(map(len, rows), default=0)
    for key, (before, after) in rows.items():
        out(f"{key:<{width}}  {before} | {after}")
    if found.modules:
        out(f"{'':<{width}}  differs in {', '.join(f'{name}.py' for name in found.modules)}")
    out(_result(one, other, found, bool(rows)))


def _result(one: Run, other: Run, found: Difference, explained: bool) -> str:
    if one.fingerprint == other.fingerprint:
        return "same fingerprint" if explained else "the same run"
    first = ""
    if found.parting:
        step, (before, after) = found.parting
        first = f"; they part by step {step}: val_loss {before:.6g} | {after:.6g}"
    if explained:
        return f"other fingerprint{first}"
    return f"same config, same training code and another fingerprint{first}: one of them is wrong"

"""`minitrain generate` and `minitrain compare`: what a finished run can show."""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from minitrain.command_line import arguments
from minitrain.command_line.arguments import AsJson, ResultArgument, RunArgument
from minitrain.command_line.streams import out
from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.pages import dashboard
from minitrain.training import generate as sampling


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
    left: ResultArgument,
    right: ResultArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "dashboard-compare.html"
    ),
) -> None:
    """Overlay two runs on one self-contained HTML page."""
    runs = {name: arguments.find_result(name) for name in (left, right)}
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

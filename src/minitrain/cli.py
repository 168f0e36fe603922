"""The command line: train, sweep, compare, verify, generate. Bad input is one line and status 2."""

import json
import logging
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pandas as pd
import torch
import typer
from tqdm import tqdm

from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically
from minitrain.pages import dashboard
from minitrain.runs import experiments, table
from minitrain.runs.checkpoint import DamagedFile
from minitrain.runs.store import Run, Store, read_run
from minitrain.runs.sweep import run_all
from minitrain.training import generate
from minitrain.training.config import Config, assignment
from minitrain.training.grid import short
from minitrain.training.loop import Training, start, train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train a tiny GPT on English verb forms; the same config gives the same bits anywhere.",
)

T = TypeVar("T")

INTERRUPTED = 130  # the exit status after Ctrl-C


def _number(option: str) -> Callable[[str], float]:
    """A parser whose complaint names the option and the value."""

    def parse(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise UserError(f"{option} {text!r}: expected a number") from None

    return parse


def _whole(option: str, least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise UserError(f"{option} {text!r}: expected a whole number from {least} to {most}")
        return value

    return parse


RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, or its name in the store.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(name="train")
def train_command(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="A folder that holds a config.yaml.")
    ],
    variant: Annotated[str, typer.Option(help="Which variant of it.")] = "control",
    assignments: Assignments = None,
    link: Annotated[
        Path | None, typer.Option(help="Leave a link to the run's folder at this path.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train one variant of an experiment, or find it in the store."""
    changes = dict(assignment(text) for text in assignments or [])
    config = experiments.load(experiment).config(variant, changes)
    if link:
        _check_link(link)
    run = _with_progress(config, lambda on_step: Store().get(config, on_step))
    if link:
        _point(link, run.path)
    typer.echo(json.dumps(_summary(run)) if as_json else _report(run))


@app.command(name="sweep")
def sweep_command(
    names: Annotated[
        list[str], typer.Argument(metavar="EXPERIMENT...", help="Folders that hold a config.yaml.")
    ],
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", help="Only this variant; may be repeated."),
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="S1,S2,...", help="These seeds, not those of the file.")
    ] = "",
    assignments: Assignments = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--grid", metavar="KEY=V1,V2,...", help="Every value of a key; may be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write a table there, as .parquet and as .csv."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train every variant, grid point and seed on all cores, or find them in the store."""
    chosen = _seeds(seeds)
    changes = dict(assignment(text) for text in assignments or [])
    grid = dict(_axis(text) for text in axes or [])
    points = [
        point
        for name in names
        for point in experiments.load(name).points(
            variants or (), seeds=chosen, grid=grid, changes=changes
        )
    ]
    if output:
        _check_output(output)
    frame = table.of(run_all(point.config for point in points), points)
    written = _write(frame, output) if output else []
    if as_json:
        files = [str(path) for path in written]
        typer.echo(json.dumps({"runs": _records(frame), "files": files}))
    else:
        typer.echo("\n".join(map(str, written)) or table.overview(frame).to_string(index=False))


@app.command(name="generate")
def generate_command(
    name: RunArgument,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help='The beginning, such as "go every day she ".')
    ],
    temperature: Annotated[
        float,
        typer.Option(
            parser=_number("--temperature"), help="0: the most probable character; above: draw one."
        ),
    ] = 0.0,
    seed: Annotated[
        int,
        typer.Option(parser=_whole("--seed", 0, 2**32 - 1), help="Decides what is drawn."),
    ] = 0,
    samples: Annotated[
        int, typer.Option(parser=_whole("--samples", 1, 10_000), help="How many to draw.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Let a run's model complete a prompt, up to the full stop."""
    run = _find_run(name)
    if samples > 1 and temperature == 0:
        raise UserError(f"--samples {samples}: at temperature 0 they would all be the same")
    model = run.model().double()  # float64: the same text on every machine
    generator = torch.Generator().manual_seed(seed)
    completions = [generate.complete(model, prompt, temperature, generator) for _ in range(samples)]
    values = {
        "prompt": prompt,
        "completions": completions,
        "temperature": temperature,
        "seed": seed,
        "fingerprint": run.fingerprint,
    }
    lines = "\n".join(prompt + completion for completion in completions)
    typer.echo(json.dumps(values) if as_json else lines)


@app.command()
def compare(
    left: RunArgument,
    right: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "dashboard-compare.html"
    ),
) -> None:
    """Overlay two runs on one self-contained HTML page."""
    runs = {name: _find_run(name) for name in (left, right)}
    if len(runs) < 2:
        raise UserError(f"compare: both runs are {left}; name two")
    try:
        write_atomically(output, dashboard.page(runs).encode())
    except OSError as error:
        raise UserError(f"{output}: cannot write the page: {error.strerror}") from None
    typer.echo(output)


@app.command()
def verify(name: RunArgument) -> None:
    """Train a run again, from its config alone, and say whether the fingerprint holds."""
    run = _find_run(name)

    def again(on_step: Callable[[Training], None]) -> Training:
        return train(start(run.config), on_step)

    fingerprint = _with_progress(run.config, again).fingerprint()
    if fingerprint != run.fingerprint:
        typer.echo(f"differs: {run.fingerprint} in {run.path}\n   here: {fingerprint}")
        raise typer.Exit(1)
    typer.echo(f"holds: {fingerprint}")


def _find_run(name: str) -> Run:
    candidates = (Path(name), Store().root / name)
    path = next((path for path in candidates if path.is_dir()), None)
    if path is None:
        raise UserError(f"{name}: no such run")
    try:
        return read_run(path)
    except DamagedFile as damage:
        raise UserError(f"{name}: not a run: {damage}") from None


def _with_progress(config: Config, work: Callable[[Callable[[Training], None]], T]) -> T:
    """Call `work` with a callback that moves a progress bar: on a terminal only (disable=None)."""
    with tqdm(total=config.steps, unit="step", disable=None, leave=False) as bar:

        def on_step(training: Training) -> None:
            bar.update(training.step - bar.n)
            if training.records:
                bar.set_postfix(val_loss=f"{training.records[-1].val_loss:.4f}", refresh=False)

        return work(on_step)


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")] if text else []
    except ValueError:
        raise UserError(f"--seeds {text!r}: expected whole numbers, such as 42,43") from None


def _axis(text: str) -> tuple[str, list[Any]]:
    """``"optimizer.weight_decay=0.1,1"`` as a key and its YAML values."""
    key, equals, values = text.partition("=")
    if not key or not equals:
        raise UserError(f"--grid {text!r}: expected KEY=V1,V2,...")
    return assignment(f"{key}=[{values}]", "--grid")


def _check_output(output: Path) -> None:
    """Before anything is trained: that the table can be written in the end."""
    if output.is_dir():
        raise UserError(f"-o {output}: is a folder; name a table in it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise UserError(f"-o {output}: cannot write the table: {error.strerror}") from None


def _write(frame: pd.DataFrame, output: Path) -> list[Path]:
    try:
        return table.write(frame, output)
    except OSError as error:
        raise UserError(f"-o {output}: cannot write the table: {error.strerror}") from None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON values; what is missing is null."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _check_link(link: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise UserError(f"--link {link}: is there already, and is not a link")


def _point(link: Path, target: Path) -> None:
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())
    except OSError as error:
        raise UserError(f"--link {link}: {error.strerror}") from None


def _smoke_test(run: Run) -> str:
    return generate.complete(run.model().double(), generate.SMOKE_TEST)


def _summary(run: Run) -> dict[str, Any]:
    """The run's result as JSON values; a loss that is not finite is null."""
    losses = {"train_loss": run.last.train_loss, "val_loss": run.last.val_loss}
    return {
        "fingerprint": run.fingerprint,
        "steps": run.steps,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "tokens_per_second": run.tokens / run.seconds,
        "prompt": generate.SMOKE_TEST,
        "completion": _smoke_test(run),
        **{name: loss if math.isfinite(loss) else None for name, loss in losses.items()},
        "diverged": run.diverged,
        "run_dir": str(run.path),
    }


def _report(run: Run) -> str:
    ended = f" (diverged: stopped before {run.config.steps})" if run.diverged else ""
    rows = {
        "steps": f"{run.steps}{ended}",
        "tokens seen": f"{run.tokens:,}",
        "seconds": f"{run.seconds:.1f}",
        "tokens/second": f"{run.tokens / run.seconds:,.0f}",
        "train loss": f"{run.last.train_loss:.6f}",
        "val loss": f"{run.last.val_loss:.6f}",
        "completion": f"{generate.SMOKE_TEST}{_smoke_test(run)}",
        "fingerprint": f"{short(run.fingerprint)}  ({run.fingerprint})",
        "run": str(run.path),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def main() -> None:
    """Entry point: `UserError` becomes one line on stderr and exit status 2."""
    logging.basicConfig(format="minitrain: %(message)s")
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        if str(error):  # empty when typer has printed the help instead
            print(f"minitrain: {error.format_message()}", file=sys.stderr)
        status = 2
    except UserError as error:
        print(f"minitrain: {error}", file=sys.stderr)
        status = 2
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    if status == INTERRUPTED:  # this is also how typer reports Ctrl-C
        print("minitrain: interrupted; run the same command again to resume", file=sys.stderr)
    sys.exit(status)

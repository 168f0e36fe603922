"""The command line: train, compare and verify runs. Bad input is one line and exit status 2."""

import json
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from tqdm import tqdm

from minitrain import dashboard, experiments
from minitrain.checkpoint import DamagedFile
from minitrain.config import Config, assignment
from minitrain.errors import UserError
from minitrain.files import write_atomically
from minitrain.grid import short
from minitrain.loop import Training, start, train
from minitrain.store import Run, Store, read_run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train a tiny GPT on English verb forms; the same config gives the same bits anywhere.",
)

T = TypeVar("T")

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, or its name in the store.")
]


@app.command(name="train")
def train_command(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="A folder that holds a config.yaml.")
    ],
    variant: Annotated[str, typer.Option(help="Which variant of it.")] = "control",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated."),
    ] = None,
    link: Annotated[
        Path | None, typer.Option(help="Leave a link to the run's folder at this path.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
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


def _summary(run: Run) -> dict[str, Any]:
    """The run's result as JSON values; a loss that is not finite is null."""
    losses = {"train_loss": run.last.train_loss, "val_loss": run.last.val_loss}
    return {
        "fingerprint": run.fingerprint,
        "steps": run.steps,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "tokens_per_second": run.tokens / run.seconds,
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
        "fingerprint": f"{short(run.fingerprint)}  ({run.fingerprint})",
        "run": str(run.path),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def main() -> None:
    """Entry point: `UserError` becomes one line on stderr and exit status 2."""
    logging.basicConfig(format="minitrain: %(message)s")
    try:
        sys.exit(app(standalone_mode=False))
    except (typer.TyperException, UserError) as error:
        if str(error):  # empty when typer has printed the help instead
            print(f"minitrain: {error}", file=sys.stderr)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        print("minitrain: interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)

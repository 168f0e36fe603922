"""`minitrain train` and `minitrain sweep`."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from minitrain.command_line import arguments
from minitrain.command_line.arguments import AsJson, Assignments, Device
from minitrain.command_line.progress import with_progress
from minitrain.command_line.streams import out
from minitrain.common.errors import UserError
from minitrain.runs import experiments, table
from minitrain.runs.cluster import Cluster
from minitrain.runs.faults import Recipe
from minitrain.runs.store import Progress, Run, Store
from minitrain.runs.sweep import run_all
from minitrain.training import generate
from minitrain.training.grid import short
from minitrain.training.loop import Training


def train(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="A folder that holds a config.yaml.")
    ],
    variant: Annotated[str, typer.Option(help="Which variant of it.")] = "control",
    assignments: Assignments = None,
    link: Annotated[
        Path | None, typer.Option(help="Leave a link to the run's folder at this path.")
    ] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train one variant of an experiment, or find it in the store."""
    config = experiments.load(experiment).config(variant, arguments.changes(assignments))
    store = Store(device=arguments.check_device(device))
    if link:
        arguments.check_link(link)
    trained = False

    def get(on_step: Progress) -> Run:
        def noting(training: Training) -> None:
            nonlocal trained
            trained = True
            on_step(training)

        return store.get(config, noting)

    run = with_progress(config.steps, get)
    if link:
        arguments.point(link, run.path)
    values = _summary(run, found=not trained)
    out(json.dumps(values) if as_json else _report(run, values))


def sweep(
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
    on: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Train on a Dask cluster: its scheduler, tcp://host:8786."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train every variant, grid point and seed on all cores, or find them in the store."""
    arguments.distinct(variants or (), "--variant")
    chosen, grid = arguments.seeds(seeds), arguments.axes(axes)
    changes = arguments.changes(assignments)
    points = [
        point
        for experiment in arguments.several(names)
        for point in experiment.points(variants or (), seeds=chosen, grid=grid, changes=changes)
    ]
    if output:
        arguments.check_table(output)
    frame = table.of(_run_all([point.recipe for point in points], on), points)
    written = _write(frame, output) if output else []
    if as_json:
        files = [str(path) for path in written]
        out(json.dumps({"runs": _records(frame), "files": files}))
    else:
        out("\n".join(map(str, written)) or table.overview(frame).to_string(index=False))


def _run_all(recipes: list[Recipe], on: str | None) -> list[Run]:
    if on is None:
        return run_all(recipes)
    with Cluster(on, {recipe.fault for recipe in recipes if recipe.fault}) as cluster:
        return run_all(recipes, executor=cluster)


def _write(frame: pd.DataFrame, output: Path) -> list[Path]:
    try:
        return table.write(frame, output)
    except OSError as error:
        raise UserError(f"-o {output}: cannot write the table: {error.strerror}") from None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON values; what is missing is null."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _summary(run: Run, found: bool) -> dict[str, Any]:
    """The run's result as JSON values; a loss that is not finite is null.

    found: whether it lay in the store; `seconds` is then the time that its training took once.
    """
    losses = {"train_loss": run.last.train_loss, "val_loss": run.last.val_loss}
    return {
        "fingerprint": run.fingerprint,
        "found": found,
        "steps": run.steps,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "engine": run.engine,
        "tokens_per_second": run.tokens / run.seconds if run.seconds else None,
        "prompt": generate.SMOKE_TEST,
        "completion": generate.complete(run.model().double(), generate.SMOKE_TEST),
        **{name: loss if math.isfinite(loss) else None for name, loss in losses.items()},
        "diverged": run.diverged,
        "run_dir": str(run.path),
    }


def _report(run: Run, values: dict[str, Any]) -> str:
    rows = {
        "steps": f"{run.steps}{_ending(run)}",
        "tokens seen": f"{run.tokens:,}",
    }
    if values["found"]:
        rows["seconds"] = f"found in the store; its training took {run.seconds:.1f}"
    else:
        rows["seconds"] = f"{run.seconds:.1f}"
        rows["tokens/second"] = f"{values['tokens_per_second'] or math.inf:,.0f}"
    rows |= {
        "engine": run.engine,
        "train loss": f"{run.last.train_loss:.6f}",
        "val loss": f"{run.last.val_loss:.6f}",
        "completion": f"{generate.SMOKE_TEST}{values['completion']}",
        "fingerprint": f"{short(run.fingerprint)}  ({run.fingerprint})",
        "run": str(run.path),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def _ending(run: Run) -> str:
    if not run.diverged:
        return ""
    early = run.steps < run.config.steps
    return f" (diverged: stopped before {run.config.steps})" if early else " (diverged at the end)"

"""`minitrain engines`: does the kernel compute what PyTorch computes?"""

from typing import Annotated

import typer

from minitrain.command_line import arguments
from minitrain.command_line.streams import out
from minitrain.runs import engines, equality
from minitrain.runs.faults import Recipe
from minitrain.training.config import Config

DIFFERS = 1  # the exit status


def compare_engines(
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Note that these sources are equal: from then on the kernel trains."
        ),
    ] = False,
    runs: Annotated[
        int,
        typer.Option(parser=arguments.whole("--runs", 1, 1000), help="How many runs to compare."),
    ] = 24,
) -> None:
    """Train short versions of the book's runs with the kernel and with PyTorch, and compare.

    So are runs under each fault that the kernel can plant, with PyTorch under the fault's patch.
    """
    compared: list[Config | Recipe] = [*equality.short_runs(runs), *equality.with_faults()]
    engines.kernel()  # whether it compiles here is said before anything is trained
    if apart := equality.first_difference(compared):
        out(f"differs: {apart}")
        raise typer.Exit(DIFFERS)
    out(f"equal: {len(compared)} of {len(compared)}")
    if write:
        equality.note()
        out(engines.verified_path())

"""`minitrain tokens` and `minitrain large`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tqdm import tqdm

from minitrain.command_line import arguments
from minitrain.command_line.arguments import AsJson, Assignments
from minitrain.command_line.streams import out, out_of_memory
from minitrain.common.errors import UserError
from minitrain.large import config as configs
from minitrain.large import folder, processes, report, tokens
from minitrain.large.config import LargeConfig
from minitrain.large.processes import Processes
from minitrain.large.shards import Tokens
from minitrain.large.train import Training

MOST_VOCABULARY = 10**6


def make_tokens(
    texts: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder of text, with all below it.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder of tokens to make.")],
    vocabulary: Annotated[
        int,
        typer.Option(
            parser=arguments.whole("--vocabulary", tokens.LEAST_VOCABULARY, MOST_VOCABULARY),
            metavar="N",
            help="At most so many tokens; GPT-2 has 50257.",
        ),
    ] = 50257,
    suffixes: Annotated[
        list[str] | None,
        typer.Option("--suffix", help="Read these files, not .txt .md .py; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a tokenizer on a folder of text, and write all of it as tokens."""
    wanted = [s if s.startswith(".") else f".{s}" for s in suffixes or tokens.SUFFIXES]
    meta = tokens.make(texts, output, vocabulary, wanted)
    if as_json:
        out(json.dumps(meta))
        return
    rows = {
        "vocabulary": f"{meta['vocabulary']:,}",
        **{
            name: f"{meta['tokens'][name]:,} tokens of {meta['documents'][name]:,} texts"
            for name in reversed(tokens.SPLITS)
        },
        "skipped": ", ".join(f"{count} {reason}" for reason, count in meta["skipped"].items()),
        "folder": str(output),
    }
    out("\n".join(f"{name:<14} {value}" for name, value in rows.items()))


def large(
    path: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as gpt2-small.yaml.")
    ],
    token_folder: Annotated[
        Path, typer.Option("--tokens", help="A folder that `minitrain tokens` made.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run's folder.")],
    assignments: Assignments = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="cpu|cuda", help="Where to compute; a CUDA device if there is one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model of any size, such as GPT-2 small; a run that was killed goes on.

    Several GPUs: torchrun --nproc-per-node 2 -m minitrain large ...
    """
    try:
        result = _train(path, token_folder, output, assignments, device)
    except UserError:
        if processes.rank():  # the first process has found the same, and says so
            raise typer.Exit(2) from None
        raise
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise UserError("not enough memory; a smaller micro_batch_size needs less") from None
    if processes.rank() == 0:
        out(json.dumps(result) if as_json else _report(result, output))


def _train(
    path: Path,
    token_folder: Path,
    output: Path,
    assignments: Sequence[str] | None,
    device: str | None,
) -> dict[str, Any]:
    config = configs.load(path, arguments.changes(assignments))
    place = arguments.check_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    data = Tokens(token_folder, verify=processes.rank() == 0)
    with processes.join(place) as joined:
        return _with_progress(config, data, output, joined)


def _with_progress(
    config: LargeConfig, data: Tokens, output: Path, joined: Processes
) -> dict[str, Any]:
    silent = None if joined.main else True  # None: on a terminal only
    with tqdm(total=config.steps, unit="step", disable=silent, leave=False) as bar:

        def on_step(training: Training) -> None:
            bar.update(training.step - bar.n)
            if training.losses:
                bar.set_postfix(loss=f"{training.losses[-1]:.4f}", refresh=False)

        return folder.get(output, config, data, joined, on_step)


def _report(result: dict[str, Any], output: Path) -> str:
    return "\n".join([*report.lines(result), f"{'run':<14} {output}"])

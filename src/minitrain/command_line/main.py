"""The commands together, and the one place where an exception becomes a line and a status."""

import sys

import typer

from minitrain.command_line import checking, comparing, large, reading, training
from minitrain.command_line.streams import complain, out_of_memory, prepare, reason
from minitrain.common.errors import UserError

BAD_INPUT = 2
INTERRUPTED = 130  # the exit status after Ctrl-C
RESUMABLE = ("train", "sweep", "fingerprints", "large")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train a tiny GPT on English verb forms; the same config gives the same bits.",
)
app.command()(training.train)
app.command()(training.sweep)
app.command()(reading.generate)
app.command()(reading.compare)
app.command()(reading.explain)
app.command()(checking.verify)
app.command(name="fingerprints")(checking.write_fingerprints)
app.command(name="engines")(comparing.compare_engines)
app.command(name="tokens")(large.make_tokens)
app.command()(large.large)


def main() -> None:
    """Entry point: `UserError` becomes one line on stderr and exit status 2."""
    prepare()
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        if str(error):  # empty when typer has printed the help instead
            complain(error.format_message())
        status = BAD_INPUT
    except UserError as error:
        complain(error)
        status = BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except OSError as error:  # whatever nobody foresaw: a name, a disk, a stream
        complain(reason(error))
        status = BAD_INPUT
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        complain("not enough memory; a smaller model, batch_size or number of steps needs less")
        status = BAD_INPUT
    if status == INTERRUPTED:  # this is also how typer reports Ctrl-C
        resumes = set(sys.argv[1:2]) & set(RESUMABLE)
        complain("interrupted" + ("; run the same command again to resume" if resumes else ""))
    sys.exit(status)

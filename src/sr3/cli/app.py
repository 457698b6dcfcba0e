"""The `sr3` command: its subcommands, and the handling of errors."""

import errno
import io
import sys
import warnings

import typer
import typer.main

from sr3.cli import (
    average,
    bench,
    convert,
    distill,
    evaluate,
    export,
    generate,
    inspect,
    join,
    models,
    prepare,
    push,
    search_schedule,
    train,
    upscale,
    web,
)
from sr3.cli.help import HelpfulCommand, HelpfulGroup
from sr3.cli.study import study
from sr3.errors import Sr3Error
from sr3.ranks import process_prefix

__all__ = ["app", "run"]

EXAMPLES = """
sr3 upscale photo.jpg                                       # writes photo-x4.jpg beside it
sr3 train photos-x4 --data photos/ --out runs/mine --max-time 8h
sr3 evaluate --model runs/mine --filter bicubic --data held-out/ -o report/
"""

app = typer.Typer(
    name="sr3",
    cls=HelpfulGroup,
    epilog=EXAMPLES,
    help="Image super-resolution by iterative refinement (SR3): upscale images, train and measure models.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Show the version and exit.")
) -> None:
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"sr3 {installed_version('sr3')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_VERBS = (
    (upscale.upscale, upscale.EXAMPLES),
    (train.train, train.EXAMPLES),
    (distill.distill, distill.EXAMPLES),
    (prepare.prepare, prepare.EXAMPLES),
    (generate.generate, generate.EXAMPLES),
    (evaluate.evaluate, evaluate.EXAMPLES),
    (search_schedule.search_schedule, search_schedule.EXAMPLES),
    (models.models, models.EXAMPLES),
    (inspect.inspect, inspect.EXAMPLES),
    (convert.convert, convert.EXAMPLES),
    (join.join, join.EXAMPLES),
    (average.average, average.EXAMPLES),
    (export.export, export.EXAMPLES),
    (push.push, push.EXAMPLES),
    (bench.bench, bench.EXAMPLES),
    (web.web, web.EXAMPLES),
)
for _verb, _examples in _VERBS:
    app.command(_verb.__name__.replace("_", "-"), cls=HelpfulCommand, epilog=_examples)(_verb)
app.add_typer(study, name="study")


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code: 0, 1 (some inputs failed), 2 (user error) or 130 (interrupted)."""
    command = typer.main.get_command(app)
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # file names may contain characters that the terminal cannot show
    try:
        with command.make_context("sr3", arguments) as context:
            result = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _complain("stopped; no incomplete file is left", 130)
    except Sr3Error as error:
        return _complain(str(error), 2)
    except BrokenPipeError:
        sys.stdout = None  # the reader of the output has closed the pipe
        return 2
    except OSError as error:
        remedy = "free space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check path and permissions"
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}; {remedy}", 2)
    except Exception as error:
        # typer has its own copy of click, so click errors are recognised by their method.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        return _complain(" ".join(message().split()), 2)
    return result if isinstance(result, int) else 0


def _warn(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a user warning as one line; ignore warnings for developers."""
    if issubclass(category, UserWarning) and not process_prefix():
        sys.stderr.write(f"sr3: warning: {message}\n")


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"sr3: {process_prefix()}{message}\n")
    return code

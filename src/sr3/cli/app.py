"""The `sr3` command: its verbs, and how errors end."""

import sys

import click
import typer

from sr3.cli.inspect import inspect
from sr3.cli.models import models
from sr3.cli.train import train
from sr3.cli.upscale import upscale
from sr3.errors import Sr3Error

__all__ = ["app", "run"]

app = typer.Typer(
    name="sr3",
    help="Image super-resolution by iterative refinement: upscale pictures, train models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _options(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"sr3 {installed_version('sr3')}")
        raise typer.Exit


app.command()(upscale)
app.command()(train)
app.command()(models)
app.command()(inspect)


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code: 0, 1 some inputs failed, 2 the user can fix it, 130 stopped."""
    try:
        result = app(arguments, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _complain("stopped; nothing half-written is left", 130)
    except click.ClickException as error:
        return _complain(" ".join(error.format_message().split()), 2)
    except Sr3Error as error:
        return _complain(str(error), 2)
    return result if isinstance(result, int) else 0


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"sr3: {message}\n")
    return code

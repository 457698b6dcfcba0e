"""The commands of `sr3`, and command lines taken as its own parser takes them, without running them."""

from collections.abc import Iterator, Sequence

import typer.main

from sr3.cli.app import app


def commands(command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command with the words that call it, the root with none."""
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


def parse(arguments: Sequence[str]) -> dict[str, object]:
    """Parse the words after `sr3`; returns what each option of the last command is."""
    command, context, rest = typer.main.get_command(app), None, list(arguments)
    name = "sr3"
    while True:
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "commands") or not context._protected_args:
            return context.params
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])

"""Help texts: options under titles, and examples that keep their lines."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["UNTITLED", "HelpfulCommand", "HelpfulGroup"]

UNTITLED = "General"
"""Title of the options that every command has, such as --help."""


class HelpfulCommand(TyperCommand):
    """A command whose help groups options by `rich_help_panel` and ends with its epilog as it is written."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # noqa: ANN401 (typer keeps its click private)
        """Write each group of options under its title."""
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # noqa: ANN401, ARG002 (as above)
        """Write the examples line by line."""
        write_examples(self.epilog, formatter)


class HelpfulGroup(TyperGroup):
    """The same for a command that has commands of its own."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # noqa: ANN401 (typer keeps its click private)
        """Write each group of options under its title, then the commands."""
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # noqa: ANN401, ARG002 (as above)
        """Write the examples line by line."""
        write_examples(self.epilog, formatter)


def write_options(command: TyperCommand | TyperGroup, ctx: typer.Context, formatter: Any) -> None:  # noqa: ANN401
    """Write arguments and options under the titles that their declarations name."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            groups.setdefault(getattr(param, "rich_help_panel", None) or UNTITLED, []).append(record)
    for title, records in groups.items():
        with formatter.section(title):
            formatter.write_dl(records)


def write_examples(epilog: str | None, formatter: Any) -> None:  # noqa: ANN401 (typer keeps its click private)
    """Write the lines of an epilog without filling them."""
    if epilog:
        with formatter.section("Examples"):
            for line in epilog.strip().splitlines():
                formatter.write(f"  {line}\n")

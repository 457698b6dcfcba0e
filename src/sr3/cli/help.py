"""Help texts: options grouped by title, and examples with their line breaks."""

from typing import Any, TypeAlias

from typer.core import TyperCommand, TyperGroup

__all__ = ["UNTITLED", "HelpfulCommand", "HelpfulGroup"]

UNTITLED = "General"
"""Title of options without a group, such as --help."""

Context: TypeAlias = Any
"""A context of the private copy of click in typer."""
Formatter: TypeAlias = Any
"""Its help formatter."""


class HelpfulCommand(TyperCommand):
    """A command whose help groups options by `rich_help_panel` and ends with the unwrapped epilog."""

    def format_options(self, ctx: Context, formatter: Formatter) -> None:
        """Write each group of options under its title."""
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: Formatter) -> None:  # noqa: ARG002 (the name is click's)
        """Write the examples line by line."""
        write_examples(self.epilog, formatter)


class HelpfulGroup(TyperGroup):
    """The same for a command with subcommands."""

    def format_options(self, ctx: Context, formatter: Formatter) -> None:
        """Write each group of options under its title, then the commands."""
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: Formatter) -> None:  # noqa: ARG002 (the name is click's)
        """Write the examples line by line."""
        write_examples(self.epilog, formatter)


def write_options(command: TyperCommand | TyperGroup, ctx: Context, formatter: Formatter) -> None:
    """Write arguments and options, grouped by the titles in their declarations."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            groups.setdefault(getattr(param, "rich_help_panel", None) or UNTITLED, []).append(record)
    for title, records in groups.items():
        with formatter.section(title):
            formatter.write_dl(records)


def write_examples(epilog: str | None, formatter: Formatter) -> None:
    """Write the lines of an epilog without wrapping them."""
    if epilog:
        with formatter.section("Examples"):
            for line in epilog.strip().splitlines():
                formatter.write(f"  {line}\n")

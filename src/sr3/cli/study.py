"""`sr3 study`: run the paper's forced-choice study and report its results."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.help import HelpfulCommand, HelpfulGroup
from sr3.cli.options import IN_OUT, SERVER

__all__ = ["study"]

EXAMPLES = """
sr3 study serve --config study.toml
sr3 study report --config study.toml
"""
SERVE_EXAMPLES = """
sr3 study serve --config study.toml
sr3 study serve --config study.toml --host 0.0.0.0 --port 8080   # for other machines too
"""
REPORT_EXAMPLES = """
sr3 study report --config study.toml
sr3 study report --config study.toml --out figures/ --json
"""

study = typer.Typer(
    cls=HelpfulGroup,
    epilog=EXAMPLES,
    help="Run a human study and report fool rates.\n\nSubjects choose which of two images was taken by a camera.",
)

Settings = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="Settings of the study, TOML.", rich_help_panel=IN_OUT)
]


@study.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@study.command(cls=HelpfulCommand, epilog=SERVE_EXAMPLES)
def serve(
    config: Settings,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines too.", rich_help_panel=SERVER)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 for any free port.", rich_help_panel=SERVER)
    ] = 8000,
) -> None:
    """Serve the page of a study. Answers are stored at once, so the server may be restarted at any time."""
    from sr3.study.server import open_server
    from sr3.study.settings import read_study

    settings = read_study(config)
    server = open_server(settings, host=host, port=port)
    typer.echo(f"{server.url} serves {settings.page.title!r}; answers go to {settings.database}; stop with Ctrl-C")
    server.run()


@study.command(cls=HelpfulCommand, epilog=REPORT_EXAMPLES)
def report(
    config: Settings,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder of the report.  [default: report, beside FILE]", rich_help_panel=IN_OUT
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print report.json and nothing else.", rich_help_panel=IN_OUT)
    ] = False,
) -> None:
    """Report fool rates with confidence intervals, by method, image and subject."""
    from sr3.study.report import report_study, write_report
    from sr3.study.settings import read_study

    settings = read_study(config)
    folder = config.parent / "report" if out is None else out
    found = report_study(settings)
    write_report(settings, found, folder)
    if as_json:
        typer.echo((folder / "report.json").read_text(encoding="utf-8").rstrip())
        return
    for group in found.methods:
        low, high = group.rate.interval
        share = f"{group.rate.share:.1%}" if group.rate.answers else "no answers"
        interval = f"95% interval {low:.1%} to {high:.1%}" if group.rate.answers else ""
        typer.echo(f"{group.question:8} {group.method:16} {share:>10}  {interval}  {group.rate.answers} answers")
    out_count = sum(bool(subject.left_out) for subject in found.subjects)
    typer.echo(f"{folder / 'report.html'}: {len(found.subjects)} subjects, {out_count} of them excluded")

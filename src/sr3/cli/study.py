"""`sr3 study`: run the paper's forced-choice study and report its results."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["study"]

study = typer.Typer(help="Hold a human study: which of two pictures is from a camera; report fool rates.")

Settings = Annotated[Path, typer.Option("--config", metavar="FILE", help="Settings of the study, TOML.")]


@study.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@study.command()
def serve(
    config: Settings,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 8000,
) -> None:
    """Serve the page of a study; every answer is kept at once, so it may be stopped and served again at any time."""
    from sr3.study.server import open_server
    from sr3.study.settings import read_study

    settings = read_study(config)
    server = open_server(settings, host=host, port=port)
    typer.echo(f"{server.url} serves {settings.page.title!r}; answers go to {settings.database}; stop with Ctrl-C")
    server.run()


@study.command()
def report(
    config: Settings,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder.  [default: report, beside FILE]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json and nothing else.")] = False,
) -> None:
    """Report fool rates with their intervals: of methods, images and subjects."""
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
    typer.echo(f"{folder / 'report.html'}: {len(found.subjects)} subjects, {out_count} of them left out by its rules")

"""`sr3 push`: upload a model to the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT

__all__ = ["EXAMPLES", "push"]

CARD = "Model card"

EXAMPLES = """
sr3 push runs/mine owner/mine-x4 --license apache-2.0
sr3 push runs/mine owner/mine-x4 --private --revision step-20000
sr3 push runs/mine owner/mine-x4 --report report/report.json --dataset owner/photos --overwrite
"""


def push(
    model: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's folder, a model's file or its name.", rich_help_panel=IN_OUT),
    ],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME", help="Repository on the Hub; it is created if needed.", rich_help_panel=IN_OUT
        ),
    ],
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Only the owner may see it; a public repository is refused.", rich_help_panel=IN_OUT
        ),
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch to write to; it is created if needed.  [default: main]", rich_help_panel=IN_OUT),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a README.md that the repository has.", rich_help_panel=IN_OUT)
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="report.json", help="Report of sr3 evaluate with the metrics of this model.", rich_help_panel=CARD
        ),
    ] = None,
    license: Annotated[
        str | None, typer.Option(metavar="ID", help="Licence of the weights, such as apache-2.0.", rich_help_panel=CARD)
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="OWNER/NAME", help="Training data set on the Hub; may be repeated.", rich_help_panel=CARD),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.md",
            help="Text of the card.  [default: made from the settings and the report]",
            rich_help_panel=CARD,
        ),
    ] = None,
) -> None:
    """Upload a model and its card to the Hugging Face Hub.

    Needs the extra hub, and a token: hf auth login, or HF_TOKEN.
    """
    from sr3.evaluation.report import read_report
    from sr3.publishing.card import CardRequest
    from sr3.publishing.push import push_model

    request = CardRequest(
        license=license,
        datasets=dataset or (),
        report=None if report is None else read_report(report),
        text=None if card is None else card.read_text(encoding="utf-8"),
    )
    pushed = push_model(model, repository, request, private=private, revision=revision, overwrite=overwrite)
    typer.echo(f"{pushed.address}: commit {pushed.commit[:12]}, SHA-256 of the model {pushed.digest}")
    if not pushed.has_new_card:
        typer.echo(f"{pushed.address}: its README.md was kept; --overwrite replaces it")
    elif license is None:
        typer.echo(f"{pushed.address}: the card names no licence; --license ID --overwrite adds one")

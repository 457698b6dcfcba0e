"""`sr3 models`: list the packaged models and the presets."""

import json
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT

__all__ = ["EXAMPLES", "models"]

EXAMPLES = """
sr3 models
sr3 models --json
"""


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=IN_OUT)] = False,
) -> None:
    """List the models in the package and the presets to train."""
    from sr3.presets import PRESETS, REGRESSION
    from sr3.zoo import packaged_models

    packaged = {name: str(path) for name, path in packaged_models().items()}
    if as_json:
        typer.echo(json.dumps({"packaged": packaged, "presets": list(PRESETS)}))
        return
    for name, path in packaged.items():
        typer.echo(f"{name}: packaged, {path}")
    for name in PRESETS:
        typer.echo(f"{name}: preset, sr3 train {name} --data SRC --out RUN")
    typer.echo(f"Every preset that enlarges by a U-Net also has its regression baseline: NAME{REGRESSION}")

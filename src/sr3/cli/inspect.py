"""`sr3 inspect`: what is inside a model."""

from typing import Annotated

import typer

__all__ = ["inspect"]


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A packaged model's name, a file, or a run's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a model's settings, size and figures."""
    import json

    from sr3.checkpoint import read_model
    from sr3.zoo import find_model

    file = read_model(find_model(model))
    parameters = sum(weight.numel() for weight in file.weights.values())
    summary = {"parameters": parameters, **file.info.model_dump(mode="json")}
    if as_json:
        typer.echo(json.dumps(summary))
        return
    import tomli_w

    typer.echo(tomli_w.dumps(summary).rstrip())

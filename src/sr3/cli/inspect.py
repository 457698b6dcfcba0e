"""`sr3 inspect`: show the contents of a model file, or the model of a preset."""

from typing import Annotated, Any

import typer

from sr3.cli.options import IN_OUT

__all__ = ["EXAMPLES", "inspect"]

EXAMPLES = """
sr3 inspect photos-x4
sr3 inspect faces-16-128 --json
"""


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|PRESET",
            help="A model's name, its file, a run's folder, hf:OWNER/NAME, or a preset. A name of both is the model's.",
            rich_help_panel=IN_OUT,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=IN_OUT)] = False,
) -> None:
    """Show the settings and the size of a model or a preset."""
    import json
    from pathlib import Path

    from sr3.presets import is_preset
    from sr3.zoo import packaged_models

    is_model = model in packaged_models() or Path(model).exists()
    summary = _of_preset(model) if is_preset(model) and not is_model else _of_model(model)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    import tomli_w

    typer.echo(tomli_w.dumps(summary).rstrip())


def _of_model(name: str) -> dict[str, Any]:
    from sr3.checkpoint import read_model
    from sr3.zoo import find_model

    file = read_model(find_model(name))
    parameters = sum(weight.numel() for weight in file.weights.values())
    return {"parameters": parameters, **file.info.model_dump(mode="json", exclude_none=True)}


def _of_preset(name: str) -> dict[str, Any]:
    from sr3.build import count_parameters
    from sr3.presets import preset

    config = preset(name)
    parameters = count_parameters(config.network, image_channels=3, scale=config.data.scale)
    return {"preset": name, "parameters": parameters, "config": config.model_dump(mode="json", exclude_none=True)}

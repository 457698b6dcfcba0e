"""The model whose weights a run begins with: which one can be, and that it stays the same."""

from dataclasses import dataclass

from sr3.checkpoint import ModelFile, read_model
from sr3.config import Config
from sr3.digest import digest_of
from sr3.errors import ConfigError, DataError
from sr3.zoo import find_model

__all__ = ["Start", "begun_with", "check_start", "likeness", "read_start"]

_DIGITS = 16


@dataclass(frozen=True)
class Start:
    """A model that a run begins with, and what the settings call it: its name and the first digits of its SHA-256."""

    file: ModelFile
    name: str


def read_start(model: str) -> Start:
    """Find and read a model; CheckpointError when there is none or it is damaged."""
    path = find_model(model)
    file = read_model(path)
    return Start(file, f"{file.info.name} {digest_of(path)[:_DIGITS]}")


def begun_with(config: Config, start: Start | None) -> Config:
    """Write into the settings which model the run begins with; ConfigError when they name another."""
    name, expected = start.name if start is not None else "none", config.training.start
    if expected not in ("none", name):
        given = f"--start is {name}" if start is not None else "there is no --start"
        raise ConfigError(f"training.start = {expected}: the run begins with this model, but {given}; give it")
    return config.model_copy(update={"training": config.training.model_copy(update={"start": name})})


def check_start(config: Config, start: Start, *, image_channels: int) -> None:
    """Raise ConfigError or DataError when weights would not fit the network, or would mean something else in it."""
    own, theirs = likeness(config), likeness(start.file.info.config)
    for name, value in theirs.items():
        if own[name] != value:
            raise ConfigError(
                f"{name} = {own[name]}: {start.file.info.name}, which the run is to begin with, has {value}; take its "
                "settings, or another model"
            )
    if start.file.info.image_channels != image_channels:
        raise DataError(
            f"the pictures have {image_channels} channels, but {start.file.info.name}, which the run is to begin with, "
            f"takes {start.file.info.image_channels}; give pictures of its kind"
        )


def likeness(config: Config) -> dict[str, object]:
    """Flatten the settings that decide what weights there are and what they answer."""
    parts = {
        "network": config.network.model_dump(mode="json", exclude={"dropout", "checkpointing"}),
        "denoiser": config.denoiser.model_dump(mode="json", include={"prediction", "target", "target_scale"}),
    }
    return {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}

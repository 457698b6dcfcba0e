"""The model that a run starts from, or its teacher."""

from dataclasses import dataclass

from sr3.checkpoint import ModelFile, read_model
from sr3.config import Config
from sr3.digest import digest_of_weights
from sr3.errors import ConfigError, DataError
from sr3.training.run_dir import RunDir
from sr3.zoo import find_model

__all__ = ["Origin", "Origins", "begun_with", "check_likeness", "check_origin", "read_origin"]

_DIGITS = 16


@dataclass(frozen=True)
class Origin:
    """A model that a run comes from, and the SHA-256 of its weights."""

    file: ModelFile
    digest: str

    @property
    def name(self) -> str:
        """What training.start calls it: its name and the first digits of its SHA-256."""
        return f"{self.file.info.name} {self.digest[:_DIGITS]}"


@dataclass(frozen=True)
class Origins:
    """The models that a run comes from: that it begins with or is taught by, and whose mean it refines."""

    start: Origin | None = None
    mean: Origin | None = None


def read_origin(model: str) -> Origin:
    """Find and read a model; CheckpointError when there is none or it is damaged."""
    file = read_model(find_model(model))
    return Origin(file, digest_of_weights(file.weights))


def begun_with(config: Config, origin: Origin | None, run: RunDir) -> Config:
    """Write into the settings which model the run begins with; one that has begun remembers it.

    ConfigError when the settings name another, or weights and settings do not belong together.
    """
    before = run.settings
    name = "none" if before is None else before.training.start
    if origin is not None:
        check_likeness(config, origin)
        name = origin.name
    if config.training.start not in ("none", name):
        raise ConfigError(f"training.start = {config.training.start}: is not set but written by --start; leave it out")
    return config.model_copy(update={"training": config.training.model_copy(update={"start": name})})


def check_origin(config: Config, origin: Origin | None, *, image_channels: int) -> None:
    """Raise ConfigError or DataError when a new run of these settings and pictures cannot come from the model."""
    name = "none" if origin is None or config.objective.kind == "distillation" else origin.name
    if config.training.start != name:
        raise ConfigError(f"training.start = {config.training.start}: the run begins with {name}; give --start MODEL")
    if origin is None:
        return
    check_likeness(config, origin)
    info = origin.file.info
    if info.image_channels != image_channels:
        raise DataError(
            f"the pictures have {image_channels} channels, but {info.name}, which the run comes from, takes "
            f"{info.image_channels}; give pictures of its kind"
        )


def check_likeness(config: Config, origin: Origin) -> None:
    """Raise ConfigError when weights would not fit the network, or would mean something else in it.

    A student shares with its teacher what the pairs are, too.
    """
    pairs = {"scale"} if config.network.sees_low_res else set[str]()
    if config.objective.kind == "distillation":
        pairs = {"scale", "enlarged", "condition_gamma"}
    own, theirs = _likeness(config, pairs), _likeness(origin.file.info.config, pairs)
    for name, value in theirs.items():
        if own.get(name) != value:
            raise ConfigError(
                f"{name} = {own.get(name)}: {origin.file.info.name}, which the run comes from, has {value}, and it "
                "must be the same"
            )


def _likeness(config: Config, pairs: set[str]) -> dict[str, object]:
    parts = {
        "network": config.network.model_dump(mode="json", exclude={"dropout", "checkpointing", "guide"}),
        "denoiser": config.denoiser.model_dump(mode="json", include={"prediction", "target", "target_scale"}),
        "data": config.data.model_dump(mode="json", include=pairs),
    }
    flat = {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
    return {"network.family": config.network.family, **flat}

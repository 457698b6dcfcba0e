"""The model that provides the initial weights of a run, or its teacher."""

from dataclasses import dataclass

from sr3.checkpoint import ModelFile, read_model
from sr3.config import Config
from sr3.digest import digest_of_weights
from sr3.errors import CheckpointError, ConfigError, DataError
from sr3.training.run_dir import RunDir
from sr3.zoo import find_model

__all__ = [
    "SourceModel",
    "SourceModels",
    "check_compatible",
    "check_source_models",
    "read_source_model",
    "with_source_model",
]

_DIGITS = 16


@dataclass(frozen=True)
class SourceModel:
    """A model that a run is initialised from, distils or refines, and the SHA-256 of its weights."""

    file: ModelFile
    digest: str

    @property
    def name(self) -> str:
        """Its value of training.start: the name and the first digits of the SHA-256."""
        return f"{self.file.info.name} {self.digest[:_DIGITS]}"


@dataclass(frozen=True)
class SourceModels:
    """The models of a run. start: provides the initial weights. mean: is refined. teacher: is distilled.

    A student without a start begins with the weights of its teacher.
    """

    start: SourceModel | None = None
    mean: SourceModel | None = None
    teacher: SourceModel | None = None


def read_source_model(model: str, *, may_clean: bool = False) -> SourceModel:
    """Find and read a model; CheckpointError when it is missing or damaged.

    may_clean: whether it may have a restoration network.
    """
    file = read_model(find_model(model))
    if (before := file.info.config.restoration) is not None and not may_clean:
        raise CheckpointError(
            f"{model}: has the restoration network {before.name}, which is not trained; give the model it was joined "
            "from"
        )
    return SourceModel(file, digest_of_weights(file.weights))


def with_source_model(config: Config, source_model: SourceModel | None, run: RunDir) -> Config:
    """Record in the settings which model provides the initial weights; a resumed run keeps its record.

    ConfigError when the settings name another model, or when the weights do not fit the settings.
    """
    before = run.settings
    name = "none" if before is None else before.training.start
    if source_model is not None:
        check_compatible(config, source_model)
        name = source_model.name
    if config.training.start not in ("none", name):
        raise ConfigError(
            f"training.start = {config.training.start}: is written by --start and cannot be set; remove it"
        )
    return config.model_copy(update={"training": config.training.model_copy(update={"start": name})})


def check_source_models(config: Config, models: SourceModels, *, image_channels: int) -> None:
    """Raise ConfigError or DataError when the settings or the images of a new run do not match its source models."""
    name = "none" if models.start is None else models.start.name
    if config.training.start != name:
        raise ConfigError(
            f"training.start = {config.training.start}: the run was given {name}; give the model by --start MODEL"
        )
    for model in (models.start, models.teacher):
        if model is None:
            continue
        check_compatible(config, model)
        info = model.file.info
        if info.image_channels != image_channels:
            raise DataError(
                f"the images have {image_channels} channels, but the source model {info.name} takes "
                f"{info.image_channels}; give images with that number of channels"
            )


def check_compatible(config: Config, source_model: SourceModel) -> None:
    """Raise ConfigError when the weights do not fit the network, or would have another meaning in it.

    A student must also be trained on the same kind of pairs as its teacher.
    """
    pairs = {"scale"} if config.network.sees_low_res else set[str]()
    if config.objective.kind == "distillation":
        pairs = {"scale", "enlarged", "condition_gamma"}
    own, theirs = _compatibility(config, pairs), _compatibility(source_model.file.info.config, pairs)
    if not theirs.get("network.guide"):
        theirs.pop("network.guide", None)  # layers for the features of a mean may be new
    for name, value in theirs.items():
        if own.get(name) != value:
            raise ConfigError(
                f"{name} = {own.get(name)}: the source model {source_model.file.info.name} has {value}; set it to the "
                "same value"
            )


def _compatibility(config: Config, pairs: set[str]) -> dict[str, object]:
    parts = {
        "network": config.network.model_dump(mode="json", exclude={"dropout", "checkpointing"}),
        "denoiser": config.denoiser.model_dump(mode="json", include={"prediction", "target", "target_scale"}),
        "data": config.data.model_dump(mode="json", include=pairs),
    }
    flat = {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
    return {"network.family": config.network.family, **flat}

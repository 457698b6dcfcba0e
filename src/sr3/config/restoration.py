"""Settings of the restoration network: what cleans the input of a model before it is enlarged."""

from typing import Annotated

from pydantic import Field, model_validator

from sr3.config.diffusion import DenoiserConfig
from sr3.config.network import SPANConfig
from sr3.config.strict import Settings

__all__ = ["RestorationConfig"]


class RestorationConfig(Settings):
    """A regression of family `span` at scale 1, called once per image; the model sees its output only."""

    name: str
    """Name of the model it was taken from, for information; written by sr3 join."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of its weights."""
    network: SPANConfig = SPANConfig()
    """The network."""
    denoiser: DenoiserConfig = DenoiserConfig(prediction="y0", target="residual")
    """What its output means: the clean image, or its residual to the input."""

    @model_validator(mode="after")
    def _answers_with_the_image(self) -> "RestorationConfig":
        if self.denoiser.prediction != "y0":
            raise ValueError("restoration.denoiser.prediction must be y0: one call without noise gives the clean image")
        return self

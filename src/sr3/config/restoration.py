"""Settings of the restoration network: what cleans the input of a model before it is enlarged."""

from typing import Annotated

from pydantic import Field, model_validator

from sr3.config.diffusion import DenoiserConfig
from sr3.config.network import SPANConfig
from sr3.config.strict import Settings

__all__ = ["RestorationConfig"]


class RestorationConfig(Settings):
    """A regression model of family `span` at scale 1, called once per image; the main model sees only its output."""

    name: str
    """Name of the model it was taken from, for information; written by sr3 join."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of its weights."""
    network: SPANConfig = SPANConfig()
    """Settings of the restoration network."""
    denoiser: DenoiserConfig = DenoiserConfig(prediction="y0", target="residual")
    """Parameterisation of its output: the clean image, or its residual to the input."""
    strength_width: Annotated[int, Field(ge=8, le=256, multiple_of=2)] | None = None
    """Width of the network that measures how strongly an input needs cleaning; none without it."""

    @model_validator(mode="after")
    def _answers_with_the_image(self) -> "RestorationConfig":
        if self.denoiser.prediction != "y0":
            raise ValueError("restoration.denoiser.prediction must be y0: one call without noise gives the clean image")
        return self

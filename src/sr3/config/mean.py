"""Settings of the mean predictor: a small network at low resolution whose estimate the diffusion model refines."""

from typing import Annotated, Literal

from pydantic import Field

from sr3.config.network import SPANConfig
from sr3.config.strict import NonNegative, Settings

__all__ = ["MeanConfig"]


class MeanConfig(Settings):
    """The mean of p(y | x), predicted once per image by a frozen network of family `span`.

    "A regression, then SR3 on its residual" as in SRDiff (arXiv:2104.14951) and CorrDiff (arXiv:2309.15214).
    """

    name: str
    """Name of the model it was taken from, for information; written by --mean."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of its weights."""
    network: SPANConfig = SPANConfig()
    """Settings of the network that predicts the mean."""
    condition: Literal["mean", "enlarged"] = "mean"
    """The conditioning image x of the U-Net, which is also the base of the residual: the mean or the bicubic upsampling
    of the input."""
    margin: NonNegative = 8
    """Context of the mean in training: input pixels at each border of a crop that only the mean predictor sees."""

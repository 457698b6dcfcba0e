"""Settings of the mean: a small network at low resolution whose estimate the diffusion model refines."""

from typing import Annotated, Literal

from pydantic import Field

from sr3.config.network import SPANConfig
from sr3.config.strict import NonNegative, Settings

__all__ = ["MeanConfig"]


class MeanConfig(Settings):
    """The mean of p(y | x), computed once per picture by a network of family `span`; its weights stay as they are.

    "A regression, then SR3 on its residual" as in SRDiff (arXiv:2104.14951) and CorrDiff (arXiv:2309.15214).
    """

    name: str
    """Name of the model that it was, for people; written by --mean."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of its weights."""
    network: SPANConfig = SPANConfig()
    """The network of the mean."""
    condition: Literal["mean", "enlarged"] = "mean"
    """The picture x that the U-Net sees, to which the residual is taken: the mean's, or the bicubic enlargement."""
    margin: NonNegative = 8
    """Pixels of the input at each border of a training crop that only the mean sees: it needs surroundings."""

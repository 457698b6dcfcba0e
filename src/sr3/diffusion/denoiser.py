"""The denoiser: what the network output means - eps, v or y0, of the image or of its residual to the upsampled input.

The process runs on a state z. For the target `image`, z is the picture itself (SR3); for `residual`, z is the
picture minus the upsampled input x, times a scale that brings its spread near one (as in SRDiff,
arXiv:2104.14951). A sampler sees only `Denoise`: x is bound before sampling.
The file knows no schedule and no sampler.
"""

from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, TypeVar, assert_never

from torch import Tensor, nn

from sr3.diffusion import process
from sr3.types import Condition, Gamma, LowRes, State

__all__ = [
    "ClassAndLevel",
    "Conditioning",
    "Denoise",
    "Denoiser",
    "LowResInput",
    "MeanFeatures",
    "Prediction",
    "PredictionKind",
    "TargetKind",
]

PredictionKind = Literal["eps", "v", "y0"]
TargetKind = Literal["image", "residual"]


class Prediction(NamedTuple):
    """Both readings of one network call, consistent with each other by Eq. 5; shape (b, c, h, w)."""

    y0: State
    eps: State


Denoise = Callable[[State, Gamma], Prediction]
"""Map a noisy state and its levels to a prediction; the condition is inside."""


class ClassAndLevel(NamedTuple):
    """What a network may be told beside the picture x: a class, and the level to which x was noised; shape (b,)."""

    labels: Tensor
    levels: Gamma


class LowResInput(NamedTuple):
    """What a network that works on the small picture is told: that picture, of which x is the enlargement."""

    low_res: LowRes


class MeanFeatures(NamedTuple):
    """What a network that refines a mean is told: the mean's features, (b, width, h, w) at the input's resolution."""

    features: Tensor


Conditioning = ClassAndLevel | LowResInput | MeanFeatures | tuple[()]
"""Whatever a network is told beside x."""


N = TypeVar("N", bound=nn.Module)


class Denoiser(nn.Module, Generic[N]):
    """A network f(x, z, gamma) and the meaning of what it returns.

    network: takes x and z, both (b, c, h, w), gamma (b,) float64, and what else is given; returns (b, c, h, w). Other
        shapes (b, ...) do as well, where the network takes them.
    prediction: what the network estimates: the noise (the paper), v, or the clean state.
    target: whether the state is the image (the paper) or its scaled residual to x.
    target_scale: factor on the target, so that its spread is near 1; the paper's is 1.
    """

    def __init__(
        self,
        network: N,
        *,
        prediction: PredictionKind = "eps",
        target: TargetKind = "image",
        target_scale: float = 1.0,
    ) -> None:
        """Keep the network and the meaning of its output."""
        super().__init__()
        self.network: N = network
        self.prediction: PredictionKind = prediction
        self.target: TargetKind = target
        self.target_scale = target_scale
        self.mean: nn.Module | None = None
        """The network of the mean that x or the start is made by, if there is one; it travels with the denoiser."""

    def encode(self, image: State, x: Condition) -> State:
        """Turn a picture in [-1, 1] into a clean state."""
        match self.target:
            case "image":
                return image * self.target_scale
            case "residual":
                return (image - x).mul_(self.target_scale)
            case _:
                assert_never(self.target)

    def decode(self, state: State, x: Condition) -> State:
        """Turn a clean state into a picture; the inverse of `encode`."""
        match self.target:
            case "image":
                return state / self.target_scale
            case "residual":
                return (state / self.target_scale).add_(x)
            case _:
                assert_never(self.target)

    def forward(self, z: State, x: Condition, gamma: Gamma, given: Conditioning = ()) -> Tensor:
        """Call the network: its own output, in the units of `prediction`."""
        if isinstance(given, MeanFeatures):
            return self.network(x, z, gamma, features=given.features)
        return self.network(x, z, gamma, *given)

    def predict(self, z: State, x: Condition, gamma: Gamma, given: Conditioning = ()) -> Prediction:
        """Call the network once and read its output as y0 and eps, in float32."""
        return self.read(self(z, x, gamma, given).float(), z, gamma)

    def read(self, output: Tensor, z: State, gamma: Gamma) -> Prediction:
        """Read what the network said of z as y0 and eps."""
        match self.prediction:
            case "eps":
                return Prediction(process.y0_from_eps(z, output, gamma), output)
            case "v":
                return Prediction(process.y0_from_v(z, output, gamma), process.eps_from_v(z, output, gamma))
            case "y0":
                return Prediction(output, process.eps_from_y0(z, output, gamma))
            case _:
                assert_never(self.prediction)

    def bind(self, x: Condition, *, clip: bool, given: Conditioning = ()) -> Denoise:
        """Fix the condition x and what else is given; what is left is all a sampler sees.

        clip: hold the predicted picture in [-1, 1] and make eps agree with it (the paper mentions no clipping).
        """

        def denoise(z: State, gamma: Gamma) -> Prediction:
            return self.predict(z, x, gamma, given)

        return self.clipped(denoise, x) if clip else denoise

    def clipped(self, denoise: Denoise, x: Condition) -> Denoise:
        """Hold the pictures that a denoiser predicts in [-1, 1] and make eps agree with them."""

        def clip(z: State, gamma: Gamma) -> Prediction:
            y0 = self.encode(self.decode(denoise(z, gamma).y0, x).clamp(-1, 1), x)
            return Prediction(y0, process.eps_from_y0(z, y0, gamma))

        return clip

    def target_for(self, y0: State, eps: State, gamma: Gamma) -> State:
        """Return what the network should have said for a clean state y0 and its noise eps."""
        match self.prediction:
            case "eps":
                return eps
            case "v":
                return process.v_from_y0_eps(y0, eps, gamma)
            case "y0":
                return y0
            case _:
                assert_never(self.prediction)

"""The denoiser: what the network output means - eps, v or y0, of the image or of its residual to the upsampled input.

The process runs on a state z. For the target `image`, z is the image itself (SR3); for `residual`, z is the
image minus the upsampled input x, times a scale that brings its standard deviation near 1 (as in SRDiff,
arXiv:2104.14951). A sampler sees only `Denoise`: x is bound before sampling.
The file knows no schedule and no sampler.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar, assert_never

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


class Prediction:
    """The clean image and the noise that one network call estimates, consistent by Eq. 5; shape (b, c, h, w).

    It unpacks as `y0, eps = prediction`.
    """

    __slots__ = ("_eps", "y0")

    def __init__(self, y0: State, eps: State | Callable[[], State]) -> None:
        """Take both, or y0 and what computes eps: it is called at most once, and never where only y0 is asked for."""
        self.y0, self._eps = y0, eps

    @property
    def eps(self) -> State:
        """The noise."""
        if not isinstance(self._eps, Tensor):
            self._eps = self._eps()
        return self._eps

    def __iter__(self) -> Iterator[State]:
        """Yield y0, then eps."""
        yield self.y0
        yield self.eps


Denoise = Callable[[State, Gamma], Prediction]
"""Maps a noisy state and its levels to a prediction; the conditional inputs are bound."""


class ClassAndLevel(NamedTuple):
    """Conditioning on a class and on the noise level of x; both of shape (b,)."""

    labels: Tensor
    levels: Gamma


class LowResInput(NamedTuple):
    """The low-resolution image, for networks that work at its resolution; x is its enlargement."""

    low_res: LowRes


class MeanFeatures(NamedTuple):
    """Features of the mean predictor, (b, width, h, w) at the input's resolution."""

    features: Tensor


Conditioning = ClassAndLevel | LowResInput | MeanFeatures | tuple[()]
"""Conditional inputs besides x."""


N = TypeVar("N", bound=nn.Module)


class Denoiser(nn.Module, Generic[N]):
    """A network f(x, z, gamma) and the meaning of what it returns.

    network: takes x and z, both (b, c, h, w), gamma (b,) float64, and further conditional inputs; returns
        (b, c, h, w). Other shapes (b, ...) work if the network accepts them.
    prediction: what the network estimates: the noise (the paper), v, or the clean state.
    target: whether the state is the image (the paper) or its scaled residual to x.
    target_scale: factor on the target, so that its standard deviation is near 1; the paper's is 1.
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
        """The mean predictor, if there is one; it is saved and moved with the denoiser."""
        self.restoration: Denoiser[Any] | None = None
        """What cleans the input first, if there is something; saved and moved with the denoiser."""
        self.strength: nn.Module | None = None
        """What measures how strongly the input needs cleaning, if there is something; saved and moved as well."""

    def encode(self, image: State, x: Condition) -> State:
        """Convert an image in [-1, 1] to a clean state."""
        match self.target:
            case "image":
                return image * self.target_scale
            case "residual":
                return (image - x).mul_(self.target_scale)
            case _:
                assert_never(self.target)

    def decode(self, state: State, x: Condition) -> State:
        """Convert a clean state to an image; the inverse of `encode`."""
        match self.target:
            case "image":
                return state / self.target_scale
            case "residual":
                return (state / self.target_scale).add_(x)
            case _:
                assert_never(self.target)

    def forward(self, z: State, x: Condition, gamma: Gamma, conditioning: Conditioning = ()) -> Tensor:
        """Call the network; returns its output, of the kind `prediction`."""
        if isinstance(conditioning, MeanFeatures):
            return self.network(x, z, gamma, features=conditioning.features)
        return self.network(x, z, gamma, *conditioning)

    def predict(self, z: State, x: Condition, gamma: Gamma, conditioning: Conditioning = ()) -> Prediction:
        """Call the network once and convert its output to y0 and eps, in float32."""
        return self.read(self(z, x, gamma, conditioning).float(), z, gamma)

    def read(self, output: Tensor, z: State, gamma: Gamma) -> Prediction:
        """Convert an output of the network for z to y0 and eps."""
        match self.prediction:
            case "eps":
                return Prediction(process.y0_from_eps(z, output, gamma), output)
            case "v":
                return Prediction(process.y0_from_v(z, output, gamma), partial(process.eps_from_v, z, output, gamma))
            case "y0":
                return Prediction(output, partial(process.eps_from_y0, z, output, gamma))
            case _:
                assert_never(self.prediction)

    def bind(self, x: Condition, *, clip: bool, conditioning: Conditioning = ()) -> Denoise:
        """Bind x and the other conditional inputs; a sampler sees only the result.

        clip: clip the predicted image to [-1, 1] and recompute eps from it (the paper mentions no clipping).
        """

        def denoise(z: State, gamma: Gamma) -> Prediction:
            return self.predict(z, x, gamma, conditioning)

        return self.clipped(denoise, x) if clip else denoise

    def clipped(self, denoise: Denoise, x: Condition) -> Denoise:
        """Clip the images that a denoiser predicts to [-1, 1] and recompute eps from them."""

        def clip(z: State, gamma: Gamma) -> Prediction:
            y0 = self.encode(self.decode(denoise(z, gamma).y0, x).clamp(-1, 1), x)
            return Prediction(y0, partial(process.eps_from_y0, z, y0, gamma))

        return clip

    def target_for(self, y0: State, eps: State, gamma: Gamma) -> State:
        """Return the target of the network's output for a clean state y0 and its noise eps."""
        match self.prediction:
            case "eps":
                return eps
            case "v":
                return process.v_from_y0_eps(y0, eps, gamma)
            case "y0":
                return y0
            case _:
                assert_never(self.prediction)

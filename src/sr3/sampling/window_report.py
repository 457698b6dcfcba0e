"""Reports of windows as they are computed, inside a step of a large image.

A step is one value of a sampler, which may be anybody's function, so what happens inside it cannot be yielded. It is
reported to a function, which may also raise `sr3.errors.Cancelled` to end the work before the step is complete.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple, TypeAlias

from sr3.diffusion.denoiser import Denoise, Prediction
from sr3.sampling.tiling import Window
from sr3.types import Gamma, Image, State

__all__ = ["OnWindow", "WindowDone", "ignore_window", "reported"]


class WindowDone(NamedTuple):
    """A window was computed: number 1, 2, ... of total in this call of the network, on an image of height x width.

    image: the prediction in the window, (b, c, h, w) in [-1, 1], to be taken before the function returns.
    """

    window: Window
    height: int
    width: int
    number: int
    total: int
    image: Callable[[], Image]


OnWindow: TypeAlias = Callable[[WindowDone], None]
"""A function that is called after each window."""


def ignore_window(_done: WindowDone) -> None:
    """Do nothing after a window."""


def reported(
    of_window: Callable[[Window], Denoise],
    decode: Callable[[State, Window], Image],
    on_window: OnWindow,
    *,
    size: tuple[int, int],
    total: int,
) -> Callable[[Window], Denoise]:
    """Let the denoisers of windows report, with the windows of a call numbered from 1 to total.

    size: height and width of the image.
    """
    numbers = count()

    def reporting(window: Window) -> Denoise:
        denoise = of_window(window)

        def denoise_and_report(z: Image, gamma: Gamma) -> Prediction:
            found = denoise(z, gamma)
            number = next(numbers) % total + 1
            on_window(WindowDone(window, *size, number, total, partial(decode, found.y0, window)))
            return found

        return denoise_and_report

    return reporting

"""The result of an image as it is estimated after a step, small enough to be shown."""

from dataclasses import replace

from sr3.images.picture import Picture
from sr3.images.resize import resize
from sr3.types import Image
from sr3.upscaling.channels import to_picture
from sr3.upscaling.value_range import ValueRange

__all__ = ["ResultPreview"]


class ResultPreview:
    """An estimate of a result. It can be read until the next step is taken, which needs its memory."""

    def __init__(self, image: Image, picture: Picture, ratio: tuple[float, float], used: ValueRange | None) -> None:
        """Take the estimate (b, c, h, w) in [-1, 1] of one sample, the input, and how much larger the result is."""
        self._image: Image | None = image
        self._picture, self._ratio, self._used = picture, ratio, used

    def picture(self, longest: int) -> Picture:
        """Reduce the estimate to at most `longest` pixels a side, in the channels of the input.

        Raises ValueError when the next step has been taken.
        """
        if self._image is None:
            raise ValueError("the preview is of an earlier step; read it before the next one is taken")
        height, width = self._image.shape[-2:]
        share = min(1.0, longest / max(height, width))
        small = self._image
        if share < 1:
            method = "area" if share < 0.5 else "bicubic"
            small = resize(small, max(1, round(height * share)), max(1, round(width * share)), method=method)
        return self._converted(small, self._picture)

    def of_window(self, image: Image) -> Picture:
        """Convert an estimate of a part of the result, (b, c, h, w) in [-1, 1], in the same way, without alpha."""
        return self._converted(image, replace(self._picture, alpha=None))

    def _converted(self, image: Image, picture: Picture) -> Picture:
        shown = to_picture(image.clamp(-1, 1), picture, self._ratio)
        if self._used is not None:
            shown = replace(shown, pixels=self._used.put_back(shown.pixels))
        return shown

    def forget(self) -> None:
        """Give the memory back."""
        self._image = None

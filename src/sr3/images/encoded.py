"""Encoded images, in a file or in memory, opened with one-line errors that name them."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from sr3.images.refusal import check_size, explaining, refusal, refusing

__all__ = ["READABLE", "Encoded", "opened_image"]

PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**25)
PngImagePlugin.MAX_TEXT_MEMORY = max(PngImagePlugin.MAX_TEXT_MEMORY, 2**27)
# Pillow calls a PNG damaged whose profile or text unpacks to more than 1 MiB; profiles of printers have several.

READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
"""Formats that are read, as Pillow calls them."""


@dataclass(frozen=True)
class Encoded:
    """An image as it is encoded: in a file, or in memory under a name."""

    path: Path
    data: bytes | None = None

    @contextmanager
    def opened(self) -> Generator[BinaryIO]:
        """Open it for reading; what goes wrong inside becomes an ImageError with its name."""
        if self.data is None:
            with refusing(self.path), self.path.open("rb") as file:
                yield file
        else:
            with explaining(self.path):
                if not self.data:
                    raise refusal(self.path, "is empty; copy or download it again")
                yield io.BytesIO(self.data)


@contextmanager
def opened_image(encoded: Encoded) -> Generator[Image.Image]:
    """Open an image, its size checked and its pixels not yet decoded."""
    with encoded.opened() as file, Image.open(file, formats=READABLE) as image:
        check_size(encoded.path, image.size)
        yield image

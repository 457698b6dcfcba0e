"""A PNG whose profile or text unpacks to more than a mebibyte is an image like any other."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pictures import smooth
from sr3.images.files import read_picture, write_picture


def large_profile(size: int) -> bytes:
    """An sRGB profile with a private tag of random text."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = int.from_bytes(profile[128:132], "big")
    table, data, moved = profile[132 : 132 + 12 * count], profile[132 + 12 * count :], b""
    for k in range(count):
        entry = table[12 * k : 12 * k + 12]
        moved += entry[:4] + (int.from_bytes(entry[4:8], "big") + 12).to_bytes(4, "big") + entry[8:]
    letters = np.random.default_rng(0).integers(32, 120, size, dtype=np.uint8).tobytes()
    text = b"text\0\0\0\0" + letters + b"\0"
    place = 132 + 12 * (count + 1) + len(data)
    moved += b"zzzz" + place.to_bytes(4, "big") + len(text).to_bytes(4, "big")
    whole = profile[:128] + (count + 1).to_bytes(4, "big") + moved + data + text
    return len(whole).to_bytes(4, "big") + whole[4:]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_large_profile_is_kept_by_every_format_and_read_again(tmp_path, suffix):
    profile = large_profile(1_500_000)
    Image.fromarray(smooth(9, 12)).save(tmp_path / f"a{suffix}", icc_profile=profile)
    picture = read_picture(tmp_path / f"a{suffix}")
    assert picture.metadata.icc == profile
    write_picture(tmp_path / "b.png", picture)
    assert read_picture(tmp_path / "b.png").metadata.icc == profile


def test_large_text_beside_the_pixels_does_not_make_a_png_damaged(tmp_path):
    info, plain = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("workflow", "x" * 1_500_000, zip=True)
    Image.fromarray(smooth(9, 12)).save(tmp_path / "a.png", pnginfo=info)
    Image.fromarray(smooth(9, 12)).save(plain, "PNG")
    assert read_picture(tmp_path / "a.png").width == 12

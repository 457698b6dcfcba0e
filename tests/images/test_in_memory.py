"""What is unpacked and packed again is what it was, for every kind of image in memory."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from pictures import smooth
from sr3.errors import ImageError
from sr3.images.files import read_picture, write_picture
from sr3.images.in_memory import unpack


def again(image):
    unpacked = unpack(image)
    return unpacked.pack(unpacked.pixels, unpacked.alpha, (1, 1))


def pillow(mode):
    if mode == "I;16":
        return Image.fromarray(smooth(6, 9)[..., 0].astype(np.uint16) * 256 + 7)
    image = Image.fromarray(smooth(6, 9))
    if "A" in mode:
        image.putalpha(Image.fromarray(smooth(6, 9, seed=1)[..., 0].copy()))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_pillow_image_comes_back_bit_equal(mode):
    image = pillow(mode)
    assert again(image).mode == mode
    assert np.array_equal(np.asarray(again(image)), np.asarray(image))


@pytest.mark.parametrize(("mode", "becomes"), [("1", "L"), ("P", "RGB"), ("YCbCr", "RGB"), ("PA", "RGBA")])
def test_other_modes_become_the_nearest_that_holds_any_colour(mode, becomes):
    image = pillow(mode)
    assert np.array_equal(np.asarray(again(image)), np.asarray(image.convert(becomes)))


@pytest.mark.parametrize("profile", [None, b"a profile of four inks"])
def test_inks_become_light_as_those_of_a_file_do(tmp_path, profile):
    pillow("CMYK").save(tmp_path / "a.tif", icc_profile=profile)
    with pytest.warns(UserWarning, match="without a profile"):
        write_picture(tmp_path / "a.png", read_picture(tmp_path / "a.tif"))
    with Image.open(tmp_path / "a.tif") as opened, pytest.warns(UserWarning, match="without a profile"):
        found = again(opened)
    with Image.open(tmp_path / "a.png") as expected:
        assert (found.mode, found.info) == ("RGB", {})
        assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_what_is_in_info_can_be_handed_to_save(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pillow("RGB").save(tmp_path / "in.jpg", exif=exif, dpi=(72, 72), icc_profile=profile, xmp=b"<x/>")
    with Image.open(tmp_path / "in.jpg") as opened:
        large = again(opened)
    large.save(tmp_path / f"out{suffix}", **large.info)
    kept = read_picture(tmp_path / f"out{suffix}").metadata
    assert kept.icc == profile
    assert b"maker" in kept.exif
    assert kept.dpi == (None if suffix == ".webp" else pytest.approx((72, 72), abs=0.02))
    assert kept.xmp == (b"<x/>" if suffix in (".jpg", ".webp") else None)


def test_a_turn_is_carried_out_and_the_picture_that_was_given_stays():
    buffer, image = io.BytesIO(), pillow("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    image.save(buffer, "PNG", exif=exif, dpi=(72, 72), icc_profile=b"profile")
    opened = Image.open(buffer)
    unpacked = unpack(opened)
    large = unpacked.pack(unpacked.pixels, None, (4, 4))
    assert np.array_equal(np.asarray(large), np.rot90(np.asarray(image), -1))
    assert opened.size == (9, 6)
    assert large.info["icc_profile"] == b"profile"
    assert large.info["dpi"] == pytest.approx((288, 288), rel=1e-3)
    assert large.getexif()[0x010F] == "maker"
    assert 0x0112 not in large.getexif()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64, ">u2"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 3), (6, 9, 5)])
def test_an_array_comes_back_with_its_shape_type_and_values(dtype, shape):
    drawn = np.random.default_rng(0).random(shape)
    kind = np.dtype(dtype)
    array = (drawn if kind.kind == "f" else drawn * np.iinfo(kind).max).astype(kind)[::-1]
    array.flags.writeable = False
    back = again(array)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert np.abs(back.astype(float) - array.astype(float)).max() <= (1e-3 if kind.itemsize == 2 else 1e-6) * (
        kind.kind == "f"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 6, 9), (1, 6, 9), (2, 3, 6, 9)])
def test_a_tensor_comes_back_with_its_shape_type_and_values(dtype, shape):
    tensor = (torch.rand(shape) * 2 - 1).to(dtype).requires_grad_()
    back = again(tensor)
    assert (back.shape, back.dtype, back.requires_grad) == (tensor.shape, dtype, False)
    torch.testing.assert_close(back, tensor.detach())


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_of_arrays_and_tensors_is_from_0_to_1_and_comes_back(channels):
    array = np.random.default_rng(0).integers(0, 256, (6, 9, channels)).astype(np.uint8)
    tensor = torch.rand(2, channels, 6, 9) * 2 - 1
    shares = torch.from_numpy(array[..., -1] / 255)[None]
    for image, alpha in ((array, shares), (tensor, (tensor[:, -1] + 1) / 2)):
        unpacked = unpack(image, takes_alpha=True)
        assert unpacked.pixels.shape == (len(alpha), channels - 1, 6, 9)
        torch.testing.assert_close(unpacked.alpha[:, 0].double(), alpha.double(), atol=1e-6, rtol=0)
        back = unpacked.pack(unpacked.pixels, unpacked.alpha, (1, 1))
        assert (back.shape, back.dtype) == (image.shape, image.dtype)
        assert abs(back - image).max() < 1e-6
        assert unpack(image).alpha is None


def test_the_ends_of_every_range_are_minus_1_and_1():
    for white, black in (
        (np.full((1, 1), 255, np.uint8), np.zeros((1, 1), np.uint8)),
        (np.full((1, 1), 65535, np.uint16), np.zeros((1, 1), np.uint16)),
        (np.ones((1, 1)), np.zeros((1, 1))),
        (Image.new("L", (1, 1), 255), Image.new("L", (1, 1), 0)),
        (Image.fromarray(np.full((1, 1), 65535, np.uint16)), Image.fromarray(np.zeros((1, 1), np.uint16))),
        (torch.ones(1, 1, 1), -torch.ones(1, 1, 1)),
    ):
        assert (float(unpack(white).pixels), float(unpack(black).pixels)) == (1, -1)


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        ("photo.png", "a str is not an image"),
        (np.zeros((2, 2, 3, 1), np.uint8), r"shape \(2, 2, 3, 1\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.zeros((2, 2), np.int32), "int32 has no known range"),
        (np.full((2, 2), 1.5), "0 to 1; scale or clamp"),
        (np.full((2, 2), np.nan), "0 to 1; scale or clamp"),
        (torch.zeros(2, 2), r"\(c, h, w\)"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), "uint8 has no known range"),
        (torch.full((3, 2, 2), 200.0), "-1 to 1; scale or clamp"),
        (Image.new("F", (2, 2)), "mode F has no known range"),
        (Image.new("RGB", (0, 2)), "no pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_is_refused_in_one_line(image, complaint):
    with pytest.raises(ImageError, match=complaint) as caught:
        unpack(image)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short_is_refused():
    buffer = io.BytesIO()
    Image.fromarray(smooth(64, 64)).save(buffer, "PNG")
    with pytest.raises(ImageError, match="cannot be loaded"):
        unpack(Image.open(io.BytesIO(buffer.getvalue()[:2000])))

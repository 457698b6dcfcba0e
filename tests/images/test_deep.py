"""Pictures of 16 bits per channel, against tifffile and against PNG made by hand."""

import struct
import warnings
import zlib
from itertools import pairwise

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from sr3.images.files import Metadata, Picture, read_picture, write_picture

CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4}
COLOURS = {2: 4, 3: 2, 4: 6}


def deep(channels, height=9, width=13):
    return np.random.default_rng(channels).integers(0, 65536, (height, width, channels)).astype(np.uint16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def by_hand(array, *, key=b"", exif=b""):
    """Encode 16 bits as PNG, rows in turn unfiltered and as differences to the pixel on the left."""
    height, width, channels = array.shape
    raw = array.astype(">u2").tobytes()
    length, step = width * channels * 2, channels * 2
    rows = b""
    for k in range(height):
        row = raw[k * length : (k + 1) * length]
        left = bytes(step) + row[:-step]
        rows += b"\x00" + row if k % 2 else b"\x01" + bytes((a - b) % 256 for a, b in zip(row, left, strict=True))
    header = struct.pack(">IIBBBBB", width, height, 16, COLOURS[channels], 0, 0, 0)
    extra = (chunk(b"tRNS", key) if key else b"") + (chunk(b"eXIf", exif) if exif else b"")
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def values(picture):
    """Give the levels that an image stands for, (h, w, c), alpha last."""
    planes = [(picture.pixels.double() + 1) * 32767.5]
    if picture.alpha is not None:
        planes.append(picture.alpha.double() * 65535)
    return torch.cat(planes).permute(1, 2, 0).round().int().numpy()


def decoded(data):
    """Decode a PNG whose rows are all differences to the row above."""
    place, found = 8, {}
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        found[data[place + 4 : place + 8]] = data[place + 8 : place + 8 + length]
        place += 12 + length
    width, height, bits, colour = struct.unpack(">IIBB", found[b"IHDR"][:10])
    assert bits == 16
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 2).all()
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    return rows[:, 1:].cumsum(0, dtype=np.uint8).copy().view(">u2").reshape(height, width, channels)


@pytest.mark.parametrize("mode", CHANNELS)
def test_a_png_of_16_bits_keeps_them_all(tmp_path, mode):
    array = deep(CHANNELS[mode])
    (tmp_path / "a.png").write_bytes(by_hand(array))
    picture = read_picture(tmp_path / "a.png")
    assert picture.depth == 16
    assert np.array_equal(values(picture), array)
    write_picture(tmp_path / "b.png", picture)
    assert np.array_equal(decoded((tmp_path / "b.png").read_bytes()), array)
    assert np.array_equal(values(read_picture(tmp_path / "b.png")), array)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_tiff_of_16_bits_keeps_them_all(tmp_path, mode, compression, order):
    array = deep(CHANNELS[mode])
    extra = ["unassalpha"] if mode == "RGBA" else None
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        photometric="rgb",
        extrasamples=extra,
        compression=compression,
        byteorder=order,
        predictor=compression is not None,
    )
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(values(picture), array)
    write_picture(tmp_path / "b.tif", picture)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), array)
    assert np.array_equal(values(read_picture(tmp_path / "b.tif")), array)


def test_a_turned_picture_of_16_bits_is_turned_whole(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    array = deep(3)
    (tmp_path / "a.png").write_bytes(by_hand(array, exif=exif.tobytes()[6:]))
    assert np.array_equal(values(read_picture(tmp_path / "a.png")), np.rot90(array, -1))


def test_the_transparent_colour_is_told_from_its_neighbour_by_the_last_bit(tmp_path):
    array = np.array([[[1000, 2000, 3000], [1000, 2000, 3001]]], np.uint16)
    (tmp_path / "a.png").write_bytes(by_hand(array, key=struct.pack(">HHH", 1000, 2000, 3000)))
    assert read_picture(tmp_path / "a.png").alpha.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_metadata_travel_with_16_bits(tmp_path, suffix):
    exif = Image.Exif()
    exif[315] = "Ada"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    metadata = Metadata(icc=profile, exif=exif.tobytes(), xmp=b"<x:xmpmeta/>", dpi=(300.0, 300.0))
    write_picture(tmp_path / f"a{suffix}", Picture(torch.zeros(3, 5, 6), depth=16, metadata=metadata))
    read = read_picture(tmp_path / f"a{suffix}")
    assert read.depth == 16
    assert read.metadata.icc == profile
    assert b"Ada" in read.metadata.exif
    assert read.metadata.xmp == b"<x:xmpmeta/>"
    assert read.metadata.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_with_alpha_and_colour_stay_16_bit_in_tiff(tmp_path, channels):
    picture = Picture(torch.full((channels, 4, 5), 0.123456), torch.full((1, 4, 5), 0.4), depth=16)
    write_picture(tmp_path / "a.tif", picture)
    array = tifffile.imread(tmp_path / "a.tif")
    assert (array.dtype, array.shape) == (np.uint16, (4, 5, channels + 1))
    assert array[0, 0].tolist() == [round((0.123456 + 1) * 32767.5)] * channels + [round(0.4 * 65535)]


@pytest.mark.parametrize(("suffix", "format"), [(".jpg", "JPEG"), (".webp", "WEBP"), (".bmp", "BMP")])
def test_rounding_16_bits_to_8_is_said(tmp_path, suffix, format):
    with pytest.warns(UserWarning, match=f"{format} holds 8 bits per channel"):
        write_picture(tmp_path / f"a{suffix}", Picture(torch.zeros(3, 4, 4), depth=16))


def test_a_ramp_finer_than_8_bits_has_no_bands(tmp_path):
    ramp = (20000 + np.arange(400, dtype=np.uint16))[None, :, None].repeat(3, 2)
    (tmp_path / "a.png").write_bytes(by_hand(ramp))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = read_picture(tmp_path / "a.png").pixels[0, 0].tolist()
    assert all(after > before for before, after in pairwise(row))

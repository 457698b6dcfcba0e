"""HEIC, AVIF, JPEG XL and raw files: pixels, depth, turns and metadata, against other readers and writers of them."""

import base64
import io
import struct
import sys

import imagecodecs
import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 (registers itself with Pillow)
import pytest
import tifffile
import torch
from PIL import ExifTags, Image, ImageCms

from pictures import smooth
from sr3.errors import ImageError
from sr3.images.colour_profile import is_linear_srgb, is_srgb
from sr3.images.files import Picture, list_pictures, picture_size, read_picture, to_pixels, write_picture
from sr3.images.jxl_header import read_jxl_header
from sr3.images.metadata import Metadata

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>r\xc3\xa9sum\xc3\xa9</a></x:xmpmeta>'
MODERN = [".avif", ".heic", ".jxl"]
TURNED_JXL = base64.b64decode(
    "AAAADEpYTCANCocKAAAAFGZ0eXBqeGwgAAAAAGp4bCAAAAD8anhsY/8KC4YFEopLAgASiACUA7/KKAEAUKEyyrjBy7meLz90WEzbuM7QVtsWliSK"
    "jGOTdAKHkAJrqrKkGCmRUaLE2CoGo2RkZCSTSBAAwL5D5ILBt5tESPK64QJnA5xjUjBf+XXDSWcO/WMzUeqMga7vUI7/zIeDBpnBb/s3YJE3NA9G"
    "i9Bp1ogFWq6QAsnKyxjjxZzMnBOZOTMx5sQ4tVMEANEi9VQ6koXwv9ibbCxKBt25kLcdecUhHjmATKL0mL/VWHdyu/HkRruJyYBMhpchsLDJB4Um"
    "kH9B+P9a1uXtHUFCNQTgD1B0aWOk3U6I3qbiqYg/Tt4="
)
"""32x48 pixels that their codestream turns by 90 degrees, made by cjxl: red left, blue right, a white corner."""
TURNED_AVIF = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAAE9bWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxpYmF2aWYA"
    "AAAADnBpdG0AAAAAAAEAAAAsaWxvYwAAAABEAAACAAEAAAABAAABgwAAADIAAgAAAAEAAAFlAAAAHgAAAEFpaW5mAAAAAAACAAAAGmluZmUCAAAA"
    "AAEAAGF2MDFDb2xvcgAAAAAZaW5mZQIAAAAAAgAARXhpZkV4aWYAAAAAGmlyZWYAAAAAAAAADmNkc2MAAgABAAEAAAB0aXBycAAAAFRpcGNvAAAA"
    "FGlzcGUAAAAAAAAAIAAAADAAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2NvbHJuY2x4AAEADQAGgAAAAAlpcm90AwAAABhpcG1hAAAA"
    "AAAAAAEAAQUBAoMEhQAAAFhtZGF0AAAAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAAEgAKCTgRf3sYCGg0gDIjRKAAwwwxQLqktwM5gaYyhZHI"
    "iZA/o1/yXg5QfyAOXwlJVME="
)
"""The same image in 10 bits, turned by its `irot`, made by avifenc."""


def exif_block(orientation=1):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Kamera"
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


def make(name, image, path, **options):
    kinds = {".avif": "AVIF", ".heic": "HEIF", ".jxl": "JXL"}
    pillow_heif.register_heif_opener()
    image.save(path / f"{name}", kinds["." + name.split(".")[1]], **options)
    return path / name


def levels(picture):
    return ((picture.pixels + 1) * 127.5).round().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", MODERN)
def test_a_picture_is_read_to_a_level_or_two(tmp_path, suffix):
    original = smooth(40, 56)
    options = {".avif": {"quality": 100, "subsampling": "4:4:4"}, ".heic": {"quality": -1, "chroma": 444}}
    path = make(f"a{suffix}", Image.fromarray(original), tmp_path, **options.get(suffix, {"lossless": True}))
    picture = read_picture(path)
    assert picture_size(path) == (56, 40)
    assert picture.depth == 8
    assert np.abs(levels(picture) - original).max() <= (0 if suffix == ".jxl" else 3)


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_of_the_file_is_carried_out_once(tmp_path, suffix, orientation):
    stored = Image.fromarray(smooth(32, 48))
    path = make(f"a{suffix}", stored, tmp_path, quality=95, exif=exif_block(orientation))
    reference = tmp_path / "a.png"
    stored.save(reference, exif=exif_block(orientation))
    picture, expected = read_picture(path), read_picture(reference)
    assert picture.pixels.shape == expected.pixels.shape
    assert float((picture.pixels - expected.pixels).abs().mean()) * 127.5 < 12  # of colour at half the resolution
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert kept[ExifTags.Base.Make] == "Kamera"
    assert kept.get(ExifTags.Base.Orientation, 1) == 1


def check_seen(seen):
    """White in the corner, red on the left, blue on the right."""
    assert seen[3, 3].min() > 200
    assert seen[20, 8].argmax() == 0
    assert seen[20, 40].argmax() == 2


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_boxes(jxl, *boxes):
    """The same file with boxes before its codestream, which is its last box and begins at byte 32."""
    return b"".join([jxl[:32], *boxes, jxl[32:]])


def packed(kind, content):
    return box(b"brob", kind + imagecodecs.brotli_encode(content))


@pytest.mark.parametrize("of_exif", [box, packed])
def test_a_jpeg_xl_is_turned_by_its_codestream_and_not_again_by_its_exif(tmp_path, of_exif):
    path = tmp_path / "a.jxl"
    exif = of_exif(b"Exif", b"\0\0\0\0" + exif_block(6).removeprefix(b"Exif\0\0"))
    path.write_bytes(with_boxes(TURNED_JXL, exif, box(b"xml ", XMP)))
    picture = read_picture(path)
    assert picture.pixels.shape == (3, 32, 48)
    assert picture_size(path) == (48, 32)
    check_seen(levels(picture))
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert kept[ExifTags.Base.Make] == "Kamera"
    assert ExifTags.Base.Orientation not in kept
    assert picture.metadata.xmp == XMP


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "bits"), [(".avif", 10), (".avif", 12), (".jxl", 10), (".jxl", 12), (".jxl", 16), (".heic", 10)]
)
def test_more_than_8_bits_are_read_as_16(tmp_path, suffix, bits):
    ramp = np.linspace(0, 2**bits - 1, 48 * 64).round().astype(np.uint16).reshape(48, 64)
    numbers = np.stack([ramp, ramp[::-1], np.full_like(ramp, 2 ** (bits - 1))], -1)
    path = tmp_path / f"a{suffix}"
    if suffix == ".avif":
        path.write_bytes(imagecodecs.avif_encode(numbers, bitspersample=bits, level=100))
    elif suffix == ".jxl":
        path.write_bytes(imagecodecs.jpegxl_encode(numbers, bitspersample=bits, lossless=True))
    else:
        wide = (numbers.astype(int) * 65535 // 1023).astype(np.uint16)
        file = pillow_heif.from_bytes("RGB;16", (64, 48), wide.tobytes())
        file.save(path, quality=-1, chroma=444)
    picture = read_picture(path)
    assert picture.depth == 16
    error = (picture.pixels + 1) / 2 - torch.from_numpy(numbers / (2**bits - 1)).permute(2, 0, 1)
    assert float(error.abs().max()) < (0.004 if suffix == ".heic" else 1e-4)  # HEIC: colours as luma and chroma


def test_a_deep_avif_is_turned_once(tmp_path):
    path = tmp_path / "a.avif"
    path.write_bytes(TURNED_AVIF)
    picture = read_picture(path)
    assert (picture.depth, tuple(picture.pixels.shape)) == (16, (3, 32, 48))
    check_seen(levels(picture))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_jpeg_xl_of_quality_100_keeps_every_number(tmp_path, mode, kind):
    count = len(mode)
    draws = np.random.default_rng(0)
    top = 1 if kind is np.float32 else np.iinfo(kind).max
    numbers = (draws.random((9, 7, count)) * top).astype(kind)
    planes = torch.from_numpy(numbers.astype(np.float64) / top).permute(2, 0, 1).float()
    colours = 3 if count > 2 else 1
    depth = {np.uint8: 8, np.uint16: 16, np.float32: 32}[kind]
    alpha = planes[colours:] if count > colours else None
    path = tmp_path / "a.jxl"
    write_picture(path, Picture(planes[:colours] * 2 - 1, alpha, depth), quality=100)
    decoded = np.asarray(imagecodecs.jpegxl_decode(path.read_bytes())).reshape(numbers.shape)
    np.testing.assert_allclose(decoded, numbers, atol=1e-6 if kind is np.float32 else 0)
    again = read_picture(path)
    assert again.depth == depth
    torch.testing.assert_close(again.pixels, planes[:colours] * 2 - 1, atol=1e-5, rtol=0)
    assert (again.alpha is None) == (alpha is None)


@pytest.mark.parametrize("suffix", MODERN)
def test_metadata_come_through(tmp_path, suffix):
    metadata = Metadata(icc=SRGB, exif=exif_block(), xmp=XMP)
    path = tmp_path / f"a{suffix}"
    write_picture(path, Picture(to_pixels(Image.fromarray(smooth(24, 32))), metadata=metadata))
    found = read_picture(path).metadata
    kept = Image.Exif()
    kept.load(found.exif)
    assert kept[ExifTags.Base.Make] == "Kamera"
    assert found.xmp == XMP
    assert is_srgb(found.icc)


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_any_colour_profile_is_kept(tmp_path, suffix):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    path = tmp_path / f"a{suffix}"
    write_picture(path, Picture(to_pixels(Image.fromarray(smooth(24, 32))), metadata=Metadata(icc=lab)))
    assert read_picture(path).metadata.icc == lab


def profile_of(path):
    """Read the profile that libjxl makes of what the codestream says."""
    with Image.open(path) as image:
        return image.info["icc_profile"]


@pytest.mark.parametrize("quality", [100, 90])
@pytest.mark.parametrize(("depth", "channels", "alpha"), [(8, 3, 0), (16, 3, 0), (16, 1, 1), (16, 3, 1), (32, 3, 1)])
def test_jpeg_xl_of_any_depth_says_that_its_colours_are_srgb(tmp_path, depth, channels, alpha, quality):
    """imagecodecs calls all but 8 bits linear light."""
    pixels = torch.from_numpy(smooth(32, 48)).permute(2, 0, 1)[:channels].float() / 127.5 - 1
    picture = Picture(pixels, torch.rand(1, 32, 48) if alpha else None, depth, Metadata(exif=exif_block(), xmp=XMP))
    path = tmp_path / "a.jxl"
    write_picture(path, picture, quality=quality)
    assert is_srgb(profile_of(path))
    found = read_picture(path)
    error = (found.pixels - pixels).abs().mean() * 127.5
    assert error <= (0.5 if quality == 100 else 5), "in levels of 255"
    assert found.metadata.exif is not None
    write_picture(tmp_path / "b.jxl", found, quality=quality)


def test_jpeg_xl_in_linear_light_stays_so(tmp_path):
    numbers = smooth(32, 48).astype(np.uint16) * 257
    path = tmp_path / "a.jxl"
    for quality, way in ((100, {"lossless": True}), (95, {"level": 95})):
        path.write_bytes(imagecodecs.jpegxl_encode(numbers, **way))
        picture = read_picture(path)
        write_picture(tmp_path / "b.jxl", picture, quality=quality)
        assert is_linear_srgb(profile_of(tmp_path / "b.jxl"))
        error = (read_picture(tmp_path / "b.jxl").pixels - picture.pixels).abs().mean() * 127.5
        assert error <= (0 if quality == 100 else 3)
        with pytest.raises(ImageError, match="cannot keep the colour profile"):
            write_picture(tmp_path / "c.jxl", Picture(picture.pixels, None, 8, picture.metadata))


def test_exif_without_the_offset_that_the_standard_asks_for_is_read(tmp_path):
    """pillow-jxl-plugin writes it so."""
    path = make("a.jxl", Image.fromarray(smooth(16, 24)), tmp_path, exif=exif_block())
    kept = Image.Exif()
    kept.load(read_picture(path).metadata.exif)
    assert kept[ExifTags.Base.Make] == "Kamera"
    write_picture(tmp_path / "b.jxl", read_picture(path))
    with Image.open(tmp_path / "b.jxl") as image:
        assert image.getexif()[ExifTags.Base.Make] == "Kamera"
    path.write_bytes(with_boxes(TURNED_JXL, box(b"Exif", b"\0\0\1\0no EXIF")))
    with pytest.warns(UserWarning, match=r"a\.jxl: EXIF is damaged and left out"):
        assert read_picture(path).metadata.exif is None


def test_a_jpeg_xl_that_would_lose_its_profile_is_refused(tmp_path):
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    picture = Picture(to_pixels(Image.fromarray(smooth(24, 32))), metadata=Metadata(icc=other))
    with pytest.raises(ImageError, match=r"a\.jxl: cannot keep the colour profile of the input.*use \.png"):
        write_picture(tmp_path / "a.jxl", picture)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", MODERN)
def test_quality_is_a_trade_of_size_for_error(tmp_path, suffix):
    original = smooth(96, 128)
    noisy = np.clip(original + np.random.default_rng(0).normal(0, 12, original.shape), 0, 255).astype(np.uint8)
    sizes, errors = [], []
    for quality in (20, 60, 95):
        path = tmp_path / f"{quality}{suffix}"
        write_picture(path, Picture(to_pixels(Image.fromarray(noisy))), quality=quality)
        sizes.append(path.stat().st_size)
        errors.append(np.abs(levels(read_picture(path)) - noisy).mean())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 10  # libjxl leaves noise out that is not seen


def test_a_deep_picture_as_heic_keeps_ten_bits_and_says_so(tmp_path):
    ramp = torch.linspace(-1, 1, 64 * 48).reshape(1, 48, 64).expand(3, -1, -1)
    with pytest.warns(UserWarning, match="HEIC holds 10 bits per channel, so the 16 are rounded"):
        write_picture(tmp_path / "a.heic", Picture(ramp, depth=16), quality=100)
    again = read_picture(tmp_path / "a.heic")
    assert again.depth == 16
    assert float((again.pixels - ramp).abs().max()) < 2 * 2 / 1023
    assert len(again.pixels.unique()) > 300  # 8 bits would leave 256


def test_a_deep_picture_as_avif_is_rounded_with_a_warning(tmp_path):
    ramp = torch.linspace(-1, 1, 64 * 48).reshape(1, 48, 64).expand(3, -1, -1)
    with pytest.warns(UserWarning, match="AVIF holds 8 bits per channel"):
        write_picture(tmp_path / "a.avif", Picture(ramp, depth=16))


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        *((1, 1), (8, 8), (40, 30), (513, 700), (256, 256), (200, 2000)),
        *((100, 120), (120, 160), (100, 150), (90, 160), (100, 125), (100, 200)),  # the ratios a header has names for
    ],
)
@pytest.mark.parametrize(("kind", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.float32, 32)])
def test_size_and_depth_are_known_from_the_header(shape, kind, bits):
    data = imagecodecs.jpegxl_encode(np.zeros((*shape, 3), kind), lossless=True)
    header = read_jxl_header(bytes(data))
    assert (header.height, header.width) == shape
    assert (header.bits, header.is_float) == (bits, kind is np.float32)


def test_a_bomb_of_jpeg_xl_is_refused_before_it_is_decoded(tmp_path):
    huge = imagecodecs.jpegxl_encode(np.zeros((1, 1, 3), np.uint8), lossless=True)
    assert read_jxl_header(bytes(huge))[:2] == (1, 1)
    # A size header: not small, sides of 1 + 30 bits each, no ratio.
    bits = "0" + "11" + f"{2**29:030b}"[::-1] + "000" + "11" + f"{2**29:030b}"[::-1]
    body = int(bits[::-1], 2).to_bytes(len(bits) // 8 + 1, "little")
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + body + bytes(huge)[4:])
    with pytest.raises(ImageError, match=r"a\.jxl: holds 536870913 x 536870913 pixels, and at most .* are read"):
        read_picture(tmp_path / "a.jxl")


@pytest.mark.parametrize("suffix", MODERN)
def test_a_file_cut_short_is_refused_in_one_line(tmp_path, suffix):
    path = make(f"a{suffix}", Image.fromarray(smooth(64, 64)), tmp_path)
    data = path.read_bytes()
    for share in (0.02, 0.3, 0.6):
        path.write_bytes(data[: max(16, int(share * len(data)))])
        with pytest.raises(ImageError, match=rf"^\S*a{suffix}: [^\n]+$"):
            read_picture(path)


@pytest.mark.parametrize(
    ("library", "suffix", "extra"), [("pillow_heif", ".heic", "heic"), ("imagecodecs", ".jxl", "jxl")]
)
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, library, suffix, extra):
    path = make(f"a{suffix}", Image.fromarray(smooth(16, 16)), tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImageError, match=rf'a{suffix}: cannot be read .*{library}.*pip install "sr3\[{extra}\]"'):
        read_picture(path)
    with pytest.raises(ImageError, match=rf"b{suffix}: .*sr3\[{extra}\]"):
        write_picture(tmp_path / f"b{suffix}", Picture(torch.zeros(3, 8, 8)))


def write_dng(path, mosaic, *, orientation=1):
    """Write a mosaic RGGB of a camera whose colours are XYZ, as the smallest DNG that LibRaw develops."""

    def rationals(values):
        return [part for value in values for part in (round(value * 10000), 10000)]

    tags = [
        (254, "I", 1, 0, True),
        (271, "s", 0, "Kamera", True),
        (272, "s", 0, "One", True),
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),
        (50708, "s", 0, "Kamera One", True),
        (50714, "I", 1, 0, True),
        (50717, "I", 1, 65535, True),
        (50721, "2i", 9, rationals([1, 0, 0, 0, 1, 0, 0, 0, 1]), True),
        (50728, "2I", 3, rationals([1, 1, 1]), True),
        (50778, "H", 1, 21, True),
    ]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, mosaic, photometric=32803, metadata=None, extratags=tags)
    path.write_bytes(buffer.getvalue())


def test_a_raw_file_is_developed_into_srgb_of_16_bits(tmp_path):
    mosaic = np.full((64, 96), 2000, np.uint16)
    mosaic[:, :48] = 30000
    write_dng(tmp_path / "a.dng", mosaic, orientation=6)
    with pytest.warns(UserWarning, match=r"a\.dng: a raw file is developed .* sRGB of 16 bits"):
        picture = read_picture(tmp_path / "a.dng")
    assert picture_size(tmp_path / "a.dng") == (picture.width, picture.height)
    assert (picture.depth, tuple(picture.pixels.shape)) == (16, (3, 96, 64))  # turned once
    light = 30000 / 65535
    expected = 1.055 * light ** (1 / 2.4) - 0.055  # IEC 61966-2-1
    seen = (picture.pixels[:, 20, 20] + 1) / 2
    torch.testing.assert_close(seen, torch.full((3,), expected), atol=2e-3, rtol=0)
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert kept[ExifTags.Base.Make] == "Kamera"
    assert ExifTags.Base.Orientation not in kept


def test_a_damaged_raw_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.nef").write_bytes(b"II*\0" + bytes(200))
    with pytest.raises(ImageError, match=r"a\.nef: is damaged or cut short"):
        read_picture(tmp_path / "a.nef")


def test_folders_list_the_new_formats(tmp_path):
    for name in ("a.avif", "b.HEIC", "c.heif", "d.jxl", "e.dng", "f.CR3"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in list_pictures(tmp_path)] == ["a.avif", "b.HEIC", "c.heif", "d.jxl", "e.dng", "f.CR3"]


def colours_of(path):
    """Read primaries and transfer (ITU-T H.273) that a file names, by another reader than ours."""
    if path.suffix == ".png":
        data = path.read_bytes()
        return tuple(data[data.index(b"cICP") + 4 :][:2]) if b"cICP" in data else None
    if path.suffix == ".heic":
        found = pillow_heif.open_heif(path).info["nclx_profile"]
        return found["color_primaries"], found["transfer_characteristics"]
    place = (data := path.read_bytes()).index(b"colrnclx")
    return struct.unpack_from(">HH", data, place + 8)


@pytest.mark.parametrize("colours", [(12, 13), (9, 16), (1, 13)])
@pytest.mark.parametrize("source", [".heic", ".avif", ".png"])
def test_colours_that_are_not_srgb_are_named_in_the_result(tmp_path, source, colours):
    """Display P3, and BT.2020 with the curve of HDR."""
    path = tmp_path / f"a{source}"
    if source == ".heic":
        names = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
        file = pillow_heif.from_bytes("RGB", (48, 32), smooth(32, 48).tobytes())
        file.save(path, quality=-1, chroma=444, **dict(zip(names, (*colours, 6, 1), strict=True)))
    else:
        chunks = ((b"cICP", bytes([*colours, 0, 1])),) if colours != (1, 13) else ()
        pixels = torch.from_numpy(smooth(32, 48)).permute(2, 0, 1).float() / 127.5 - 1
        write_picture(path, Picture(pixels, metadata=Metadata(colour_chunks=chunks)), quality=100)
    picture = read_picture(path)
    for suffix in (".png", ".heic", ".avif"):
        write_picture(tmp_path / f"b{suffix}", picture, quality=100)
        expected = None if (suffix, colours) == (".png", (1, 13)) else colours
        assert colours_of(tmp_path / f"b{suffix}") == expected
        again = read_picture(tmp_path / f"b{suffix}")
        assert again.metadata.colour_chunks == picture.metadata.colour_chunks
        assert float((again.pixels - picture.pixels).abs().mean()) * 127.5 < 2
    if colours != (1, 13):
        with pytest.warns(UserWarning, match=r"b\.jpg: cICP: cannot be stored in the result"):
            write_picture(tmp_path / "b.jpg", picture)


def test_a_profile_counts_more_than_numbers_beside_it(tmp_path):
    path = tmp_path / "a.heic"
    names = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
    file = pillow_heif.from_bytes("RGB", (48, 32), smooth(32, 48).tobytes())
    file.save(path, quality=-1, chroma=444, icc_profile=SRGB, **dict(zip(names, (9, 16, 6, 1), strict=True)))
    found = read_picture(path).metadata
    assert (found.icc, found.colour_chunks) == (SRGB, ())

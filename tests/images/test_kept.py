"""What a file says beside its pixels is kept where the target has a place for it, and else named in one warning."""

import io
import struct
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, IptcImagePlugin, PngImagePlugin

from pictures import smooth
from sr3.images.bands import read_bands, write_bands
from sr3.images.files import read_picture, write_picture
from sr3.images.metadata import Metadata

COLOUR = smooth(12, 16)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(*chunks: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "PNG")
    data = buffer.getvalue()
    end_of_header = 8 + 25
    return data[:end_of_header] + b"".join(chunks) + data[end_of_header:]


def chunks_of(data: bytes) -> dict[bytes, bytes]:
    found, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        found[data[place + 4 : place + 8]] = data[place + 8 : place + 8 + length]
        place += 12 + length
    return found


GAMMA, CODES = struct.pack(">I", 100_000), bytes([9, 16, 0, 1])
CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def test_what_the_numbers_of_a_png_mean_is_kept_in_png(tmp_path):
    told = {b"gAMA": GAMMA, b"cHRM": CHROMATICITIES, b"cICP": CODES}
    (tmp_path / "a.png").write_bytes(png_with(*(chunk(name, data) for name, data in told.items())))
    write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png"))
    written = chunks_of((tmp_path / "b.png").read_bytes())
    assert {name: written[name] for name in told} == told
    order = list(written)
    assert all(order.index(name) < order.index(b"IDAT") for name in told)


def test_elsewhere_it_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(png_with(chunk(b"gAMA", GAMMA)))
    picture = read_picture(tmp_path / "a.png")
    with pytest.warns(UserWarning, match=r"b\.jpg: gAMA: cannot be stored"):
        write_picture(tmp_path / "b.jpg", picture)


def test_text_of_a_png_is_kept_in_png_and_named_elsewhere(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a prompt, steps: 20")
    info.add_itxt("workflow", '{"nodes": ["é"]}')
    Image.fromarray(COLOUR).save(tmp_path / "a.png", pnginfo=info)
    picture = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {"parameters": "a prompt, steps: 20", "workflow": '{"nodes": ["é"]}'}
    with pytest.warns(UserWarning, match="text: cannot be stored"):
        write_picture(tmp_path / "b.webp", picture)


def test_a_comment_is_kept_in_jpeg(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", comment=b"a made comment")
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == b"a made comment"
    with pytest.warns(UserWarning, match="comment: cannot be stored"):
        write_picture(tmp_path / "b.png", picture)


RECORD = b"\x1c\x02\x78\x00\x0bMadeCaption"
KEYS = (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, 1)
"""Projected, and the raster type of an area."""


def with_iptc(path):
    """A JPEG with a record of IPTC."""
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG")
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(RECORD)) + RECORD
    marker = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    path.write_bytes(buffer.getvalue()[:20] + marker + buffer.getvalue()[20:])
    return path


def with_place(path, array=COLOUR, *, kind=1, tie=(0.0, 0.0, 0.0, 500.0, 4600.0, 0.0), more=(), **options):
    """A GeoTIFF of pixels of 10 m; kind: 1 for areas, 2 for points."""
    tags = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, tie, True),
        (34735, "H", 12, (*KEYS[:-1], kind), True),
        (42113, "s", 0, "0", True),
    ]
    tifffile.imwrite(path, array, extratags=[*tags, *more], metadata=None, **{"photometric": "rgb", **options})
    return path


def tags_of(path):
    with tifffile.TiffFile(path) as tiff:
        return {tag.code: tag.value for tag in tiff.pages.first.tags.values()}


def said_by(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(one.message) for one in caught]


def test_iptc_is_kept_in_jpeg_and_tiff_and_named_elsewhere(tmp_path):
    picture = read_picture(with_iptc(tmp_path / "a.jpg"))
    for name in ("b.jpg", "b.tif"):
        write_picture(tmp_path / name, picture)
        with Image.open(tmp_path / name) as image:
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 120): b"MadeCaption"}
    again = read_picture(tmp_path / "b.tif")
    assert again.metadata.iptc == RECORD
    said = said_by(lambda: write_picture(tmp_path / "b.png", picture))
    assert said == [f"{tmp_path / 'b.png'}: IPTC: cannot be stored in the result and is left out"]


def test_iptc_too_long_for_a_marker_is_named(tmp_path):
    long = Metadata(iptc=b"\x1c\x02\x78" + bytes(65_520))
    picture = replace(read_picture(with_iptc(tmp_path / "a.jpg")), metadata=long)
    assert "IPTC: cannot be stored" in said_by(lambda: write_picture(tmp_path / "b.jpg", picture))[0]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_a_geotiff_keeps_its_place_with_pixels_a_quarter_as_large(tmp_path, kind):
    array = COLOUR.astype(kind) / (255 if kind == "float32" else 1)
    picture = read_picture(with_place(tmp_path / "a.tif", array.astype(kind), tie=(3.0, 5.0, 0.0, 530.0, 4550.0, 0.0)))
    write_picture(tmp_path / "b.tif", replace(picture, metadata=picture.metadata.scaled(4)))
    found = tags_of(tmp_path / "b.tif")
    assert found[33550] == (2.5, 2.5, 0.0)
    assert found[33922] == (12.0, 20.0, 0.0, 530.0, 4550.0, 0.0)
    assert found[34735] == KEYS
    assert found[42113] == "0"
    assert "GeoTIFF tags: cannot be stored" in said_by(lambda: write_picture(tmp_path / "b.png", picture))[0]


def test_the_middle_of_a_pixel_stays_where_it_is_where_pixels_are_points(tmp_path):
    """Small pixel i lies at 500 + 10 i; it covers the four large pixels 4 i .. 4 i + 3, whose middle is 4 i + 1.5."""
    metadata = read_picture(with_place(tmp_path / "a.tif", kind=2)).metadata.scaled(4)
    place = dict(metadata.place)
    assert place[33922] == (1.5, 1.5, 0.0, 500.0, 4600.0, 0.0)
    assert place[33550] == (2.5, 2.5, 0.0)


@pytest.mark.parametrize(("kind", "offset"), [(1, 0.0), (2, 1.5)])
def test_a_matrix_says_the_same_as_scale_and_tie_point(tmp_path, kind, offset):
    matrix = (10.0, 1.0, 0.0, 500.0, 2.0, -10.0, 0.0, 4600.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    more = [(34264, "d", 16, matrix, True)]
    metadata = read_picture(with_place(tmp_path / "a.tif", kind=kind, more=more)).metadata.scaled(4)
    small, large = (np.array(values).reshape(4, 4) for values in (matrix, dict(metadata.place)[34264]))
    for i, j in ((0, 0), (3, 7)):
        np.testing.assert_allclose(large @ (4 * i + offset, 4 * j + offset, 0, 1), small @ (i, j, 0, 1))


def test_a_turned_geotiff_says_that_it_has_lost_its_place(tmp_path):
    picture = read_picture(with_place(tmp_path / "a.tif", more=[(274, "H", 1, 6, True)]))
    assert picture.metadata.place == ()
    [line] = said_by(lambda: write_picture(tmp_path / "b.tif", picture))
    assert "GeoTIFF tags of a turned image: cannot be stored" in line


def test_bands_keep_their_place_and_say_what_they_lose(tmp_path):
    bands = np.dstack([COLOUR, COLOUR[..., :1], COLOUR[..., :1]])
    more = [(700, 7, 4, b"<x/>", True), (271, "s", 0, "Made", True), (33723, 7, len(RECORD), RECORD, True)]
    path = with_place(tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig", more=more)
    picture = read_bands(path)
    assert said_by(lambda: write_bands(tmp_path / "b.tif", replace(picture, metadata=picture.metadata.scaled(4)))) == []
    found = tags_of(tmp_path / "b.tif")
    assert (found[33550], found[34735], found[42113]) == ((2.5, 2.5, 0.0), KEYS, "0")
    assert (found[700], found[33723], found[271]) == (b"<x/>", RECORD, "Made")
    [line] = said_by(lambda: write_bands(tmp_path / "b.npy", picture))
    assert "description, XMP, IPTC, GeoTIFF tags: cannot be stored" in line


def test_tags_that_are_true_of_the_small_picture_only_are_named(tmp_path):
    path = with_place(tmp_path / "a.tif", more=[(42112, "s", 0, "<GDALMetadata/>", True)])
    said = said_by(lambda: write_picture(tmp_path / "b.tif", read_picture(path)))
    assert said == [f"{tmp_path / 'b.tif'}: GDAL metadata: cannot be stored in the result and is left out"]


def test_the_resolution_in_exif_is_scaled_as_that_in_jfif(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = 300.0
    exif[ExifTags.Base.ResolutionUnit] = 2
    exif[ExifTags.Base.Make] = "Made"
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    metadata = read_picture(tmp_path / "a.jpg").metadata.scaled(4)
    found = Image.Exif()
    found.load(metadata.exif)
    assert metadata.dpi == (1200, 1200)
    assert (found[ExifTags.Base.XResolution], found[ExifTags.Base.YResolution]) == (1200, 1200)
    assert found[ExifTags.Base.Make] == "Made"


def test_exif_without_a_resolution_stays_as_it_is():
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Made"
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    assert Metadata(exif=block).scaled(4).exif == block


def test_a_gain_map_is_left_out_with_a_warning_and_so_is_the_xmp_that_claims_one(tmp_path):
    claim = b'<d xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + claim + b"</x:xmpmeta>"
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", xmp=xmp)
    with pytest.warns(UserWarning, match=r"a\.jpg: holds an HDR gain map"):
        picture = read_picture(tmp_path / "a.jpg")
    assert picture.metadata.xmp is None
    np.testing.assert_equal(picture.width, 16)


@pytest.mark.parametrize("bands", [3, 5])
def test_what_tifffile_says_of_an_arrays_shape_is_not_said_of_the_result(tmp_path, bands):
    array = np.dstack([COLOUR, COLOUR[..., :2]])[..., :bands]
    options = {"photometric": "rgb"} if bands == 3 else {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    assert tags_of(tmp_path / "a.tif")[270].startswith('{"shape"')
    if bands == 3:
        write_picture(tmp_path / "b.tif", read_picture(tmp_path / "a.tif"))
    else:
        assert said_by(lambda: write_bands(tmp_path / "b.tif", read_bands(tmp_path / "a.tif"))) == []
    assert not {270, 305} & set(tags_of(tmp_path / "b.tif"))

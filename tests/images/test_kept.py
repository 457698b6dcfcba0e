"""What a file says beside its pixels is kept where the target has a place for it, and else named in one warning."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, PngImagePlugin

from pictures import smooth
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
    with pytest.warns(UserWarning, match=r"b\.jpg: gAMA: has no place"):
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
    with pytest.warns(UserWarning, match="text: has no place"):
        write_picture(tmp_path / "b.webp", picture)


def test_a_comment_is_kept_in_jpeg(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", comment=b"a made comment")
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == b"a made comment"
    with pytest.warns(UserWarning, match="comment: has no place"):
        write_picture(tmp_path / "b.png", picture)


def test_what_no_format_gets_is_named_once(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG")
    data, iptc = buffer.getvalue(), b"\x1c\x02\x78\x00\x0bMadeCaption"
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    (tmp_path / "a.jpg").write_bytes(data[:20] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + data[20:])
    geo = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (42113, "s", 0, "0", True)]
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", extratags=geo)
    for name, lost in (("a.jpg", "IPTC"), ("a.tif", "GeoTIFF tags")):
        picture = read_picture(tmp_path / name)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write_picture(tmp_path / f"b{name[1:]}", picture)
        assert [str(one.message) for one in caught] == [
            f"{tmp_path / f'b{name[1:]}'}: {lost}: has no place in the result and is left out"
        ]


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

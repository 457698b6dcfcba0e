"""Pictures of a study: matched by name, and sent so that nothing but the pixels tells them apart."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from sr3.errors import Sr3Error, StudyError
from sr3.study.pictures import open_pictures
from studies import make_study


def chunks(png: bytes) -> list[tuple[bytes, int]]:
    """Kinds and lengths of a PNG's parts, after the format's specification."""
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append((png[at + 4 : at + 8], length))
        at += 12 + length
    return found


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "RGB"
        assert not image.info
        return np.asarray(image)


@pytest.mark.slow
def test_the_pictures_of_a_pair_are_equally_long_and_carry_nothing_else(tmp_path):
    pictures = open_pictures(make_study(tmp_path))
    for image in pictures.images:
        for method in ("blurred", "noisy", None):
            truth, other = pictures.pair(image, method)
            assert list(chunks(truth)) == list(chunks(other))
            assert len(truth) == len(other)
            for png in (truth, other):
                assert {kind for kind, _ in chunks(png)} == {b"IHDR", b"IDAT", b"IEND"}
                assert pixels(png).shape == (48, 64, 3)


@pytest.mark.slow
def test_the_pixels_are_those_of_the_files(tmp_path):
    pictures = open_pictures(make_study(tmp_path))
    truth, other = pictures.pair("img3", "noisy")
    assert np.array_equal(pixels(truth), np.asarray(Image.open(tmp_path / "truth" / "img3.png")))
    assert np.array_equal(pixels(other), np.asarray(Image.open(tmp_path / "noisy" / "img3.png")))


@pytest.mark.slow
def test_a_check_is_the_camera_beside_itself_in_coarse_squares(tmp_path):
    pictures = open_pictures(make_study(tmp_path))
    truth, foil = (pixels(png).astype(float) for png in pictures.pair("img0", None))
    squares = foil.reshape(12, 4, 16, 4, 3)
    assert np.array_equal(squares, squares[:, :1, :, :1].repeat(4, 1).repeat(4, 3))
    means = truth.reshape(12, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(squares[:, 0, :, 0] - means).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low_res", "kind"), [("smooth", Image.Resampling.BICUBIC), ("pixels", Image.Resampling.NEAREST)]
)
def test_the_low_resolution_picture_is_enlarged_to_the_others(low_res, kind, tmp_path):
    config = make_study(tmp_path)
    shown = config.model_copy(update={"pictures": config.pictures.model_copy(update={"low_res": low_res})})
    expected = Image.open(tmp_path / "inputs" / "img1.png").resize((64, 48), kind)
    assert np.array_equal(pixels(open_pictures(shown).middle("img1")), np.asarray(expected))


@pytest.mark.slow
def test_a_colour_profile_is_applied_and_left_out(tmp_path):
    config = make_study(tmp_path)
    path = tmp_path / "truth" / "img0.png"
    with Image.open(path) as image:
        stored = np.asarray(image)
    Image.fromarray(stored).save(path, icc_profile=blue_for_red())
    truth, _ = open_pictures(config).pair("img0", "noisy")
    assert np.abs(stored.astype(int) - stored[..., ::-1]).max() > 50
    assert np.abs(pixels(truth).astype(int) - stored[..., ::-1]).max() <= 1


def blue_for_red() -> bytes:
    """Make a profile that is sRGB's, but with the primaries of red and blue exchanged."""
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = int.from_bytes(own[128:132], "big")
    names = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
    tags = [own[at : at + 12] for at in range(132, 132 + 12 * count, 12)]
    table = b"".join(names.get(tag[:4], tag[:4]) + tag[4:] for tag in tags)
    return own[:132] + table + own[132 + len(table) :]


@pytest.mark.slow
def test_inks_with_a_profile_are_shown_as_it_says(tmp_path, monkeypatch):
    """No profile of inks is at hand, so the conversion is told apart by what it is given."""
    config = make_study(tmp_path)
    asked = []

    def convert(image, _profile, _srgb, *, outputMode):
        asked.append((image.mode, outputMode))
        return Image.new(outputMode, image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    (tmp_path / "noisy" / "img0.png").unlink()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("CMYK", (64, 48)).save(tmp_path / "noisy" / "img0.jpg", icc_profile=profile)
    _, other = open_pictures(config).pair("img0", "noisy")
    assert set(asked) == {("CMYK", "RGB")}
    assert np.array_equal(pixels(other)[0, 0], (1, 2, 3))


def damage_name(folder):
    (folder / "noisy" / "img2.png").rename(folder / "noisy" / "other.png")


def damage_size(folder):
    Image.new("RGB", (64, 47)).save(folder / "noisy" / "img2.png")


def damage_twin(folder):
    Image.new("RGB", (64, 48)).save(folder / "truth" / "img2.bmp")


def damage_input(folder):
    Image.new("RGB", (64, 48)).save(folder / "inputs" / "img2.png")


def damage_alpha(folder):
    Image.new("RGBA", (64, 48), (1, 2, 3, 128)).save(folder / "noisy" / "img2.png")


def damage_inks(folder):
    (folder / "noisy" / "img2.png").unlink()
    Image.new("CMYK", (64, 48), (1, 2, 3, 4)).save(folder / "noisy" / "img2.jpg")


def damage_bytes(folder):
    (folder / "noisy" / "img2.png").write_bytes(b"no picture")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_name, "noisy lacks img2, and .*truth lacks other; give each image the same name"),
        (damage_size, "img2.png: is 64x47, but .*img2.png is 64x48"),
        (damage_twin, "img2.* has the same name; keep one"),
        (damage_input, "inputs.img2.png: is not smaller than .*truth.img2.png"),
        (damage_alpha, "img2.png: is partly transparent"),
        (damage_inks, "img2.jpg: is CMYK without a colour profile, so its colours are undefined; convert it to sRGB"),
        (damage_bytes, "img2.png: is not an image"),
    ],
)
def test_pictures_that_do_not_fit_are_refused_before_the_first_subject(damage, message, tmp_path):
    config = make_study(tmp_path)
    damage(tmp_path)
    with pytest.raises(Sr3Error, match=message) as raised:
        open_pictures(config)
    assert "\n" not in str(raised.value)


def test_a_long_list_of_missing_names_is_cut(tmp_path):
    config = make_study(tmp_path)
    for k in range(7):
        (tmp_path / "noisy" / f"img{k}.png").unlink()
    with pytest.raises(StudyError, match="lacks img0, img1, img2, img3, img4 and 2 more; give"):
        open_pictures(config)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 4), (12, 16), (16, 16)])
def test_inputs_of_another_shape_are_refused(tmp_path, size):
    config = make_study(tmp_path)
    Image.new("RGB", size).save(tmp_path / "inputs" / "img2.png")
    with pytest.raises(StudyError, match=rf"img2\.png: is {size[0]}x{size[1]}, but .* is 64x48"):
        open_pictures(config)


@pytest.mark.slow
def test_inputs_may_be_rounded_to_whole_pixels(tmp_path):
    config = make_study(tmp_path)
    Image.new("RGB", (22, 16)).save(tmp_path / "inputs" / "img2.png")  # a third of 64 is 21.3
    assert open_pictures(config).images


@pytest.mark.slow
def test_a_name_that_is_no_text_can_be_kept(tmp_path):
    config = make_study(tmp_path)
    for folder in ("truth", "inputs", "blurred", "noisy"):
        for path in (tmp_path / folder).glob("img2.*"):
            path.rename(path.with_name(b"caf\xe9".decode("utf-8", "surrogateescape") + path.suffix))
    images = open_pictures(config).images
    assert "caf\\xe9" in images
    assert all(image.encode() for image in images)

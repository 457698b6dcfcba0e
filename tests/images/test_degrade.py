import io
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from pictures import smooth
from sr3.images.degrade import BLUR, NOISE, QUALITY, Degradation, add_noise, degrade, gaussian_blur, jpeg
from sr3.images.resize import downsample, resize


@pytest.mark.parametrize("deviation", [0.3, 0.8, 2.0, 7.3])
@pytest.mark.parametrize("size", [(9, 14), (40, 3)])
def test_the_blur_is_scipys(deviation, size):
    image = np.random.default_rng(0).standard_normal((2, *size))
    expected = np.stack([ndimage.gaussian_filter(plane, deviation, mode="nearest", truncate=4.0) for plane in image])
    np.testing.assert_allclose(gaussian_blur(torch.from_numpy(image), deviation).numpy(), expected, atol=1e-10)


def test_no_blur_changes_nothing():
    image = torch.rand(3, 5, 7)
    assert gaussian_blur(image, 0.0) is image


KINDS = get_args(Degradation)
RANDOM = tuple(kind for kind in KINDS if kind not in ("bicubic", "area"))


def photo(height=64, width=96, channels=3):
    return torch.from_numpy(smooth(height, width)).permute(2, 0, 1)[:channels]


def drawn(kind, seed, **shape):
    return degrade(photo(**shape), 4, kind, torch.Generator().manual_seed(seed)).round().clamp(0, 255)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_picture_has_the_size_and_levels_of_a_file(kind, channels):
    low = drawn(kind, 0, channels=channels)
    assert low.shape == (channels, 16, 24)
    assert float((low - downsample(photo(channels=channels).float(), 4)).abs().mean()) < 40


@pytest.mark.parametrize("kind", RANDOM)
def test_the_generator_decides_everything(kind):
    assert torch.equal(drawn(kind, 3), drawn(kind, 3))
    assert not torch.equal(drawn(kind, 3), drawn(kind, 4))


@pytest.mark.parametrize("kind", ["bicubic", "area"])
def test_plain_reductions_draw_nothing(kind):
    expected = resize(photo().float(), 16, 24, method=kind).round().clamp(0, 255)
    assert torch.equal(drawn(kind, 1), expected)


def test_blur_comes_before_the_reduction():
    generator = torch.Generator().manual_seed(7)
    deviation = BLUR[0] + (BLUR[1] - BLUR[0]) * float(torch.rand((), generator=generator, dtype=torch.float64))
    expected = downsample(gaussian_blur(photo().float(), deviation), 4).round().clamp(0, 255)
    assert torch.equal(drawn("blur", 7), expected)


@pytest.mark.slow
def test_noise_has_the_deviation_asked_for():
    grey = torch.full((1, 200, 200), 128.0)
    noisy = add_noise(grey, 9.0, torch.Generator().manual_seed(0))
    assert float(noisy.std()) == pytest.approx(9, rel=0.02)
    spreads = [
        float(degrade(torch.full((1, 256, 256), 128.0), 4, "noise", torch.Generator().manual_seed(seed)).std())
        for seed in range(30)
    ]
    assert max(spreads) < NOISE[1] + 1
    assert min(spreads) < 3
    assert max(spreads) > 12


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels):
    image = photo(channels=channels)
    buffer = io.BytesIO()
    array = image.permute(1, 2, 0).numpy()
    Image.fromarray(array[..., 0].copy() if channels == 1 else array).save(buffer, "JPEG", quality=40)
    expected = np.asarray(Image.open(buffer)).reshape(64, 96, channels)
    assert np.array_equal(jpeg(image.float(), 40).permute(1, 2, 0).numpy(), expected)
    assert QUALITY[0] < 40 < QUALITY[1]


def test_jpeg_of_four_bands_is_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        jpeg(torch.zeros(4, 8, 8), 80)

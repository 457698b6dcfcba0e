import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import metrics

from sr3.metrics.distortion import consistency, mean_squared_error, psnr, sharpness, ssim


def pictures(count, *shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (count, *shape))).float()


def unit(image):
    """Bring an image to the [0, 1] range in float64."""
    return (image.double().numpy() + 1) / 2


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_squared_error_and_psnr_equal_scikit_image(channels):
    image, truth = pictures(2, 3, channels, 7, 5)
    truth[0] = image[0] + 0.01
    for k in range(3):
        pair = unit(truth[k]), unit(image[k])
        assert mean_squared_error(image, truth)[k].item() == pytest.approx(metrics.mean_squared_error(*pair), rel=1e-6)
        expected = metrics.peak_signal_noise_ratio(*pair, data_range=1)
        assert psnr(image, truth)[k].item() == pytest.approx(expected, rel=1e-6)


def test_the_error_of_black_for_white_is_1_and_its_psnr_0():
    black, white = torch.full((1, 3, 2, 2), -1.0), torch.ones(1, 3, 2, 2)
    assert mean_squared_error(black, white).tolist() == [1]
    assert psnr(black, white).tolist() == [0]


def test_the_psnr_of_the_truth_is_infinite():
    image = pictures(1, 2, 3, 4, 4)[0]
    assert psnr(image, image).tolist() == [math.inf] * 2


def test_a_small_error_is_not_lost_in_float32():
    truth = torch.zeros(1, 3, 64, 64)
    assert mean_squared_error(truth + 2e-6, truth).item() == pytest.approx(1e-12, rel=1e-6)


def test_an_image_changes_only_its_own_figures():
    image, truth = pictures(2, 3, 3, 8, 8)
    other = image.clone()
    other[1, 0, 3, 3] += 0.5
    low_res = pictures(1, 3, 3, 4, 4)[0]
    pairs = [
        (mean_squared_error(image, truth), mean_squared_error(other, truth)),
        (psnr(image, truth), psnr(other, truth)),
        (consistency(image, low_res), consistency(other, low_res)),
        (sharpness(image), sharpness(other)),
    ]
    for before, after in pairs:
        assert before.shape == (3,)
        assert (before != after).tolist() == [False, True, False]


@pytest.mark.parametrize(("height", "width", "scale"), [(8, 12, 2), (12, 20, 4), (48, 32, 16)])
def test_consistency_is_the_error_after_pillow_shrinks_the_picture(height, width, scale):
    image = pictures(1, 2, 3, height, width)[0]
    low_res = pictures(1, 2, 3, height // scale, width // scale, seed=1)[0]
    for k in range(2):
        shrunk = [
            np.asarray(Image.fromarray(channel).resize((width // scale, height // scale), Image.Resampling.BICUBIC))
            for channel in image[k].numpy()
        ]
        expected = np.mean(((np.stack(shrunk) - low_res[k].numpy()) / 2) ** 2)
        assert consistency(image, low_res)[k].item() == pytest.approx(expected, rel=1e-5)


def test_sharpness_is_the_mean_step_between_neighbours():
    ramp = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]).reshape(1, 1, 2, 3)
    # Steps of 0.5 across and 0 down, in the [0, 1] range.
    assert sharpness(ramp).tolist() == [0.25]
    assert sharpness(ramp.mT).tolist() == [0.25]


def test_sharpness_is_the_sum_of_absolute_differences_over_their_number():
    image = pictures(1, 2, 3, 5, 7)[0]
    for k in range(2):
        pixels = unit(image[k])
        expected = (np.abs(np.diff(pixels, axis=2)).mean() + np.abs(np.diff(pixels, axis=1)).mean()) / 2
        assert sharpness(image)[k].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_scikit_image(channels):
    image, noise = pictures(2, 2, channels, 24, 31)
    truth = (image + 0.2 * noise).clamp(-1, 1)
    for k in range(2):
        expected = np.mean(
            [
                metrics.structural_similarity(
                    first,
                    second,
                    data_range=1,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                    full=True,
                )[1][5:-5, 5:-5].mean()
                for first, second in zip(unit(truth[k]), unit(image[k]), strict=True)
            ]
        )
        assert ssim(image, truth)[k].item() == pytest.approx(expected, rel=1e-6)


def test_ssim_of_pictures_smaller_than_its_window_is_refused():
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(torch.zeros(1, 3, 10, 40), torch.zeros(1, 3, 10, 40))


@pytest.mark.slow
def test_psnr_and_ssim_equal_torchmetrics_within_the_edges_it_reflects():
    from torchmetrics.functional.image import (  # slow to import
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    image, noise = pictures(2, 3, 3, 24, 31)
    truth = (image + 0.2 * noise).clamp(-1, 1)
    for k in range(3):
        pair = [(part[k : k + 1].double() + 1) / 2 for part in (image, truth)]
        assert psnr(image, truth)[k].item() == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1.0).item())
        _, likeness = structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True)
        assert ssim(image, truth)[k].item() == pytest.approx(likeness[..., 5:-5, 5:-5].mean().item(), rel=1e-6)

"""The energy score rewards the right distribution and nothing else."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from sr3.metrics.energy import PATCH, energy_score, gradient_energy_score


def test_the_score_of_single_patches_is_the_formula_on_vectors():
    rng = np.random.default_rng(0)
    samples, truth = rng.uniform(-1, 1, (3, 1, 1, PATCH, PATCH)), rng.uniform(-1, 1, (1, 1, PATCH, PATCH))

    def score(ys, y):
        ys, y = ys.reshape(len(ys), -1) / 2, y.reshape(1, -1) / 2
        root = np.sqrt(y.size)
        pairs = cdist(ys, ys)[np.triu_indices(len(ys), 1)].mean()
        return (cdist(ys, y).mean() - pairs / 2) / root

    def halved(image):
        return image.reshape(*image.shape[:-2], PATCH // 2, 2, PATCH // 2, 2).mean(axis=(-3, -1))

    expected = (score(samples, truth) + score(halved(samples), halved(truth))) / 2
    ours = energy_score(torch.from_numpy(samples), torch.from_numpy(truth))
    assert float(ours) == pytest.approx(expected, rel=1e-5)


def test_patches_overlap_by_half():
    # 20 pixels wide: patches begin at 0, 4, 8 and 12; at half size, 10 wide and 8 high, there is one, at 0.
    samples, truth = torch.zeros(2, 1, 1, 16, 20), torch.zeros(1, 1, 16, 20)
    truth[..., 0, 4] = 2  # the top one of rows 0, 4, 8, of the columns 0 and 4
    full = 2 * (1 / 64) ** 0.5 / 12
    half = (0.25**2 / 64) ** 0.5
    assert float(energy_score(samples, truth)) == pytest.approx((full + half) / 2, rel=1e-5)


def test_samples_of_the_right_spread_score_best():
    generator = torch.Generator().manual_seed(0)

    def draw(spread):
        return spread * torch.randn(2, 6, 1, 64, 64, generator=generator)

    truth = draw(0.3)[0]
    scores = {spread: float(energy_score(draw(spread), truth).mean()) for spread in (0.0, 0.15, 0.3, 0.45, 0.6)}
    assert min(scores, key=scores.__getitem__) == 0.3


def test_gradients_are_differences_to_the_right_and_below():
    samples, truth = torch.rand(3, 2, 3, 20, 24) * 2 - 1, torch.rand(2, 3, 20, 24) * 2 - 1

    def sizes(images):
        rows, columns = np.diff(images.numpy(), axis=-2), np.diff(images.numpy(), axis=-1)
        return torch.from_numpy(np.abs(np.concatenate([columns[..., :-1, :], rows[..., :-1]], axis=-3)))

    expected = energy_score(sizes(samples), sizes(truth))
    torch.testing.assert_close(gradient_energy_score(samples, truth), expected)


@pytest.mark.slow
def test_grain_in_place_of_texture_is_seen_in_the_gradients_only():
    # Truths are smooth but for one edge at a place of its own; samples have such an edge, or grain of the same spread.
    generator = torch.Generator().manual_seed(0)

    def edges():
        places = torch.randint(8, 56, (2, 40, 1, 1, 1), generator=generator)
        return (torch.arange(64) >= places).float().expand(2, 40, 1, 64, 64) - 0.5

    truth, right = edges()[0], edges()
    mean = right.flatten(0, 1).mean(dim=0)
    grain = mean + right.flatten(0, 1).std(dim=0) * torch.randn(right.shape, generator=generator)
    flat = mean.expand_as(right)
    pixels = [float(energy_score(samples, truth).mean()) for samples in (right, grain, flat)]
    gradients = [float(gradient_energy_score(samples, truth).mean()) for samples in (right, grain, flat)]
    assert gradients[0] < gradients[2] < gradients[1]
    assert pixels[1] < pixels[2]
    excess, in_gradients = pixels[1] / pixels[0] - 1, gradients[1] / gradients[0] - 1
    assert in_gradients > 2 * excess


def test_an_image_is_scored_by_itself():
    samples, truth = torch.rand(2, 3, 3, 20, 24), torch.rand(3, 3, 20, 24)
    together = energy_score(samples, truth)
    torch.testing.assert_close(energy_score(samples[:, 1:2], truth[1:2])[0], together[1])


def test_one_sample_has_no_spread():
    with pytest.raises(ValueError, match="at least 2 samples"):
        energy_score(torch.zeros(1, 1, 3, 8, 8), torch.zeros(1, 3, 8, 8))

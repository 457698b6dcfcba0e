"""Losses against the truth: in flat areas, grain there, and the consistency of the answer."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from sr3.build_objective import build_adversary
from sr3.config import AdversaryConfig, apply_settings
from sr3.errors import ConfigError
from sr3.images.flatness import flatness
from sr3.images.resize import downsample
from sr3.objectives.adversary import Adversary
from sr3.objectives.grain import grain_loss
from sr3.presets import preset

STUDENT = [
    'objective={kind="distillation", teacher="t", digest="' + "0" * 64 + '"}',
    "denoiser.prediction=v",
    "sampling.sampler=distilled",
    "sampling.steps=4",
    "sampling.grid=cosine",
]


def noisy(deviation, *, seed=0, side=64):
    """Grey with noise of so many levels of 255."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed)) * deviation / 127.5


def mean(array, side):
    return uniform_filter(array, (1, side, side), mode="mirror")


def test_the_flatness_of_the_largest_deviation_of_a_channel_is_scipys():
    image = noisy(3.0)
    image[:, 1] *= 2
    levels = image[0].double().numpy() * 127.5
    variance = (mean(levels**2, 17) - mean(levels, 17) ** 2).max(0)
    np.testing.assert_allclose(flatness(image)[0, 0], 1 / (1 + variance / 16) ** 2, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("deviation", "expected"), [(0.0, 1.0), (4.0, 0.25), (60.0, 0.0)])
def test_a_plain_place_is_flat_and_a_busy_one_is_not(deviation, expected):
    assert float(flatness(noisy(deviation, side=256)).mean()) == pytest.approx(expected, abs=0.03)


@pytest.mark.slow
def test_grain_is_compared_by_its_deviation_and_not_by_its_places():
    truth, answer = noisy(1.0), noisy(2.0, seed=1)
    deviations = []
    for image in (truth, answer):
        array = image[0].double().numpy()
        fine = array - mean(array, 9)
        deviations.append(np.sqrt(mean(fine**2, 17) + (0.5 / 127.5) ** 2))
    expected = (np.abs(deviations[1] - deviations[0]) * flatness(truth)[0].double().numpy()).mean()
    assert float(grain_loss(answer, truth)) == pytest.approx(expected, rel=1e-4)
    same = float(grain_loss(noisy(1.0, seed=2), truth))
    assert same < 0.2 * float(grain_loss(answer, truth))
    assert same < 0.2 * float(grain_loss(torch.zeros_like(truth), truth))


def test_grain_where_the_truth_is_busy_is_free():
    truth = noisy(60.0)
    assert float(grain_loss(truth + noisy(5.0, seed=1), truth)) < 0.01 * float(grain_loss(noisy(5.0), noisy(0.0)))


@pytest.mark.slow
def test_each_is_weighed_by_the_settings():
    base = AdversaryConfig()
    truth, answer = noisy(1.0), noisy(2.0, seed=1)

    def losses(**changes):
        return Adversary(base.model_copy(update=changes), None, None, scale=4).losses(answer, truth)

    difference, weight = (answer - truth).abs(), 1 + 5 * flatness(truth)
    torch.testing.assert_close(losses(truth=2.0, flat=5.0), 2 * (difference * weight).mean(dim=(1, 2, 3)))
    torch.testing.assert_close(losses(grain=3.0), 3 * grain_loss(answer, truth))
    reduced = downsample(answer, 4) - downsample(truth, 4)
    torch.testing.assert_close(losses(consistency=4.0), 4 * reduced.abs().mean(dim=(1, 2, 3)))


def test_what_the_correction_would_leave_alone_costs_no_consistency():
    """A pattern that vanishes in the reduced image is free; a shift of colour costs its size, with either answer."""
    config = AdversaryConfig(consistency=1.0, samples=2)
    truth = noisy(1.0)
    stripes = truth + 0.1 * (torch.arange(truth.shape[-1]) % 2 * 2 - 1)
    inner = Adversary(config, None, None, scale=4).losses(torch.cat([stripes, truth]), truth)
    assert float(inner.max()) < 2e-3
    shifted = Adversary(config, None, None, scale=4).losses(torch.cat([truth, truth + 0.1]), truth)
    torch.testing.assert_close(shifted, torch.full_like(shifted, 0.05))


def test_a_student_is_given_its_magnification():
    config = apply_settings(preset("tiny-x4"), [*STUDENT, "objective.adversary.consistency=1"])
    built = build_adversary(config, config.adversary, image_channels=3, device=torch.device("cpu"))
    assert built.scale == config.data.scale == 4


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["objective.adversary.grain=1"], "adversary.truth, grain, consistency and learned are for distilled models"),
        (["objective.adversary.consistency=1"], "set them to 0, or use sr3 distill"),
        ([*STUDENT, "objective.adversary.flat=1"], "flat multiplies truth"),
        ([*STUDENT, "objective.adversary.grain=1", "data.crop=16"], "use windows: set data.crop to 24 or more"),
    ],
)
def test_settings_that_do_nothing_are_refused(settings, complaint):
    base = preset("tiny-x4" if len(settings) > 1 else "tiny-x4-regression")
    with pytest.raises(ConfigError, match=complaint):
        apply_settings(base, settings)
    assert apply_settings(
        preset("tiny-x4"), [*STUDENT, "objective.adversary.grain=1", "data.crop=32"]
    ).adversary.is_used

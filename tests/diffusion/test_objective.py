import math

import pytest
import torch
from torch import nn

from sr3.diffusion.denoiser import ClassAndLevel, Denoiser
from sr3.diffusion.objective import denoising_loss, regression_loss


class Constant(nn.Module):
    """A network that always answers the same and remembers what it was asked."""

    def __init__(self, answer=0.0, dtype=torch.float32):
        super().__init__()
        self.answer, self.dtype = nn.Parameter(torch.tensor(answer)), dtype

    def forward(self, x, z, gamma):
        self.asked = x, z, gamma
        return self.answer.expand(z.shape).to(self.dtype)


def flat(*values):
    """Make an image a value, 2x2 pixels of 3 channels."""
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def levels(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("kind", "expected"), [("l1", [0.3, 0.7]), ("l2", [0.09, 0.49])])
def test_the_loss_is_the_mean_error_of_the_noise_to_the_power_p(kind, expected):
    loss = denoising_loss(
        Denoiser(Constant(0.2)),
        flat(0.0, 1.0),
        flat(0.5, 0.5),
        eps=flat(0.5, -0.5),
        gamma=levels(0.3, 0.6),
        kind=kind,
    )
    assert loss.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "expected"), [("l1", 8 / 12), ("l2", 4 * 4 / 12)])
def test_the_loss_is_the_mean_over_pixels_and_channels(kind, expected):
    eps = torch.zeros(1, 3, 2, 2)
    eps[0, 1] = 2
    loss = denoising_loss(Denoiser(Constant()), flat(0.0), flat(0.0), eps=eps, gamma=levels(0.5), kind=kind)
    assert loss.tolist() == pytest.approx([expected])


def test_the_network_sees_the_diffused_picture():
    network = Constant()
    x, gamma = flat(0.1, 0.2), levels(0.64, 0.36)
    denoising_loss(Denoiser(network), flat(0.5, -0.5), x, eps=flat(1.0, 2.0), gamma=gamma, kind="l2")
    assert network.asked[0] is x
    torch.testing.assert_close(network.asked[1], flat(0.8 * 0.5 + 0.6 * 1, 0.6 * -0.5 + 0.8 * 2))
    assert network.asked[2] is gamma


def test_the_network_sees_the_diffused_residual():
    network = Constant()
    denoiser = Denoiser(network, target="residual", target_scale=4.0)
    loss = denoising_loss(denoiser, flat(0.5), flat(0.25), eps=flat(2.0), gamma=levels(0.64), kind="l1")
    torch.testing.assert_close(network.asked[1], flat(0.8 * 1 + 0.6 * 2))
    assert loss.item() == pytest.approx(2)


@pytest.mark.parametrize(
    ("prediction", "target", "wanted"),
    [
        ("eps", "image", 2.0),
        ("y0", "image", 0.5),
        ("v", "image", 0.8 * 2 - 0.6 * 0.5),
        ("y0", "residual", 1.0),
        ("v", "residual", 0.8 * 2 - 0.6 * 1),
    ],
)
def test_the_answer_is_compared_in_the_units_of_the_prediction(prediction, target, wanted):
    scale = 4.0 if target == "residual" else 1.0
    denoiser = Denoiser(Constant(0.25), prediction=prediction, target=target, target_scale=scale)
    loss = denoising_loss(denoiser, flat(0.5), flat(0.25), eps=flat(2.0), gamma=levels(0.64), kind="l2")
    assert loss.item() == pytest.approx((wanted - 0.25) ** 2)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_an_image_changes_only_its_own_loss(kind):
    y0, eps = flat(0.1, 0.2, 0.3), flat(1.0, 2.0, 3.0)
    other = eps.clone()
    other[1, 2, 1, 0] += 1
    before, after = (
        denoising_loss(Denoiser(Constant()), y0, y0, eps=noise, gamma=levels(0.2, 0.5, 0.9), kind=kind)
        for noise in (eps, other)
    )
    assert before.shape == (3,)
    assert (before != after).tolist() == [False, True, False]


def test_the_gradient_of_the_squared_error_is_twice_the_error():
    network = Constant(0.2)
    denoising_loss(
        Denoiser(network), flat(0.0), flat(0.0), eps=flat(0.5), gamma=levels(0.5), kind="l2"
    ).sum().backward()
    assert network.answer.grad.item() == pytest.approx(-0.6)


def test_the_loss_of_an_answer_in_bfloat16_is_float32():
    network = Constant(1.0, dtype=torch.bfloat16)
    eps = flat(1 + 1e-4)
    loss = denoising_loss(Denoiser(network), eps, eps, eps=eps, gamma=levels(0.5), kind="l1")
    assert loss.dtype == torch.float32
    assert math.isclose(loss.item(), 1e-4, rel_tol=1e-2)


@pytest.mark.parametrize(("kind", "expected"), [("l1", [0.3, 0.7]), ("l2", [0.09, 0.49])])
def test_the_regression_loss_is_the_error_of_the_one_answer(kind, expected):
    network = Constant(0.2)
    x = flat(0.1, 0.3)
    loss = regression_loss(Denoiser(network, prediction="y0"), flat(0.5, 0.9), x, kind=kind)
    assert loss.tolist() == pytest.approx(expected)
    seen_x, seen_z, gamma = network.asked
    assert seen_x is x
    assert bool(seen_z.eq(0).all())
    assert gamma.tolist() == [0.0, 0.0]


def test_a_regression_to_the_residual_answers_with_the_residual():
    denoiser = Denoiser(Constant(0.6), prediction="y0", target="residual", target_scale=2.0)
    assert regression_loss(denoiser, flat(0.5), flat(0.1), kind="l2").tolist() == pytest.approx([(0.6 - 0.8) ** 2])


def test_what_is_given_reaches_the_network():
    class Conditioned(Constant):
        def forward(self, x, z, gamma, labels, levels):
            self.conditioning = labels, levels
            return super().forward(x, z, gamma)

    network, conditioning = Conditioned(), ClassAndLevel(torch.tensor([3]), levels(0.7))
    denoising_loss(
        Denoiser(network), flat(0.0), flat(0.0), eps=flat(1.0), gamma=levels(0.5), kind="l2", conditioning=conditioning
    )
    assert network.conditioning[0] is conditioning.labels
    assert network.conditioning[1] is conditioning.levels

"""Data whose perfect denoiser has a closed form, and noise read from a list."""

import numpy as np
import torch

from sr3.diffusion.denoiser import Prediction
from sr3.diffusion.noise import NoiseSource

MEAN, STD = 0.3, 0.5


def oracle(y, gamma):
    """Give E[y0 | y] and the eps that agrees with it."""
    gamma = gamma.to(y).reshape(-1, 1, 1, 1)
    surprise = (y - gamma.sqrt() * MEAN) / (gamma * STD**2 + 1 - gamma)
    return Prediction(MEAN + gamma.sqrt() * STD**2 * surprise, (1 - gamma).sqrt() * surprise)


class Scripted(NoiseSource):
    """Noise read from a list, one number per image for every draw."""

    def __init__(self, *draws):
        super().__init__([])
        self.draws = list(draws)

    def like(self, image):
        return torch.as_tensor(self.draws.pop(0), dtype=image.dtype).reshape(-1, 1, 1, 1).expand(image.shape)


def pixels(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


def exact_flow(y, gamma):
    """Carry y at level gamma along the probability flow to the data: its quantile stays."""
    return MEAN + STD * (y - np.sqrt(gamma) * MEAN) / np.sqrt(gamma * STD**2 + 1 - gamma)

"""What conftest promises to every other test."""

import socket

import pytest
import torch
from hypothesis import settings
from jaxtyping import TypeCheckError

from sr3.config import BigGANConfig
from sr3.diffusion.process import diffuse
from sr3.metrics.distortion import psnr
from sr3.networks.unet import UNet


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_other_machines_are_out_of_reach(method):
    with socket.socket() as link, pytest.raises(RuntimeError, match="network"):
        getattr(link, method)(("192.0.2.1", 80))


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_levels_in_float32_are_refused():
    image = torch.zeros(1, 3, 2, 2)
    with pytest.raises(TypeCheckError):
        diffuse(image, image, torch.tensor([0.5]))


def test_batches_of_different_length_are_refused():
    with pytest.raises(TypeCheckError):
        diffuse(torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2), torch.tensor([0.5], dtype=torch.float64))
    with pytest.raises(TypeCheckError):
        psnr(torch.zeros(2, 3, 2, 2), torch.zeros(1, 3, 2, 2))


def test_pictures_without_a_batch_are_refused_by_the_network():
    network = UNet(BigGANConfig(width=8, multipliers=(1,), blocks=1, features=8), image_channels=1)
    with pytest.raises(TypeCheckError):
        network(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), torch.ones(1, dtype=torch.float64))


def test_every_run_is_the_same():
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert settings().derandomize
    assert settings().deadline is None
    assert torch.initial_seed() == 0

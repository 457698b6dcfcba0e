import copy

import pytest
import torch
from torch import nn

from sr3.diffusion.denoiser import Denoiser
from sr3.errors import ConfigError
from sr3.runtime.device import choose_device, laid_out


def test_each_process_takes_a_gpu_of_its_own_and_one_without_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="process 2 of this machine has no GPU of its own, there are 2"):
        choose_device("auto")


def test_convolutions_rounded_once_answer_as_those_rounded_at_every_call():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 3, 3))
    rounded = laid_out(Denoiser(copy.deepcopy(network)), torch.bfloat16).network
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(rounded(image), network(image), atol=0, rtol=0)
    assert rounded[0].weight.dtype == torch.bfloat16
    assert rounded[1].weight.dtype == torch.float32
    assert laid_out(Denoiser(network), torch.float32).network[0].weight.dtype == torch.float32

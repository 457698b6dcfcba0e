import copy

import torch
from torch import nn

from sr3.inference.device import laid_out


def test_convolutions_rounded_once_answer_as_those_rounded_at_every_call():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 3, 3))
    rounded = laid_out(copy.deepcopy(network), torch.bfloat16)
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(rounded(image), network(image), atol=0, rtol=0)
    assert rounded[0].weight.dtype == torch.bfloat16
    assert rounded[1].weight.dtype == torch.float32
    assert laid_out(network, torch.float32)[0].weight.dtype == torch.float32

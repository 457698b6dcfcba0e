"""The whole way from an image to its result as one ONNX graph, beside the upscaler and under ONNX Runtime."""

import json

import numpy as np
import pytest
import torch

from pictures import GENERATOR, smooth, write_random_model
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.diffusion.noise import NoiseSource
from sr3.errors import ConfigError
from sr3.exchange.whole import NOISE_SIDE, WholeWay, enlarge, export_whole, reduce
from sr3.images.resize import downsample, upsample
from sr3.sampling.upscaler import load_upscaler
from sr3.zoo import packaged_models

onnxruntime = pytest.importorskip("onnxruntime")

ONE_STEP = ("sampling.sampler=ddim", "sampling.eta=0", "sampling.steps=1")
LEVEL = 1 / 255


class Field(NoiseSource):
    """The noise that a graph has."""

    def __init__(self, way: WholeWay):
        super().__init__([])
        self.way = way

    def like(self, image):
        return self.way._noise_like(image)


def by_upscaler(file, low_res):
    """What `sr3 upscale` computes of images in [0, 1], from the noise of the graph."""
    upscaler = load_upscaler(file, device=torch.device("cpu"), dtype=torch.float32)
    found = upscaler.upscale(low_res * 2 - 1, sampling=file.info.config.sampling, seeds=Field(WholeWay(file)))
    return (found + 1) / 2


def by_runtime(path, low_res):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["picture"], {"low_res": low_res.numpy()})[0]), session


def image(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(smooth(height, width)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_resizing_by_convolutions_is_resizing(scale):
    small = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    large = torch.rand(2, 3, 5 * scale, 7 * scale, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(enlarge(small, scale), upsample(small, scale), atol=1e-5, rtol=0)
    torch.testing.assert_close(reduce(large, scale), downsample(large, scale), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("data.scale=2", "denoiser.target=image", "denoiser.target_scale=1", "sampling.clip=false"),
        ("data.scale=1", "data.degradation=jpeg", "sampling.correct=false"),
        ("objective.kind=regression", "denoiser.prediction=y0", "sampling.sampler=regression"),
    ],
)
def test_a_graph_gives_what_the_upscaler_gives(tmp_path, settings):
    model = write_random_model(tmp_path / "mine.safetensors", settings=(*ONE_STEP, *settings))
    done = export_whole(str(model), tmp_path / "mine.onnx")
    assert max(done.differences.values()) < 1e-4
    file = read_model(model)
    for height, width in ((3, 5), (17, 12)):
        found, _ = by_runtime(done.path, image(height, width))
        torch.testing.assert_close(found, by_upscaler(file, image(height, width)), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_the_packaged_default_is_one_graph_with_its_rules_in_the_file(tmp_path, capsys):
    assert run(["export", "--whole", "photos-x4-fast", str(tmp_path / "fast.onnx")]) == 0
    assert "inputs low_res; settings in its metadata" in capsys.readouterr().out
    side = NOISE_SIDE // 4 + 9  # so that the noise is repeated
    found, session = by_runtime(tmp_path / "fast.onnx", image(24, side))
    expected = by_upscaler(read_model(packaged_models()["photos-x4-fast"]), image(24, side))
    assert float((found - expected).abs().mean()) < LEVEL / 100
    assert float((found - expected).abs().max()) < LEVEL
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["sr3"])["name"] == "photos-x4-fast"
    rules = json.loads(metadata["sr3_picture"])
    assert {name: rules[name] for name in ("scale", "channels", "range", "layout", "least_side")} == {
        "scale": 4, "channels": 3, "range": [0, 1], "layout": "NCHW", "least_side": 3,
    }  # fmt: skip
    smallest = np.random.default_rng(0).random((1, 3, rules["least_side"], rules["least_side"]), np.float32)
    assert session.run(None, {"low_res": smallest})[0].shape == (1, 3, 12, 12)


@pytest.mark.slow
@pytest.mark.parametrize("side", [13, 16])
def test_a_graph_of_a_fixed_size_has_what_deepness_reads_and_gives_what_the_free_one_gives(tmp_path, side):
    """Deepness, a plugin of QGIS, wants one square image and its keys as JSON."""
    model = write_random_model(tmp_path / "mine.safetensors", settings=ONE_STEP)
    done = export_whole(str(model), tmp_path / "mine.onnx", side=side)
    assert list(done.differences) == [(1, side, side)]
    found, session = by_runtime(done.path, image(side, side))
    torch.testing.assert_close(found, by_upscaler(read_model(model), image(side, side)), atol=1e-3, rtol=0)
    assert session.get_inputs()[0].shape == [1, 3, side, side]
    assert session.get_outputs()[0].shape == [1, 3, 4 * side, 4 * side]
    metadata = session.get_modelmeta().custom_metadata_map
    read = {name: json.loads(metadata[name]) for name in ("model_type", "tile_size", "tiles_overlap")}
    assert read == {"model_type": "Superresolution", "tile_size": side, "tiles_overlap": 50}
    with pytest.raises(ConfigError, match="--side 2: must be 3 or more"):
        export_whole(str(model), tmp_path / "small.onnx", side=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "takes 4 network calls, and --whole is for one; distil it into one call"),
        (GENERATOR, "--whole is for U-Nets that enlarge or restore"),
        ((*ONE_STEP, "sampling.correct_cell=8"), "sampling.correct_cell is not in the graph"),
        ((*ONE_STEP, "data.enlarged=8-bit"), "noise is added to its input, or the input is rounded"),
    ],
)
def test_what_is_not_one_call_of_a_clean_input_is_refused(tmp_path, settings, said):
    model = write_random_model(tmp_path / "mine.safetensors", settings=("sampling.steps=4", *settings))
    with pytest.raises(ConfigError, match=said):
        export_whole(str(model), tmp_path / "mine.onnx")


def test_one_graph_and_a_file_for_spandrel_exclude_each_other(tmp_path, capsys):
    assert run(["export", "--whole", "--spandrel", "photos-x4-fast", str(tmp_path / "fast.onnx")]) == 2
    assert "each writes another kind of file" in capsys.readouterr().err
    assert run(["export", "--side", "64", "photos-x4-fast", str(tmp_path / "fast.onnx")]) == 2
    assert "only --whole and --ncnn export for a fixed size" in capsys.readouterr().err

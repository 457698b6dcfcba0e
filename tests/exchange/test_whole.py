"""The whole way from an image to its result as one ONNX graph, beside the upscaler and under ONNX Runtime."""

import io
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import GENERATOR, smooth, write_random_model, write_refining_model
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.diffusion.noise import NoiseSource
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.smaller import halved
from sr3.exchange.whole import NOISE_SIDE, Flatness, WholeWay, enlarge, export_whole, reduce
from sr3.images.flatness import flatness
from sr3.images.resize import downsample, upsample
from sr3.sampling.mean_tiles import FLAT_DEVIATION
from sr3.sampling.upscaler import load_upscaler
from sr3.zoo import packaged_models

onnx = pytest.importorskip("onnx")
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
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
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


def write_images(folder, *sides):
    folder.mkdir()
    for number, (height, width) in enumerate(sides):
        Image.fromarray(smooth(height, width)).save(folder / f"{number}.png")
    return folder


def quantised_convolutions(path):
    """Names of the convolutions whose weights are int8."""
    graph = onnx.load(path).graph
    from_levels = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return [node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in from_levels]


@pytest.mark.slow
@pytest.mark.parametrize("side", [None, 16])
def test_smaller_types_differ_little_and_say_their_type(tmp_path, monkeypatch, capfd, side):
    monkeypatch.setattr("sr3.exchange.whole._LEVEL", 4 * LEVEL)  # random weights are rounded worse than learnt ones
    model = str(write_random_model(tmp_path / "mine.safetensors", settings=ONE_STEP))
    images = str(write_images(tmp_path / "images", (16, 20), (32, 24)))
    fixed = [] if side is None else ["--side", str(side)]
    found, sizes = {}, {}
    for kind, options in (("float32", []), ("float16", []), ("int8", ["--calibrate", images])):
        path = tmp_path / f"{kind}.onnx"
        assert run(["export", "--whole", "--type", kind, *options, *fixed, model, str(path)]) == 0
        found[kind], session = by_runtime(path, image(16, 16))
        sizes[kind] = path.stat().st_size
        assert json.loads(session.get_modelmeta().custom_metadata_map["sr3_picture"])["type"] == kind
        assert session.get_inputs()[0].type == "tensor(float)"
    said = capfd.readouterr()
    assert "differs from torch on average by" in said.out
    assert not said.err
    assert 0 < float((found["float16"] - found["float32"]).abs().max()) < 0.5 * LEVEL
    assert 0 < float((found["int8"] - found["float32"]).abs().mean()) < 4 * LEVEL
    assert sizes["float16"] < 0.8 * sizes["float32"]
    names = quantised_convolutions(tmp_path / "int8.onnx")
    assert any("/down.0/" in name for name in names)
    assert not any(end in name for name in names for end in ("/head/", "/tail/", "/guide/"))
    assert all("network/" in name for name in names)  # not those that enlarge and reduce
    assert not quantised_convolutions(tmp_path / "float16.onnx")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--type", "int4", "--whole"], "--type int4: unknown; give float32, float16, int8"),
        (["--type", "float16"], "--type float16: is for --whole only; leave --type out, or export with --whole"),
        (["--type", "int8", "--whole"], "8-bit ranges are chosen on images; give both or none"),
        (["--calibrate", "images", "--whole"], "8-bit ranges are chosen on images; give both or none"),
        (
            ["--type", "int8", "--whole", "--calibrate", "small"],
            "0.png: is smaller than 3 pixels; calibrate the model on larger images",
        ),
        (["--type", "int8", "--whole", "--calibrate", "grey"], "grey.png: has channels: 1, but the model takes 3"),
        (["--type", "int8", "--whole", "--calibrate", "none"], "none: cannot be read as a folder"),
    ],
)
def test_a_smaller_type_that_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    model = write_random_model(tmp_path / "mine.safetensors", settings=ONE_STEP)
    write_images(tmp_path / "small", (2, 2))
    (tmp_path / "grey").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "grey" / "grey.png")
    assert run(["export", *options, str(model), "mine.onnx"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "mine.onnx").exists()


def test_a_graph_that_rounds_too_much_is_not_kept(tmp_path, monkeypatch):
    model = write_random_model(tmp_path / "mine.safetensors", settings=ONE_STEP)
    images = write_images(tmp_path / "images", (16, 16))
    monkeypatch.setattr("sr3.exchange.whole._LEVEL", 1e-9)
    with pytest.raises(CheckpointError, match=r"differs from torch by .* levels of 255 on average"):
        export_whole(str(model), tmp_path / "m.onnx", kind="int8", calibration=[images / "0.png"])
    assert not (tmp_path / "m.onnx").exists()


def test_one_graph_and_a_file_for_spandrel_exclude_each_other(tmp_path, capsys):
    assert run(["export", "--whole", "--spandrel", "photos-x4-fast", str(tmp_path / "fast.onnx")]) == 2
    assert "each writes another kind of file" in capsys.readouterr().err
    assert run(["export", "--side", "64", "photos-x4-fast", str(tmp_path / "fast.onnx")]) == 2
    assert "only --whole and --ncnn export for a fixed size" in capsys.readouterr().err


@pytest.mark.slow
def test_half_precision_keeps_how_flat_a_place_is(tmp_path, monkeypatch):
    """Squares of levels do not fit into float16; here the graph says what is computed, not what a CPU makes of it."""
    from onnx.reference import ReferenceEvaluator

    mean = 0.6 + 0.01 * torch.randn((1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Flatness(), (mean,), written, dynamo=False)
    half = onnx.load_from_string(halved(written.getvalue(), full="/"))
    (found,) = ReferenceEvaluator(half).run(None, {half.graph.input[0].name: mean.numpy()})
    expected = flatness(mean, deviation=FLAT_DEVIATION).numpy()
    assert expected.mean() > 0.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)

    monkeypatch.setattr("sr3.exchange.whole.TOLERANCE", 4 * LEVEL)  # random weights are rounded worse than learnt ones
    settings = ("sampling.start=mean", "sampling.gamma_first=0.5", "sampling.flat_detail=0.3", *ONE_STEP)
    model = str(write_refining_model(tmp_path / "mine.safetensors", *settings))
    for side in (["--side", "16"], []):
        target = str(tmp_path / f"half{len(side)}.onnx")
        assert run(["export", "--whole", "--type", "float16", *side, model, target]) == 0
        nodes = onnx.load(target).graph.node
        types = {node.output[0]: node.attribute[0].i for node in nodes if node.op_type == "Cast"}
        (square,) = (node for node in nodes if node.op_type == "Mul" and node.name == "/flatness/Mul_1")
        (pool,) = (node for node in nodes if node.name == "/flatness/AveragePool_1")
        assert types.get(square.input[0], onnx.TensorProto.FLOAT) == onnx.TensorProto.FLOAT
        assert pool.input[0] not in types  # straight from the pooling before it

"""An exported network answers under ONNX Runtime as it does under torch, at any size."""

import json

import onnx
import onnxruntime
import pytest
import torch

from pictures import GENERATOR, write_random_model, write_refining_model
from sr3.checkpoint import FORMAT, ModelInfo, read_model
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import diffuse
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange import export
from sr3.exchange.export import export_onnx
from sr3.images.resize import upsample
from sr3.sampling.filling import build_filled
from sr3.sampling.upscaler import open_upscaler


def exported(tmp_path, *settings):
    model = write_random_model(tmp_path / "m.safetensors", settings=settings)
    [done] = export_onnx(str(model), tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    network = build_filled(read_model(model), torch.device("cpu")).network
    return done, session, network


def inputs(batch, height, width):
    x, y_t = torch.rand(2, batch, 3, height, width) * 2 - 1
    return x, y_t, torch.rand(batch, dtype=torch.float64)


def answer(session, **given):
    return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in given.items()})[0])


ONCE = pytest.mark.xdist_group("attending")
"""Of tests that share a graph: they run in one process, so that it is written once."""


@pytest.fixture(scope="module")
def attending(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attending")
    return folder, *exported(folder, "network.attention=[1]", "network.head_width=16")


@pytest.mark.slow
@ONCE
def test_any_batch_height_and_width_agree_with_torch(attending):
    _, done, session, network = attending
    assert done.inputs == ("x", "y_t", "gamma")
    for size in ((1, 40, 12), (3, 7, 9), (2, 1, 1)):
        x, y_t, gamma = inputs(*size)
        expected = network(x, y_t, gamma)
        assert float(expected.std()) > 0.05
        torch.testing.assert_close(answer(session, x=x, y_t=y_t, gamma=gamma), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@ONCE
def test_levels_near_1_are_told_apart(attending):
    _, _, session, network = attending
    x, y_t, _ = inputs(1, 8, 8)
    for gamma in (1.0, 1 - 1e-6):
        level = torch.tensor([gamma], dtype=torch.float64)
        expected = network(x, y_t, level)
        torch.testing.assert_close(answer(session, x=x, y_t=y_t, gamma=level), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_generator_with_classes_takes_labels_and_no_input(tmp_path):
    done, session, network = exported(tmp_path, *GENERATOR, "network.classes=3")
    assert done.inputs == ("y_t", "gamma", "labels")
    _, y_t, gamma = inputs(2, 9, 8)
    labels = torch.tensor([1, 3])
    expected = network(y_t[:, :0], y_t, gamma, labels)
    torch.testing.assert_close(answer(session, y_t=y_t, gamma=gamma, labels=labels), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_model_that_is_told_of_noise_on_its_input_takes_levels(tmp_path):
    done, session, network = exported(tmp_path, "network.condition_level=true")
    assert done.inputs == ("x", "y_t", "gamma", "levels")
    x, y_t, gamma = inputs(2, 9, 8)
    levels = torch.tensor([0.5, 1.0], dtype=torch.float64)
    expected = network(x, y_t, gamma, levels=levels)
    given = {"x": x, "y_t": y_t, "gamma": gamma, "levels": levels}
    torch.testing.assert_close(answer(session, **given), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_model_with_a_mean_is_two_graphs_that_together_give_its_answer(tmp_path):
    settings = ["sampling.start=mean", "sampling.gamma_first=0.5", "sampling.steps=1", "mean.condition=enlarged"]
    model = write_refining_model(tmp_path / "m.safetensors", *settings, "sampling.correct=false")
    network, mean = export_onnx(str(model), tmp_path / "m.onnx")
    assert (network.path.name, network.inputs) == ("m.onnx", ("x", "y_t", "gamma", "features"))
    assert (mean.path.name, mean.inputs) == ("m-mean.onnx", ("low_res",))
    refining, small = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (network.path, mean.path)
    )
    low_res = torch.rand(1, 3, 7, 10) * 2 - 1
    picture, features = map(torch.from_numpy, small.run(None, {"low_res": low_res.numpy()}))
    upscaler, gamma = open_upscaler(str(model), dtype="float32"), torch.tensor([0.5], dtype=torch.float64)
    x, denoiser = upsample(low_res, 4), upscaler.denoiser
    z = diffuse(denoiser.encode(picture, x), NoiseSource([3]).like(x), gamma)
    v = answer(refining, x=x, y_t=z, gamma=gamma, features=features)
    found = denoiser.decode(denoiser.read(v, z, gamma).y0, x).clamp(-1, 1)
    expected = upscaler.upscale(low_res, sampling=upscaler.info.config.sampling, seeds=[3])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
@ONCE
def test_the_settings_are_in_the_metadata(attending):
    folder, _, session, _ = attending
    description = json.loads(session.get_modelmeta().custom_metadata_map["sr3"])
    assert description.pop("format") == FORMAT
    assert ModelInfo.model_validate_json(json.dumps(description)) == read_model(folder / "m.safetensors").info
    (kept,) = onnx.load(folder / "m.onnx").metadata_props
    assert kept.key == "sr3"


@pytest.mark.slow
def test_a_graph_that_differs_is_not_kept(tmp_path, monkeypatch):
    model = write_random_model(tmp_path / "m.safetensors")
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(CheckpointError, match="differs from torch by"):
        export_onnx(str(model), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.slow
def test_a_model_that_one_file_cannot_hold_is_refused(tmp_path, monkeypatch):
    model = write_random_model(tmp_path / "m.safetensors")
    monkeypatch.setattr(export, "_MOST_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more weights than one ONNX file holds"):
        export_onnx(str(model), tmp_path / "m.onnx")


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"onnx and onnxruntime.*pip install 'sr3\[export\]'"):
        export_onnx("photos-x4", tmp_path / "m.onnx")

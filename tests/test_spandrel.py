"""Models for spandrel: our side always; its registry and loader where it can be imported."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import sr3
from pictures import GENERATOR, smooth, write_random_model
from sr3.checkpoint import SETTINGS_TENSOR, read_model
from sr3.cli.app import run
from sr3.errors import CheckpointError, ConfigError
from sr3.spandrel import FixedNoiseUpscaler, build_architecture, export_spandrel, is_model, register
from sr3.zoo import packaged_models

ROOT = Path(__file__).parents[1]


def _imports() -> bool:
    try:
        importlib.import_module("spandrel")
    except (ImportError, RuntimeError):
        return False
    return True


with_spandrel = pytest.mark.skipif(not _imports(), reason="spandrel, or the torchvision that it needs, is not there")


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "mine.safetensors")


@pytest.fixture
def exported(model, tmp_path):
    export_spandrel(str(model), tmp_path / "mine-spandrel.safetensors", steps=3)
    return tmp_path / "mine-spandrel.safetensors"


def tensor(picture: np.ndarray) -> torch.Tensor:
    """Images as spandrel passes them: (1, c, h, w) in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.slow
def test_a_file_for_spandrel_has_the_weights_the_settings_and_nothing_else(model, exported):
    found, expected = load_file(exported), read_model(model)
    assert is_model(found)
    assert not is_model(expected.weights)
    packed = found.pop(SETTINGS_TENSOR)
    assert packed.dtype == torch.uint8
    settings = json.loads(bytes(packed.tolist()))
    assert settings["config"]["sampling"]["steps"] == 3
    assert len(settings["levels"]) == 4
    assert settings["levels"][-1] == 1
    assert found.keys() == expected.weights.keys()
    for name, weight in found.items():
        assert torch.equal(weight.float(), expected.weights[name])


@pytest.mark.slow
def test_sr3_reads_a_file_for_spandrel_as_a_model(exported, model):
    picture = smooth(8, 12)
    there, here = sr3.load(str(exported)), sr3.load(str(model))
    np.testing.assert_array_equal(there.upscale(picture), here.upscale(picture, steps=3))


@pytest.mark.slow
def test_the_module_gives_the_first_sample_every_time_even_in_inference_mode(exported):
    module, picture = FixedNoiseUpscaler(read_model(exported)).eval(), smooth(9, 14)
    with torch.inference_mode():
        large = module(tensor(picture))
    assert torch.equal(large, module(tensor(picture)))
    expected = sr3.load(str(exported)).upscale(picture, seed=0)
    np.testing.assert_array_equal((large[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy(), expected)


@pytest.mark.slow
def test_every_image_of_a_batch_is_what_it_is_alone(exported):
    module = FixedNoiseUpscaler(read_model(exported)).eval()
    pictures = [tensor(smooth(8, 12, seed=seed)) for seed in (0, 1)]
    together = module(torch.cat(pictures))
    for k, picture in enumerate(pictures):
        assert torch.equal(together[k : k + 1], module(picture))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "settings", "said"),
    [
        (5, (), "takes 5 network calls per image, .* give --steps for at most 4 calls"),
        (3, ("sampling.sampler=heun", "sampling.eta=0"), "takes 5 network calls"),
        (2, GENERATOR, "generates images without an input, which spandrel does not do"),
    ],
)
def test_what_spandrels_programs_could_not_use_is_refused(tmp_path, steps, settings, said):
    model = write_random_model(tmp_path / "mine.safetensors", settings=settings)
    with pytest.raises(ConfigError, match=said):
        export_spandrel(str(model), tmp_path / "out.safetensors", steps=steps)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.slow
def test_the_command_writes_either_kind_of_file_and_says_what_does_not_fit(model, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    assert run(["export", "--spandrel", str(model), str(out), "--steps", "1"]) == 0
    assert "1 network call per image, always with the same noise" in capsys.readouterr().out
    assert run(["export", "--spandrel", str(model), str(out), "--steps", "1"]) == 2
    assert run(["export", "--spandrel", str(model), str(tmp_path / "out.onnx")]) == 2
    assert run(["export", str(model), str(tmp_path / "out.onnx"), "--steps", "1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[2] for line in lines] == [
        "exists; replace it with --overwrite or give another name",
        "a file for spandrel needs the suffix .safetensors; rename it",
        "without --spandrel, a single network call is exported; leave it out, or add --spandrel",
    ]


@pytest.mark.skipif(_imports(), reason="spandrel is there")
def test_without_spandrel_registering_says_what_to_install():
    with pytest.raises(CheckpointError, match=r"missing or broken; pip install 'sr3\[spandrel\]'"):
        register()


@pytest.fixture
def registry():
    """Spandrel's own architectures in a registry of this test's, with ours."""
    spandrel = importlib.import_module("spandrel")
    found = spandrel.MAIN_REGISTRY.copy()
    register(found)
    register(found)
    return found


@with_spandrel
@pytest.mark.parametrize(
    ("settings", "channels", "expected"),
    [
        ((), 3, ("SR", 4, "INTERNAL", ["biggan", "3 calls"])),
        (("data.scale=2",), 1, ("SR", 2, "INTERNAL", ["biggan", "3 calls"])),
        (("data.scale=1", "data.degradation=jpeg", "sampling.correct=false"), 4,
         ("Restoration", 1, "INTERNAL", ["biggan", "3 calls"])),
    ],
)  # fmt: skip
def test_spandrel_tells_our_models_from_the_tensors_alone(tmp_path, registry, settings, channels, expected):
    spandrel = importlib.import_module("spandrel")
    model = write_random_model(tmp_path / "mine.safetensors", settings=settings, image_channels=channels)
    export_spandrel(str(model), tmp_path / "mine.pt.safetensors", steps=3)
    tensors = load_file(tmp_path / "mine.pt.safetensors")
    assert next(iter(registry.architectures("detection"))).architecture.id == "SR3"
    found = registry.load({f"module.{name}": value for name, value in tensors.items()})
    assert isinstance(found, spandrel.ImageModelDescriptor)
    assert (found.purpose, found.scale, found.tiling.name, found.tags) == expected
    assert (found.architecture.id, found.input_channels, found.output_channels) == ("SR3", channels, channels)
    for height, width in ((1, 1), (5, 13), (16, 16)):
        image = torch.rand(1, channels, height, width)
        assert found(image).shape == (1, channels, height * found.scale, width * found.scale)
        assert torch.equal(found(image), found(image))


@with_spandrel
def test_spandrel_enlarges_a_file_as_we_do(exported, registry):
    spandrel = importlib.import_module("spandrel")
    found, picture = spandrel.ModelLoader(registry=registry).load_from_file(exported).eval(), smooth(9, 14)
    large = found(tensor(picture))[0].permute(1, 2, 0)
    expected = sr3.load(str(exported)).upscale(picture)
    np.testing.assert_array_equal((large * 255).round().to(torch.uint8).numpy(), expected)
    for kind in (torch.float16, torch.bfloat16):
        with pytest.raises(spandrel.UnsupportedDtypeError):
            found.to(kind)


@with_spandrel
def test_a_network_without_normalisation_may_be_tiled_by_the_program(tmp_path, registry):
    model = write_random_model(tmp_path / "span.safetensors", of="span-x4")
    export_spandrel(str(model), tmp_path / "span-spandrel.safetensors")
    found = registry.load(load_file(tmp_path / "span-spandrel.safetensors"))
    assert (found.tiling.name, found.tags) == ("SUPPORTED", ["span", "1 call"])


@with_spandrel
def test_damaged_settings_are_one_line(exported):
    tensors = load_file(exported)
    tensors[SETTINGS_TENSOR] = tensors[SETTINGS_TENSOR][:-5]
    with pytest.raises(CheckpointError, match="its settings are damaged; fetch or copy the file again"):
        build_architecture().load(tensors)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Spandrel with the files of contrib/spandrel in it, imported as its own."""
    spandrel = importlib.import_module("spandrel")
    monkeypatch.setattr("sr3.runtime.device.computes_bfloat16", lambda _device: False)  # the code there is in float32
    shutil.copytree(Path(spandrel.__file__).parent, tmp_path / "site" / "spandrel")
    shutil.copytree(ROOT / "contrib" / "spandrel" / "SR3", tmp_path / "site" / "spandrel" / "architectures" / "SR3")
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "spandrel"}
    for name in kept:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield importlib.import_module("spandrel"), importlib.import_module("spandrel.architectures.SR3").SR3Arch()
    for name in [name for name in sys.modules if name.partition(".")[0] == "spandrel"]:
        del sys.modules[name]
    sys.modules.update(kept)


@with_spandrel
@pytest.mark.parametrize(
    ("steps", "settings"),
    [
        (1, ()),
        (4, ("sampling.sampler=ddim", "sampling.eta=0")),
        (3, ("sampling.sampler=ddim", "sampling.eta=0.5", "sampling.clip=false")),
        (4, ("sampling.sampler=dpmpp-2m", "sampling.eta=1", "denoiser.target=image", "denoiser.target_scale=1")),
        (2, ("data.scale=2", "denoiser.prediction=eps", "network.attention=[1]")),
        (1, ("data.scale=1", "data.degradation=jpeg", "sampling.correct=false")),
    ],
)
def test_the_code_prepared_for_spandrel_enlarges_as_we_do(tmp_path, prepared, steps, settings):
    _, architecture = prepared
    model = write_random_model(tmp_path / "mine.safetensors", settings=settings)
    agrees(architecture, model, tmp_path, steps)


@with_spandrel
@pytest.mark.slow
def test_the_code_prepared_for_spandrel_enlarges_the_packaged_default_as_we_do(tmp_path, prepared):
    agrees(prepared[1], packaged_models()["photos-x4-fast"], tmp_path, None)


def agrees(architecture, model, folder, steps):
    export_spandrel(str(model), folder / "out.safetensors", steps=steps)
    tensors = load_file(folder / "out.safetensors")
    assert architecture.detect(tensors)
    found, ours = architecture.load(tensors), FixedNoiseUpscaler(read_model(folder / "out.safetensors")).eval()
    assert found.scale == ours.info.config.data.scale
    for height, width in ((1, 1), (7, 19), (24, 24)):
        image = tensor(smooth(height, width))
        torch.testing.assert_close(found(image), ours(image), atol=1e-3, rtol=0)


@with_spandrel
def test_the_code_prepared_for_spandrel_refuses_what_it_has_no_network_for(tmp_path, prepared):
    _, architecture = prepared
    model = write_random_model(tmp_path / "mine.safetensors", settings=("sampling.sampler=heun", "sampling.eta=0"))
    export_spandrel(str(model), tmp_path / "out.safetensors", steps=1)
    with pytest.raises(ValueError, match=r"sampling\.sampler heun needs the package sr3"):
        architecture.load(load_file(tmp_path / "out.safetensors"))

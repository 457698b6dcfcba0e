"""The nodes for ComfyUI of contrib/comfyui, by a stand-in for its interface or by ComfyUI itself."""

import asyncio
import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import comfyui_stand_in as stand_in
from pictures import smooth, write_random_model

ROOT = Path(__file__).parents[1]
NODES = ROOT / "contrib" / "comfyui"
COMFYUI = os.environ.get("SR3_TEST_COMFYUI")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The nodes by name, and what they use of ComfyUI."""
    models = tmp_path_factory.mktemp("models")
    (models / "sr3").mkdir()
    write_random_model(models / "sr3" / "mine.safetensors")
    (models / "sr3" / "notes.txt").write_text("not a model")
    with pytest.MonkeyPatch.context() as patch:
        if COMFYUI:
            stand_in.import_comfyui(Path(COMFYUI), models)
        else:
            for name, module in stand_in.modules(models).items():
                patch.setitem(sys.modules, name, module)
        place = importlib.util.spec_from_file_location(
            "sr3_nodes", NODES / "__init__.py", submodule_search_locations=[str(NODES)]
        )
        package = importlib.util.module_from_spec(place)
        patch.setitem(sys.modules, "sr3_nodes", package)
        place.loader.exec_module(package)
        extension = asyncio.run(package.comfy_entrypoint())
        yield {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}
        for name in [name for name in sys.modules if name.startswith("sr3_nodes")]:
            del sys.modules[name]  # not by the patch, which would put it back


@pytest.fixture(scope="module")
def model(nodes):
    [model] = nodes["SR3LoadModel"].execute("mine.safetensors", restoration=1.0).args
    return model


@pytest.fixture
def seen(model):
    """All that the progress bar was told: value, total, preview."""
    import comfy.utils

    assert model
    told = []
    comfy.utils.set_progress_bar_global_hook(lambda *values, **_: told.append(values))
    yield told
    comfy.utils.set_progress_bar_global_hook(None)


def images(count=1, channels=3):
    """Images as ComfyUI has them: (b, h, w, c) in [0, 1]."""
    pictures = [torch.from_numpy(smooth(12 + 0 * k, 16)[..., :channels].copy()).roll(k, 0) for k in range(count)]
    return torch.stack(pictures).float() / 255


def draw(nodes, model, image, **settings):
    defaults = {"scale": 0.0, "steps": 3, "detail": 1.0, "samples": 1, "seed": 5}
    return nodes["SR3Upscale"].execute(model=model, image=image, **(defaults | settings)).args


def by_library(model, image, **settings):
    drawn = model.upscale(image.movedim(-1, 0) * 2 - 1, **settings)
    return torch.stack([(one.movedim(0, -1) + 1) / 2 for one in drawn])


def test_the_nodes_say_what_they_take_and_give(nodes):
    assert set(nodes) == {"SR3LoadModel", "SR3Upscale"}
    load, upscale = (nodes[name].GET_SCHEMA() for name in ("SR3LoadModel", "SR3Upscale"))
    assert [one.id for one in upscale.inputs] == ["model", "image", "scale", "steps", "detail", "samples", "seed"]
    assert [one.io_type for one in upscale.outputs] == ["IMAGE", "IMAGE", "MASK", "IMAGE"]
    assert load.outputs[0].io_type == upscale.inputs[0].io_type == "SR3_MODEL"


def test_models_are_those_of_the_package_and_the_files_of_a_folder(nodes, model):
    choice, strength = nodes["SR3LoadModel"].GET_SCHEMA().inputs
    assert strength.id == "restoration"
    options = choice.settings["options"] if isinstance(choice, stand_in.Port) else choice.options
    assert list(options) == ["photos-x4-fast", "photos-x4-web", "photos-x4", "mine.safetensors"]
    assert model.name == "mine"


def test_the_strength_reaches_the_model(nodes):
    [model] = nodes["SR3LoadModel"].execute("mine.safetensors", restoration=0.5).args
    assert model.restoration == 0.5
    [model] = nodes["SR3LoadModel"].execute("mine.safetensors", restoration=-1.0).args
    assert model.restoration == "auto"


def test_samples_are_those_of_the_library_in_the_order_of_the_images(nodes, model):
    image = images(2)
    samples, mean, deviation, colours = draw(nodes, model, image, samples=2)
    expected = [by_library(model, one, samples=2, steps=3, seed=5) for one in image]
    assert torch.allclose(samples, torch.cat(expected), atol=1e-6)
    assert samples.shape == (4, 48, 64, 3)
    assert torch.allclose(mean, torch.stack([one.mean(0) for one in expected]), atol=1e-6)
    spread = torch.stack([one.double().var(0).mean(-1).sqrt() for one in expected])
    assert deviation.shape == (2, 48, 64)
    assert torch.allclose(deviation.double(), spread, atol=1e-6)
    assert float(deviation.mean()) > 0.01
    assert colours.shape[0] == 2
    assert colours.shape[-1] == 3
    assert colours.shape[1] > 48, "a legend below"


def test_one_sample_has_no_deviation_and_is_its_own_mean(nodes, model):
    samples, mean, deviation, _ = draw(nodes, model, images())
    assert torch.equal(samples, mean)
    assert not deviation.any()


def test_an_older_comfyui_without_a_type_of_its_own_for_results_gets_float32(nodes, model, monkeypatch):
    """ComfyUI 0.3.64 has no `intermediate_dtype`; images there are always float32."""
    import comfy.model_management

    expected = draw(nodes, model, images())
    monkeypatch.delattr(comfy.model_management, "intermediate_dtype", raising=False)
    found = draw(nodes, model, images())
    assert all(one.dtype == torch.float32 for one in found)
    assert all(torch.equal(one, other.float()) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(("settings", "same"), [({"scale": 2.0}, {"scale": 2}), ({"detail": 0.5}, {"detail": 0.5})])
def test_settings_reach_the_model(nodes, model, settings, same):
    image = images()
    samples, *_ = draw(nodes, model, image, **settings)
    [expected] = by_library(model, image[0], samples=1, steps=3, seed=5, **same)
    assert torch.allclose(samples[0], expected, atol=1e-6)
    assert not torch.equal(samples, draw(nodes, model, image)[0])


def test_zero_steps_are_the_steps_of_the_model(nodes, model):
    samples, *_ = draw(nodes, model, images(), steps=0)
    [expected] = by_library(model, images()[0], samples=1, seed=5)
    assert torch.allclose(samples[0], expected, atol=1e-6)


def test_alpha_is_kept_and_counts_for_no_deviation(nodes, model):
    image = torch.cat([images(), torch.full((1, 12, 16, 1), 0.5)], dim=-1)
    samples, _, deviation, _ = draw(nodes, model, image, samples=2)
    assert samples.shape == (2, 48, 64, 4)
    assert torch.allclose(samples[..., 3], torch.tensor(0.5), atol=0.01)
    assert torch.allclose(deviation[0], samples[..., :3].var(0).mean(-1).sqrt(), atol=1e-6)


def test_progress_and_a_preview_come_after_each_step(nodes, model, seen):
    draw(nodes, model, images(2), samples=2)
    values = [value for value, _, _ in seen]
    assert values == sorted(values)
    assert [total for _, total, _ in seen] == [4] * len(seen)
    thirds = [sample + step / 3 for sample in range(4) for step in (0, 1, 2, 3)]
    assert values == pytest.approx(thirds)
    name, preview, most = seen[1][2]
    assert (name, preview.size, most) == ("JPEG", (64, 48), 512)


def test_windows_of_a_large_image_show_progress_within_a_step(nodes, model, seen):
    tiled = replace(model, upscaler=replace(model.upscaler, tile=128), tile=128)
    draw(nodes, tiled, torch.rand(1, 48, 48, 3, generator=torch.Generator().manual_seed(0)), steps=2)
    values = [value for value, _, _ in seen]
    assert values == sorted(values)
    assert values[0] == 0
    assert values[-1] == 1
    assert len([value for value in values if 0 < value < 0.5]) >= 3
    assert 0.5 in values
    previews = [preview.tobytes() for _, _, (_, preview, _) in seen]
    assert len(set(previews)) >= len(previews) - 2, "each shows something new"


def test_the_stop_of_comfyui_ends_the_work_inside_a_call(nodes, model):
    import comfy.model_management as management
    import comfy.utils

    calls = []

    def ask(value, *_, **__):
        calls.append(value)
        management.interrupt_current_processing(True)

    comfy.utils.set_progress_bar_global_hook(ask)
    with pytest.raises(management.InterruptProcessingException):
        draw(nodes, model, images(), steps=500)
    assert calls == [0]
    comfy.utils.set_progress_bar_global_hook(None)
    assert len(draw(nodes, model, images())[0]) == 1, "the model is as it was"


def test_what_does_not_fit_is_one_line(nodes, model):
    with pytest.raises(ValueError, match=r"detail") as caught:
        draw(nodes, model, images(), detail=1.5)
    assert "\n" not in str(caught.value)


def test_the_workflow_uses_the_nodes_as_they_are(nodes):
    flow = json.loads((NODES / "workflow_api.json").read_text())
    for node in flow.values():
        for name in {"SR3LoadModel", "SR3Upscale"} & {node["class_type"]}:
            assert set(node["inputs"]) == {one.id for one in nodes[name].GET_SCHEMA().inputs}

"""The public surface is what it says, and loading it is cheap."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

import sr3
from pictures import write_pictures
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.training.events import Stepped

DIFFUSION = {
    "denoiser": ["Denoise", "Denoiser", "Prediction"],
    "guidance": ["guided"],
    "noise": ["NoiseSource", "draw_noise", "mix_seed"],
    "objective": ["denoising_loss", "one_answer", "regression_loss"],
    "process": [
        *("alpha_between", "diffuse", "eps_from_v", "eps_from_y0", "forward_variance", "log_snr", "mix", "per_image"),
        *("posterior_mean", "posterior_variance", "score_from_eps", "sigma", "v_from_y0_eps", "y0_from_eps"),
        "y0_from_v",
    ],
    "samplers": [
        *("SAMPLERS", "Sampler", "SamplerFunction", "Step", "Traits", "ancestral", "ancestral_posterior", "ddim"),
        *("described", "dpmpp_2m", "heun", "last", "level_pairs", "one_call", "predictor_corrector"),
        "probability_flow",
    ],
    "schedule": [
        *("check_grid", "cosine_gammas", "cosine_grid", "draw_gamma", "karras_grid", "linear_gammas", "linear_grid"),
        "log_snr_grid",
    ],
}
"""Public names of `sr3.diffusion` by the module that holds each."""

NETWORKS = {
    "discriminator": ["DiscriminatorNet"],
    "drcn": ["DRCN"],
    "enet": ["ENet"],
    "fsrcnn": ["FSRCNN"],
    "one_call": ["OneCallNetwork"],
    "rcan": ["RCAN"],
    "span": ["SPAN"],
    "unet": ["UNet"],
}
"""Public names of `sr3.networks` by the module that holds each."""
METRICS = {
    "classification": ["inception_score", "top_hit"],
    "colour": ["colour_shift", "luminance", "without_border"],
    "distortion": ["consistency", "mean_squared_error", "psnr", "sharpness", "ssim"],
    "distribution": ["frechet_distance", "inside_manifold", "kernel_distance"],
    "energy": ["crps", "energy_score", "gradient_energy_score"],
    "features": ["FeatureNetwork", "load_features"],
    "flat_areas": ["grain", "ripples"],
    "opensr": ["OpenSRTest", "load_opensr"],
    "perceptual": ["PerceptualDistance", "load_perceptual"],
    "registry": ["METRICS", "Metric", "find_metric"],
    "spread": ["deviation", "feature_spread", "rank_coverage", "rank_histogram", "spread_to_error"],
}
"""Public names of `sr3.metrics` by the module that holds each."""


def test_the_public_names_are_these():
    classes = ["Cancelled", "Config", "Model", "Refinement", "Sr3Error", "Training", "Upscaler"]
    assert sorted(sr3.__all__) == [
        *classes,
        *("batch", "diffusion", "load", "metrics", "networks", "open_upscaler", "preset", "train"),
    ]
    for name in sr3.__all__:
        found = getattr(sr3, name)
        assert found.__name__ == (f"sr3.{name}" if isinstance(found, ModuleType) else name)


def test_the_public_name_of_batch_is_this():
    assert sr3.batch.__all__ == ["Upscale"]
    assert sr3.batch.Upscale.__module__ == "sr3.batch"


def test_the_public_names_of_diffusion_are_these():
    names = [name for names in DIFFUSION.values() for name in names]
    assert sorted(sr3.diffusion.__all__) == sorted([*names, "samplers"])
    assert dir(sr3.diffusion) == sorted(sr3.diffusion.__all__)
    for part, names in DIFFUSION.items():
        module = import_module(f"sr3.diffusion.{part}")
        for name in names:
            assert getattr(sr3.diffusion, name) is getattr(module, name)
            assert name in module.__all__


@pytest.mark.parametrize(("package", "parts"), [(sr3.networks, NETWORKS), (sr3.metrics, METRICS)])
def test_the_public_names_of_networks_and_metrics_are_these(package, parts):
    assert dir(package) == sorted(package.__all__) == sorted(name for names in parts.values() for name in names)
    for part, names in parts.items():
        module = import_module(f"{package.__name__}.{part}")
        for name in names:
            assert getattr(package, name) is getattr(module, name)
            assert name in module.__all__


@pytest.mark.parametrize("package", [sr3.diffusion, sr3.networks, sr3.metrics])
def test_a_type_checker_sees_the_public_names_of_a_package(package):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    branch = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.name for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(seen) == sorted(package.__all__)


@pytest.mark.parametrize("module", [sr3, sr3.diffusion, sr3.networks, sr3.metrics])
def test_an_unknown_name_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="upscael"):
        module.upscael  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["sr3", "sr3.diffusion", "sr3.networks", "sr3.metrics", "sr3.cli.app", "sr3.presets"]
)
def test_no_torch_is_loaded_by(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_training_from_python_is_that_of_the_command_and_can_be_resumed(tmp_path):
    write_pictures(tmp_path / "photos")
    changes = [f"training.{name}" for name in ("steps=4", "batch=2", "save_every=2", "validate_every=4")]
    asked = {"data": tmp_path / "photos", "changes": [*changes, "sampling.steps=2"], "device": "cpu"}
    for event in sr3.train("tiny-x4", out=tmp_path / "mine", **asked):
        if isinstance(event, Stepped) and event.step == 2:
            break
    resumed = sr3.train("tiny-x4", out=tmp_path / "mine", **asked)
    assert [event.step for event in resumed if isinstance(event, Stepped)] == [3, 4]
    sets = [word for change in asked["changes"] for word in ("--set", change)]
    words = ["train", "tiny-x4", "--data", str(tmp_path / "photos"), "--out", str(tmp_path / "command"), *sets]
    assert run([*words, "--device", "cpu"]) == 0
    mine, command = (read_model(tmp_path / name / "model.safetensors") for name in ("mine", "command"))
    assert all(torch.equal(mine.weights[name], weight) for name, weight in command.weights.items())
    assert sr3.load(resumed.run()).scale == 4


def test_settings_of_a_training_are_checked_before_it_begins(tmp_path):
    with pytest.raises(sr3.Sr3Error, match=r"training\.stepps"):
        sr3.train("tiny-x4", data=tmp_path, out=tmp_path / "run", changes=["training.stepps=2"])
    assert not (tmp_path / "run").exists()

"""The public surface is what it says, and loading it is cheap."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import sr3

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


def test_the_public_names_are_these():
    classes = ["Cancelled", "Config", "Model", "Refinement", "Sr3Error", "Upscaler"]
    assert sorted(sr3.__all__) == [*classes, "batch", "diffusion", "load", "open_upscaler", "preset"]
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


def test_a_type_checker_sees_the_public_names_of_diffusion():
    tree = ast.parse(Path(sr3.diffusion.__file__).read_text(encoding="utf-8"))
    branch = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.name for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(seen) == sorted(sr3.diffusion.__all__)


@pytest.mark.parametrize("module", [sr3, sr3.diffusion], ids=["sr3", "sr3.diffusion"])
def test_an_unknown_name_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="upscael"):
        module.upscael  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("module", ["sr3", "sr3.diffusion", "sr3.cli.app", "sr3.presets"])
def test_no_torch_is_loaded_by(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

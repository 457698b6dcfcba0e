"""Convolutions in 8-bit integers: against exact integer arithmetic, in a network, in a model, and where refused."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import sr3
from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.errors import ConfigError
from sr3.runtime.device import choose_dtype
from sr3.runtime.int8 import Int8Conv, levels_of_weights, to_int8
from sr3.sampling.upscaler import open_upscaler


def most_levels() -> int:
    try:
        return levels_of_weights()
    except ConfigError:
        return 0


LARGEST = most_levels()
there = pytest.mark.skipif(not LARGEST, reason="torch has no 8-bit convolutions for this CPU")


def convolution(side: int, width: int = 32) -> nn.Conv2d:
    torch.manual_seed(side)
    return nn.Conv2d(width, 40, side, padding=side // 2).requires_grad_(False)


def features(*, shift: float = 0.0, width: int = 32) -> torch.Tensor:
    return torch.randn(2, width, 9, 7, generator=torch.Generator().manual_seed(3)) + shift


def by_integers(conv: nn.Conv2d, values: torch.Tensor) -> torch.Tensor:
    """The definition, for one image: round weights by channel and features by call, convolve exactly, scale back."""
    weight = conv.weight.double()
    scales = weight.abs().amax(dim=(1, 2, 3)) / LARGEST
    least, greatest = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (greatest - least) / 255
    offset = round(-least / scale)
    levels = (values.double() / scale + offset).round().clamp(0, 255) - offset
    whole = (weight / scales[:, None, None, None]).round()
    sums = torch.conv2d(levels, whole, padding=conv.padding)
    return sums * scale * scales[:, None, None] + conv.bias.double()[:, None, None]


@there
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 4.0, -4.0])
def test_a_convolution_is_that_of_the_rounded_numbers(side, shift):
    """With all features above or below 0 too, where the padding is a level of its own."""
    conv, values = convolution(side), features(shift=shift)
    found, exact = (
        Int8Conv(conv, largest=LARGEST)(values),
        torch.cat([by_integers(conv, one) for one in values.split(1)]),
    )
    assert float((exact - conv(values).double()).abs().mean()) < 0.03 * float(conv(values).abs().mean())
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-3)


@there
def test_any_layout_and_type_and_features_that_are_all_0_are_taken():
    conv = convolution(3)
    quick, values = Int8Conv(conv, largest=LARGEST), features()
    last = values.contiguous(memory_format=torch.channels_last)
    assert torch.equal(quick(values), quick(last))
    assert quick(values.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(quick(torch.zeros_like(values)), conv(torch.zeros_like(values)))


@there
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_features_that_are_not_finite_give_nan_for_their_image_alone(wrong):
    """A network that has failed is noticed by what it gives, as in float32."""
    quick, values = Int8Conv(convolution(3), largest=LARGEST), features()
    expected = quick(values)
    values[1, 0, 0, 0] = wrong
    values[1, 0, 0, 1] = -1e30
    found = quick(values)
    assert torch.equal(found[0], expected[0])
    assert found[1].isnan().all()


@there
def test_an_image_has_the_same_bits_whatever_else_is_in_its_batch():
    quick, values = Int8Conv(convolution(3), largest=LARGEST), features()
    values[1] *= 100
    assert torch.equal(quick(values)[:1], quick(values[:1]))


@there
def test_gradients_are_refused_and_not_lost():
    quick, values = Int8Conv(convolution(3), largest=LARGEST), features().requires_grad_()
    with pytest.raises(RuntimeError, match="dtype int8: has no gradients; load the model in float32"):
        quick(values)
    with torch.no_grad():
        quick(values)


@there
def test_the_ends_of_a_network_stay_as_they_are():
    """By name, for with large patches they have many channels; so do those of few channels or of other padding."""
    network = nn.ModuleDict(
        {
            "head": nn.Conv2d(96, 32, 3),
            "inner": nn.ModuleDict({"head": nn.Conv2d(32, 64, 1), "few": nn.Conv2d(64, 3, 3)}),
            "mirrored": nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
            "same": nn.Conv2d(64, 64, 3, padding="same"),
            "tail": nn.Conv2d(64, 48, 3),
        }
    )
    to_int8(network)
    assert {name for name, part in network.named_modules() if isinstance(part, Int8Conv)} == {"inner.head"}


@there
@pytest.mark.slow
@pytest.mark.parametrize("model", ["photos-x4-fast", "photos-x4-web"])
def test_packaged_models_answer_within_a_level_on_average(model):
    image = smooth(40, 44)
    exact, found = (
        sr3.load(model, dtype=dtype, device="cpu").upscale(image, seed=1).astype(float) for dtype in ("float32", "int8")
    )
    assert 0 < np.abs(found - exact).mean() < 1


@there
@pytest.mark.slow
def test_windows_join_and_a_batch_has_the_bits_of_its_images(tmp_path):
    path = str(write_random_model(tmp_path / "m.safetensors", settings=["network.width=32", "sampling.steps=2"]))
    upscaler = open_upscaler(path, device="cpu", dtype="int8", tile=128)
    assert any(isinstance(part, Int8Conv) for part in upscaler.denoiser.network.modules())
    sampling = upscaler.info.config.sampling
    small = torch.from_numpy(smooth(40, 44)).permute(2, 0, 1)[None].float() / 127.5 - 1
    both = torch.cat([small, small.flip(-1)])
    together = upscaler.upscale(both, sampling=sampling, seeds=[1, 2])
    assert torch.equal(together[:1], upscaler.upscale(small, sampling=sampling, seeds=[1]))
    exact = open_upscaler(path, device="cpu", dtype="float32", tile=128).upscale(both, sampling=sampling, seeds=[1, 2])
    assert float((together - exact).abs().mean()) < 2 / 127.5


@there
@pytest.mark.slow
def test_the_command_line_takes_it_and_says_so_in_a_measurement(tmp_path, capsys):
    model = str(write_random_model(tmp_path / "m.safetensors", settings=["network.width=32", "sampling.steps=1"]))
    options = ["--model", model, "--side", "32", "--turns", "1", "--device", "cpu", "--dtype", "int8", "--json"]
    assert run(["bench", *options]) == 0
    assert "convolutions in int8" in capsys.readouterr().out


@there
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN knows these names on x86 only")
@pytest.mark.slow
def test_a_cpu_without_integer_instructions_has_fewer_levels_and_exact_sums(tmp_path):
    """oneDNN, told to do without them, adds pairs of products in 16 bits."""
    script = tmp_path / "try.py"
    script.write_text("from sr3.runtime.int8 import levels_of_weights\nprint(levels_of_weights())", encoding="utf-8")
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "63"


def test_other_devices_and_a_torch_without_such_convolutions_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="dtype int8: is for the CPU, not cuda; give device cpu, or dtype auto"):
        choose_dtype("int8", torch.device("cuda"))
    with pytest.raises(ConfigError, match="dtype float64: unknown; give auto, float32, bfloat16, int8"):
        choose_dtype("float64", torch.device("cpu"))

    def missing(*_inputs: object, **_options: object) -> None:
        raise RuntimeError("no such kernel\nand a long story")

    monkeypatch.setattr("sr3.runtime.int8.Int8Conv", missing)
    with pytest.raises(ConfigError, match=r"no 8-bit convolutions for this CPU \(no such kernel\); give dtype auto"):
        levels_of_weights.__wrapped__()

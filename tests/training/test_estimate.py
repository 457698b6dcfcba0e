"""What a training will cost, counted without doing it."""

import pytest
import torch
from PIL import Image

from pictures import smooth
from sr3.build import build_network
from sr3.cli.app import run
from sr3.config import apply_settings
from sr3.presets import preset
from sr3.training.estimate import advise_memory, estimate, forward_flops, peak_rate

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def test_flops_of_a_lone_convolution_are_those_by_hand():
    # Width 8, one level, one block, no resampling: count the convolutions of head and tail and of three blocks.
    config = apply_settings(
        preset("tiny-x4"),
        ["network.width=8", "network.multipliers=[1]", "network.blocks=1", "network.features=8", "network.stem=1"],
    )
    side, width, features = 16, 8, 8

    def convolution(inside: int, outside: int, kernel: int = 3) -> int:
        return 2 * side**2 * kernel**2 * inside * outside

    def block(inside: int) -> int:
        shortcut = convolution(inside, width, 1) if inside != width else 0
        return convolution(inside, width) + convolution(width, width) + shortcut + 2 * features * 2 * width

    embedding = 2 * (width * features + features * features)
    blocks = block(width) * 3 + block(2 * width) * 2  # one down, two in the middle, two up
    expected = convolution(6, width) + convolution(width, 3) + blocks + embedding
    assert forward_flops(config, image_channels=3, side=side) == pytest.approx(expected, rel=0.01)


def test_cost_grows_with_the_square_of_the_side_and_the_batch():
    config = preset("tiny-x4")
    small, large = (estimate(config, image_channels=3, side=side, device=CPU) for side in (64, 128))
    assert large.flops_per_image == pytest.approx(4 * small.flops_per_image, rel=0.02)
    assert large.activation_bytes == pytest.approx(4 * small.activation_bytes, rel=0.02)
    twice = estimate(apply_settings(config, ["training.batch=16"]), image_channels=3, side=64, device=CPU)
    assert twice.activation_bytes == pytest.approx(2 * small.activation_bytes, rel=0.01)
    parts = estimate(apply_settings(config, ["training.accumulate=4"]), image_channels=3, side=64, device=CPU)
    assert parts.activation_bytes == pytest.approx(small.activation_bytes / 4, rel=0.01)


def test_the_state_is_counted_in_full():
    config = apply_settings(preset("photos-x4"), ["training.ema_others=[0.9]"])
    network = build_network(config.network, image_channels=3, scale=config.data.scale)
    count = sum(parameter.numel() for parameter in network.parameters())
    # Weights, gradients, two moments, two averages.
    assert estimate(config, image_channels=3, side=64, device=CPU).state_bytes == 4 * count * 6


def test_activations_are_those_torch_keeps():
    config = preset("tiny-x4")
    network, kept = build_network(config.network, image_channels=3, scale=config.data.scale), {}

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    x = torch.randn(1, 3, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(x, x, torch.ones(1, dtype=torch.float64))
    real = sum(storage.nbytes() for storage in kept.values())
    counted = estimate(config, image_channels=3, side=32, device=CPU).activation_bytes / config.training.batch
    assert counted == pytest.approx(real, rel=0.15)


def test_what_does_not_fit_is_told_with_what_would():
    config = apply_settings(preset("photos-x4"), ["training.batch=12"])
    whole = estimate(config, image_channels=3, side=64, device=CPU)
    state, image = whole.state_bytes, whole.activation_bytes // 12
    assert advise_memory(whole, config, free=state + 12 * image + 12).endswith("GiB free, enough")
    tight = advise_memory(whole, config, free=state + 5 * image)  # 12 images in parts of 4
    assert "too little: set training.accumulate=3, which needs" in tight
    again = apply_settings(config, ["training.accumulate=3"])
    parts = estimate(again, image_channels=3, side=64, device=CPU)
    assert advise_memory(parts, again, free=state + 5 * image).endswith("enough")
    assert f"{(parts.state_bytes + parts.activation_bytes) / 2**30:.1f} GiB" in tight
    least = advise_memory(whole, config, free=state)
    assert "one image at a time needs" in least
    assert "network.checkpointing=true" in least
    two = estimate(config, image_channels=3, side=64, device=CPU, processes=2)
    assert "training.accumulate=2," in advise_memory(two, config, free=state + 5 * image)


def test_the_peak_is_a_rate_that_a_machine_can_have():
    assert 1e8 < peak_rate(CPU, torch.float32, seconds=0.05) < 1e14


def test_a_dry_run_prints_costs_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for seed in range(6):
        Image.fromarray(smooth(40, 40, seed=seed)).save(tmp_path / "data" / f"{seed}.png")
    command = ["train", "tiny-x4", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert run([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    for part in (
        "4 images for training, 2 held out; 32 pixels per side",
        "parameters: 176,",
        "GiB free, enough",
        "FLOP/s",
        "for 200 steps",
    ):
        assert part in said
    assert not (tmp_path / "run").exists()

"""The networks that the paper compares itself with, through training, upscaling in windows and evaluation."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from pictures import Pictures, smooth
from sr3.build import build_denoiser
from sr3.cli.app import run
from sr3.config import apply_settings
from sr3.diffusion.objective import regression_loss, supervised_loss
from sr3.errors import ConfigError
from sr3.exchange.export import export_onnx
from sr3.images.files import picture_size
from sr3.images.resize import downsample
from sr3.presets import preset
from sr3.sampling.upscaler import open_upscaler
from sr3.training.events import Stepped
from sr3.training.loop import train
from sr3.training.run_dir import open_run
from sr3.training.state import last_whole
from sr3.tuning import bench as bench_module
from sr3.tuning.bench import Plan, bench

BASELINES = ["fsrcnn-x4-small", "drcn-x4-small", "rcan-x4-small", "enet-x4-small", "span-x4-small"]
SOURCE = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
CPU = torch.device("cpu")


def tiny(name, *settings):
    count = {"fsrcnn-x4-small": "layers", "drcn-x4-small": "recursions"}.get(name, "blocks")
    size = ["network.width=8", f"network.{count}=2", "data.crop=32", "training.batch=2"]
    length = ["training.steps=6", "training.validation_images=2", "optimizer.warmup=2", "optimizer.cooldown=0"]
    return apply_settings(preset(name), [*size, *length, *settings])


def run_to_end(path, config):
    return list(train(config, SOURCE, open_run(path, config), device=CPU))


def weights_of(path):
    return open_upscaler(str(path)).denoiser.network.state_dict()


@pytest.mark.training
@pytest.mark.parametrize("name", BASELINES)
def test_a_rival_learns_and_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, name):
    config = tiny(name)
    losses = [event.loss for event in run_to_end(tmp_path / "whole", config) if isinstance(event, Stepped)]
    with closing(train(config, SOURCE, open_run(tmp_path / "parts", config), device=CPU)) as events:
        for event in events:
            if isinstance(event, Stepped) and event.step == 3:
                break
    run_to_end(tmp_path / "parts", config)
    whole, parts = (last_whole(tmp_path / run / "checkpoints").read_bytes() for run in ("whole", "parts"))
    assert whole == parts
    assert len(losses) == 6


@pytest.mark.training
@pytest.mark.parametrize("name", BASELINES)
def test_training_brings_a_rival_nearer_to_the_truth(tmp_path, name):
    config = tiny(name, "training.steps=60", "optimizer.learning_rate=3e-3", "training.validate_every=1000")
    losses = [event.loss for event in run_to_end(tmp_path / "run", config) if isinstance(event, Stepped)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.fixture
def trained(tmp_path):
    def make(name):
        run_to_end(tmp_path / name, tiny(name))
        upscaler = open_upscaler(str(tmp_path / name), dtype="float32")
        for parameter in upscaler.denoiser.network.parameters():
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
        return upscaler

    return make


@pytest.mark.training
@pytest.mark.parametrize("name", [name for name in BASELINES if name != "span-x4-small"])
def test_windows_of_a_rival_give_nearly_what_the_whole_picture_gives(trained, name):
    upscaler = trained(name)
    low_res = torch.rand(2, 3, 40, 52, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sampling = upscaler.info.config.sampling
    whole = upscaler.upscale(low_res, sampling=sampling, seeds=[0, 1])
    tiled = replace(upscaler, tile=128).upscale(low_res, sampling=sampling, seeds=[0, 1])
    assert whole.shape == (2, 3, 160, 208)
    assert whole.std() > 0.001
    share = 0.05 if upscaler.shares_statistics else 0.01
    torch.testing.assert_close(tiled, whole, atol=share * float(whole.std()), rtol=0)


@pytest.mark.slow
def test_windows_of_span_give_nearly_what_the_whole_picture_gives():
    """With weights that were learnt: at random it is chaotic, for its inputs are multiplied by 255."""
    weights = Path(__file__).parents[1] / "weights" / "span-x4.safetensors"
    upscaler = open_upscaler(str(weights), device="cpu", dtype="float32")
    low_res = torch.from_numpy(smooth(48, 64)).permute(2, 0, 1)[None].float() / 127.5 - 1
    sampling = upscaler.info.config.sampling
    whole = upscaler.upscale(low_res, sampling=sampling, seeds=[0])
    tiled = replace(upscaler, tile=128).upscale(low_res, sampling=sampling, seeds=[0])
    assert float((tiled - whole).abs().max()) < 2 / 127.5


@pytest.mark.training
def test_only_rcan_needs_windows_to_share_what_they_see(trained):
    assert [trained(name).shares_statistics for name in BASELINES] == [False, False, True, False, False]


def test_the_loss_of_drcn_counts_every_recursion_by_its_share():
    denoiser = build_denoiser(tiny("drcn-x4-small"), image_channels=3)
    generator = torch.Generator().manual_seed(1)  # at first all recursions answer alike
    for parameter in denoiser.network.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    y0, x = torch.rand(2, 2, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    last = regression_loss(denoiser, y0, x, kind="l2")
    answers = denoiser.network(x, x, torch.zeros(2, dtype=torch.float64), every=True)[1:]
    assert float((answers[0] - answers[-1]).detach().abs().mean()) > 1e-3
    others = torch.stack([(answer - y0).square().mean(dim=(1, 2, 3)) for answer in answers]).mean(dim=0)
    found = supervised_loss(denoiser, y0, x, kind="l2", share=0.25)
    torch.testing.assert_close(found, 0.25 * others + 0.75 * last)


@pytest.mark.slow
def test_a_rival_is_trained_used_and_measured_by_the_commands(tmp_path, capsys):
    for place in ("learn", "held"):
        (tmp_path / place).mkdir()
        for seed in range(5):
            Image.fromarray(smooth(64, 64, seed=seed)).save(tmp_path / place / f"{seed}.png")
    changes = ["network.width=8", "training.steps=2", "training.batch=2", "training.validation_images=1"]
    sets = [part for change in [*changes, "data.crop=32"] for part in ("--set", change)]
    model = str(tmp_path / "run")
    assert run(["train", "enet-x4-small", "--data", str(tmp_path / "learn"), "--out", model, *sets]) == 0
    assert run(["upscale", str(tmp_path / "held" / "0.png"), "-o", str(tmp_path / "out.png"), "--model", model]) == 0
    assert picture_size(tmp_path / "out.png") == (256, 256)
    assert run(["evaluate", "--model", model, "--data", str(tmp_path / "held"), "--resamples", "20"]) == 0
    assert "PSNR" in capsys.readouterr().out
    dry = ["train", "rcan-x4-small", "--data", str(tmp_path / "learn"), "--out", str(tmp_path / "none"), "--dry-run"]
    dry += sets
    assert run(dry) == 0


@pytest.mark.training
def test_a_new_enet_gives_the_bicubic_enlargement(tmp_path):
    config = tiny("enet-x4-small", "optimizer.learning_rate=1e-12", "training.steps=1")
    run_to_end(tmp_path / "run", config)
    upscaler = open_upscaler(str(tmp_path / "run"))
    truth = torch.from_numpy(smooth(64, 64)).permute(2, 0, 1)[None].float() / 127.5 - 1
    low_res = downsample(truth, 4).clamp(-1, 1)
    answer = upscaler.upscale(low_res, sampling=config.sampling, seeds=[0])
    bicubic = torch.nn.functional.interpolate(low_res, scale_factor=4, mode="nearest")
    assert (answer - truth).square().mean() < (bicubic - truth).square().mean()


@pytest.mark.training
def test_a_rival_is_timed_and_not_exported(tmp_path, trained, monkeypatch):
    trained("fsrcnn-x4-small")
    run = str(tmp_path / "fsrcnn-x4-small")
    with monkeypatch.context() as patch:  # other processes and runtimes are only pretended, for their time
        patch.setattr(bench_module.subprocess, "run", lambda command, **_: command)
        patch.setattr(bench_module.importlib.util, "find_spec", lambda _: None)
        with pytest.warns(UserWarning, match="--side 34: is not a multiple of the scale 4; 32 is measured instead"):
            rows = list(bench(Plan(run, side=34, batch=2, turns=1, device="cpu", dtype="float32")))
    assert {row.section for row in rows} == {"call", "picture", "start"}
    with pytest.raises(ConfigError, match="family fsrcnn, and only U-Nets are exported"):
        export_onnx(run, tmp_path / "out.onnx")

"""A checkpoint of the best-known unofficial implementation computes what it did there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import unofficial
from pictures import smooth, write_random_model
from sr3.checkpoint import read_model
from sr3.config import SearchedGrid
from sr3.diffusion.noise import NoiseSource
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.conversion import TASKS, Task, convert
from sr3.exchange.foreign import our_name, read_foreign
from sr3.sampling.generator import load_generator
from sr3.sampling.upscaler import Upscaler, open_upscaler
from unofficial import Layout

pytestmark = pytest.mark.slow

LAYOUT = Layout(8, (1, 2), 1, (16,), 32, 4)
GENERATOR = replace(LAYOUT, in_channel=3)


def converted(tmp_path, layout=LAYOUT, **options):
    tensors = unofficial.write_checkpoint(tmp_path / "I2000_E3_gen.pth", layout)
    wanted = {"scale": 4, "groups": layout.norm_groups, **options}
    done = convert(tmp_path / "I2000_E3_gen.pth", tmp_path / "out.safetensors", **wanted)
    return tensors, done


def opened(tmp_path) -> Upscaler:
    return open_upscaler(str(tmp_path / "out.safetensors"), device="cpu", dtype="float32")


def pictures(count, *, channels=3, height=32, width=48):
    return torch.rand(count, 1, channels, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize(
    "layout",
    [
        Layout(16, (1, 2, 4), 2, (8,), 32, 8),
        Layout(16, (1, 2, 4, 8), 1, (), 32, 16),
        Layout(32, (1, 1), 1, (32, 16), 32, 32),
        replace(LAYOUT, in_channel=2, out_channel=1),
    ],
    ids=["two blocks", "no attention but the bottom", "attention everywhere", "grey"],
)
def test_one_call_agrees_to_1e_5(tmp_path, layout):
    tensors, _ = converted(tmp_path, layout)
    network = opened(tmp_path).denoiser.network
    x, y_t = pictures(2, channels=layout.out_channel, height=16, width=24)
    for gamma in (1.0, 0.9999, 0.3, 1e-4):
        level = torch.tensor([gamma], dtype=torch.float64)
        theirs = unofficial.call(tensors, layout, torch.cat([x, y_t], dim=1), level.sqrt().float())
        assert float(theirs.std()) > 0.3
        torch.testing.assert_close(network(x, y_t, level), theirs, atol=1e-5, rtol=0)


def test_a_seeded_run_of_20_steps_agrees_in_every_pixel(tmp_path):
    tensors, _ = converted(tmp_path)
    picture = smooth(8, 12)
    large = np.array(Image.fromarray(picture).resize((48, 32), Image.Resampling.BICUBIC))
    betas, noise = unofficial.linear_betas(20, 1e-4, 0.61), NoiseSource([5])
    x = torch.from_numpy(large).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    draws = [noise.like(x) for _ in range(20)]
    theirs = unofficial.sample(tensors, LAYOUT, x, betas, draws)
    upscaler = opened(tmp_path)
    gammas = (*np.cumprod(1 - betas)[::-1].tolist(), 1.0)
    own = upscaler.info.config.sampling
    grid = SearchedGrid(sampler=own.sampler, eta=own.eta, steps=20, gammas=gammas, metric="", score=0, before=0)
    sampling = own.model_copy(update={"steps": 20, "searched": (grid,)})
    low_res = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    ours = upscaler.upscale(low_res, sampling=sampling, seeds=[5])
    assert float((ours - theirs.clamp(-1, 1)).abs().max()) * 127.5 < 1
    assert float(ours.std()) > 0.1


def test_the_shape_is_read_off_the_tensors(tmp_path):
    converted(tmp_path)
    shape = read_foreign(tmp_path / "I2000_E3_gen.pth").network
    assert shape == (3, "picture", 8, (1, 2), 1, (1,), 32)


def test_what_is_found_and_what_is_assumed_is_said(tmp_path):
    _, done = converted(tmp_path)
    found, schedule, assumed, weights = done.notes
    assert "width 8, multipliers 1,2, 1 block per level, attention at level 1" in found
    assert "2000 levels, betas 1e-06 to 0.01, linear" in schedule
    assert "scale 4, 4 groups" in assumed
    assert "no moving average" in weights


def test_the_settings_are_those_of_the_file(tmp_path):
    _, done = converted(tmp_path)
    info = read_model(tmp_path / "out.safetensors").info
    assert info == done.info
    assert (info.step, info.image_channels, info.config.data.scale) == (2000, 3, 4)
    schedule = info.config.schedule
    assert (schedule.kind, schedule.num_levels, schedule.beta_first, schedule.beta_last) == ("linear", 2000, 1e-6, 1e-2)
    assert info.config.sampling.sampler == "ancestral-posterior"
    assert info.config.sampling.gamma_first == pytest.approx(4.4e-5, rel=0.02)


def test_the_wrapper_of_several_devices_is_taken_off(tmp_path):
    tensors = unofficial.write_checkpoint(tmp_path / "a_gen.pth", LAYOUT, prefix="module.")
    assert torch.equal(read_foreign(tmp_path / "a_gen.pth").weights["downs.0.weight"], tensors["downs.0.weight"])


def empty_checkpoint(path, layout):
    """Write a checkpoint of the right names and sizes whose tensors are all one number, so that it is small."""
    shapes = unofficial.tensor_shapes(layout)
    torch.save({f"denoise_fn.{name}": torch.zeros(()).expand(shape) for name, shape in shapes.items()}, path)
    return path


@pytest.mark.parametrize("name", TASKS)
def test_a_published_configuration_has_the_shape_of_its_task_alone(tmp_path, name):
    layout = {
        "16-128": Layout(64, (1, 2, 4, 8, 8), 2, (16,), 128, 32),
        "64-512": Layout(64, (1, 2, 4, 8, 16), 1, (), 512, 16),
        "faces-128": Layout(64, (1, 2, 4, 8, 8), 2, (16,), 128, 32, in_channel=3),
    }[name]
    network = read_foreign(empty_checkpoint(tmp_path / "a_gen.pth", layout)).network
    assert [known for known, task in TASKS.items() if task.has_shape_of(network)] == [name]
    assert TASKS[name].groups == layout.norm_groups


def test_what_tensors_do_not_tell_is_that_of_the_task_of_their_shape(tmp_path, monkeypatch):
    path = empty_checkpoint(tmp_path / "a_gen.pth", Layout(64, (1, 2), 1, ()))
    monkeypatch.setitem(TASKS, "small", Task((1, 2), 1, (), "picture", scale=3, groups=16, dropout=0.1))
    config = convert(path, tmp_path / "out.safetensors").info.config
    assert (config.data.scale, config.network.groups, config.network.dropout) == (3, 16, 0.1)
    config = convert(path, tmp_path / "out.safetensors", scale=5).info.config
    assert (config.data.scale, config.network.groups) == (5, 16)
    config = convert(path, tmp_path / "out.safetensors", task="16-128").info.config
    assert (config.data.scale, config.network.groups, config.network.multipliers) == (8, 32, (1, 2))


def test_a_generator_generates(tmp_path):
    tensors, done = converted(tmp_path, GENERATOR, scale=None, settings=["data.crop=32", "sampling.steps=3"])
    assert done.info.config.network.condition == "none"
    model = load_generator(read_model(tmp_path / "out.safetensors"), device=torch.device("cpu"), dtype=torch.float32)
    assert model.generate([0], sampling=done.info.config.sampling, seeds=[0]).shape == (1, 3, 32, 32)
    (y_t,), level = pictures(1), torch.tensor([0.5], dtype=torch.float64)
    theirs = unofficial.call(tensors, GENERATOR, y_t, level.sqrt().float())
    torch.testing.assert_close(model.denoiser.network(y_t[:, :0], y_t, level), theirs, atol=1e-5, rtol=0)


def test_a_shape_of_no_task_asks_for_the_scale(tmp_path):
    unofficial.write_checkpoint(tmp_path / "a_gen.pth", LAYOUT)
    with pytest.raises(ConfigError, match="--scale"):
        convert(tmp_path / "a_gen.pth", tmp_path / "out.safetensors")
    with pytest.raises(ConfigError, match="groups 32 does not divide width 8"):
        convert(tmp_path / "a_gen.pth", tmp_path / "out.safetensors", scale=4)
    with pytest.raises(ConfigError, match="unknown; give one of 16-128"):
        convert(tmp_path / "a_gen.pth", tmp_path / "out.safetensors", task="8-16")
    with pytest.raises(ConfigError, match="has an input to enlarge"):
        convert(tmp_path / "a_gen.pth", tmp_path / "out.safetensors", task="faces-128")
    assert not (tmp_path / "out.safetensors").exists()


def test_settings_are_applied_over_all_others(tmp_path):
    _, done = converted(tmp_path, settings=["sampling.correct=true", "sampling.sampler=ddim"])
    assert (done.info.config.sampling.correct, done.info.config.sampling.sampler) == (True, "ddim")


def test_a_schedule_of_another_kind_is_noted(tmp_path):
    unofficial.write_checkpoint(tmp_path / "a_gen.pth", LAYOUT, betas=np.linspace(1e-3, 0.1, 2000) ** 2)
    done = convert(tmp_path / "a_gen.pth", tmp_path / "out.safetensors", scale=4, groups=4)
    assert "2000 levels, betas 1e-06 to 0.01, of a kind that sr3 does not have" in done.notes[1]


def test_training_that_never_saw_pure_noise_is_warned_of(tmp_path):
    betas = unofficial.linear_betas(500, 1e-6, 1e-2)
    unofficial.write_checkpoint(tmp_path / "a_gen.pth", LAYOUT, betas=betas)
    with pytest.warns(UserWarning, match=f"only up to gamma {np.prod(1 - betas):.3g}"):
        convert(tmp_path / "a_gen.pth", tmp_path / "out.safetensors", scale=4, groups=4)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def damaged(kind, path):
    tensors = unofficial.network_tensors(LAYOUT)
    state = {f"denoise_fn.{name}": tensor for name, tensor in tensors.items()}
    match kind:
        case "missing":
            return
        case "text":
            path.write_text("no weights")
            return
        case "empty":
            path.touch()
            return
        case "model of ours":
            write_random_model(path)
            return
        case "code":
            state["denoise_fn.x"] = Evil()
        case "optimiser":
            state = {"epoch": 3, "iter": 5, "optimizer": {}}
        case "one tensor":
            state = torch.zeros(3)
        case "no network":
            state = {"weight": torch.zeros(3)}
        case "ddpm":
            state["denoise_fn.time_mlp.1.weight"] = torch.zeros(3, 3)
        case "NaN":
            state["denoise_fn.downs.0.bias"] = torch.full((8,), torch.nan)
        case "sparse":
            state["denoise_fn.downs.0.bias"] = torch.zeros(8).to_sparse()
        case "a number":
            state["denoise_fn.noise_level_mlp.1.weight"] = torch.zeros(())
        case "lacking":
            del state["denoise_fn.mid.1.res_block.block1.block.3.weight"]
        case "no head":
            del state["denoise_fn.downs.0.weight"]
        case "strange":
            state["denoise_fn.extra.weight"] = torch.zeros(3)
        case "other size":
            state["denoise_fn.mid.0.attn.out.bias"] = torch.zeros(3)
        case "four answers":
            state["denoise_fn.final_conv.block.3.weight"] = torch.zeros(4, 8, 3, 3)
        case "uneven":
            state["denoise_fn.downs.4.res_block.block1.block.3.weight"] = torch.zeros(16, 16, 3, 3)
    torch.save(state, path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("missing", "no such file"),
        ("text", "not a torch file, or holds more than tensors"),
        ("empty", "cannot be read by torch"),
        ("model of ours", "not a torch file, or holds more than tensors"),
        ("code", "which could run code"),
        ("cut", "cannot be read by torch"),
        ("optimiser", "epoch is of type int, not a tensor"),
        ("one tensor", "one Tensor, not named tensors"),
        ("no network", r"holds no denoise_fn"),
        ("ddpm", "type ddpm"),
        ("NaN", r"downs\.0\.bias holds NaN"),
        ("sparse", r"downs\.0\.bias is not a plain tensor"),
        ("a number", "is not a network of that implementation"),
        ("lacking", r"lacks what sr3 calls middle\.1\.block\.conv_in\.weight"),
        ("no head", r"it lacks downs\.0\.weight"),
        ("strange", r"has extra\.weight, which is not known"),
        ("other size", r"mid\.0\.attn\.out\.bias has shape \(3,\), not \(16,\)"),
        ("four answers", "sees 6 channels and answers with 4"),
        ("uneven", "not alike"),
    ],
)
def test_a_wrong_file_ends_in_one_line(tmp_path, capsys, kind, complaint):
    path = tmp_path / "a_gen.pth"
    damaged(kind, path)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        convert(path, tmp_path / "out.safetensors", scale=4, groups=4)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out.safetensors").exists()


def test_every_tensor_has_a_name_of_its_own():
    names = unofficial.tensor_shapes(replace(LAYOUT, res_blocks=3))
    assert len({our_name(key) for key in names}) == len(names)
    assert our_name("stranger.weight") == "stranger.weight"
